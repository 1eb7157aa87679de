import assert from "node:assert/strict";
import { join } from "node:path";
import {
  copyFile,
  copyTimeLimit,
  freeSpace,
  InsufficientSpaceError,
  isDiskFull,
  publish,
  requireSpace,
} from "../../storage/copy.ts";
import { failureOf, listTree, makeTree, withTempDir } from "./temp.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const MIB = 1024 * 1024;
const unix = Deno.build.os !== "windows";

/** Calls `use` with a file system of its own that has room for 2 MiB. */
function withSmallDisk(use: (disk: string, dir: string) => Promise<void>): Promise<void> {
  return withTempDir(async (dir) => {
    const disk = join(dir, "disk");
    await Deno.mkdir(disk);
    const mounted = await new Deno.Command("mount", {
      args: ["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk],
    }).output();
    assert.ok(mounted.success, new TextDecoder().decode(mounted.stderr));
    try {
      await use(disk, dir);
    } finally {
      const unmounted = await new Deno.Command("umount", { args: [disk] }).output();
      assert.ok(unmounted.success);
    }
  });
}

const needsRoot = { ignore: Deno.build.os !== "linux" || Deno.uid() !== 0 };

Deno.test("a copy has the content, whatever the size", () =>
  withTempDir(async (dir) => {
    for (const size of [0, 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB]) {
      const bytes = new Uint8Array(size).map((_, index) => index * 31 >> 3);
      await Deno.writeFile(join(dir, "from"), bytes);
      await copyFile(join(dir, "from"), join(dir, "to"));
      const copied = await Deno.readFile(join(dir, "to"));
      assert.ok(
        copied.length === size && copied.every((byte, index) => byte === bytes[index]),
        `${size} bytes`,
      );
    }
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), ["from", "to"]);
  }));

Deno.test("a copy has the times of its source", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { from: "x" });
    const time = new Date("2020-02-03T04:05:06.789Z");
    await Deno.utime(join(dir, "from"), time, time);
    await copyFile(join(dir, "from"), join(dir, "to"));
    assert.deepEqual((await Deno.stat(join(dir, "to"))).mtime, time);
  }));

for (const mode of [0o600, 0o644, 0o755, 0o444, 0o664, 0o775]) {
  Deno.test({
    name: `a copy has the mode of its source: ${mode.toString(8)}`,
    ignore: !unix,
    fn: () =>
      withTempDir(async (dir) => {
        await makeTree(dir, { from: "x" });
        await Deno.chmod(join(dir, "from"), mode);
        await copyFile(join(dir, "from"), join(dir, "to"));
        assert.equal(((await Deno.stat(join(dir, "to"))).mode ?? 0) & 0o7777, mode);
      }),
  });
}

Deno.test("a copy replaces what was there, and a link instead of what it leads to", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { from: "new", to: "old", victim: "kept", link: { link: "victim" } });
    await copyFile(join(dir, "from"), join(dir, "to"));
    await copyFile(join(dir, "from"), join(dir, "link"));
    assert.deepEqual(await listTree(dir), { from: "new", to: "new", victim: "kept", link: "new" });
  }));

Deno.test("progress goes up to the size", () =>
  withTempDir(async (dir) => {
    await Deno.writeFile(join(dir, "from"), new Uint8Array(9 * MIB));
    const seen: number[] = [];
    await copyFile(join(dir, "from"), join(dir, "to"), {
      onProgress: (done, total) => {
        assert.equal(total, 9 * MIB);
        seen.push(done);
      },
    });
    assert.equal(seen.at(-1), 9 * MIB);
    assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
  }));

Deno.test("nothing is left of a copy that is aborted, before or in the middle", () =>
  withTempDir(async (dir) => {
    await Deno.writeFile(join(dir, "from"), new Uint8Array(9 * MIB));
    await Deno.mkdir(join(dir, "into"));
    const before = new AbortController();
    before.abort(new Error("not wanted"));
    const middle = new AbortController();
    const stop = (): void => middle.abort(new Error("no more"));
    const to = join(dir, "into/to");
    await assert.rejects(() => copyFile(join(dir, "from"), to, { signal: before.signal }), /not wanted/);
    await assert.rejects(
      () => copyFile(join(dir, "from"), to, { signal: middle.signal, onProgress: stop }),
      /no more/,
    );
    assert.deepEqual(await listTree(join(dir, "into")), {});
  }));

Deno.test("nothing is left of a copy that fails, and what stood there stays", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { from: "x", "folder/": "", "into/taken/inner": "kept", "into/file": "old" });
    const fail = (): void => {
      throw new Error("broken progress");
    };
    const failures: readonly (() => Promise<void>)[] = [
      () => copyFile(join(dir, "gone"), join(dir, "into/file")),
      () => copyFile(join(dir, "folder"), join(dir, "into/file")),
      () => copyFile(join(dir, "from"), join(dir, "into/taken")),
      () => copyFile(join(dir, "from"), join(dir, "into/file"), { onProgress: fail }),
      () => copyFile(join(dir, "from"), join(dir, "into/gone/file")),
    ];
    for (const failure of failures) await failureOf(failure);
    assert.deepEqual(await listTree(join(dir, "into")), { "taken/": "", "taken/inner": "kept", file: "old" });
  }));

Deno.test("a source that shrinks meanwhile is not copied as if whole", () =>
  withTempDir(async (dir) => {
    await Deno.writeFile(join(dir, "from"), new Uint8Array(9 * MIB));
    const shrink = (): void => Deno.truncateSync(join(dir, "from"), 5 * MIB);
    const attempt = (): Promise<void> => copyFile(join(dir, "from"), join(dir, "to"), { onProgress: shrink });
    await assert.rejects(attempt, /changed while it was copied/);
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), ["from"]);
  }));

Deno.test("the time for a copy grows with its size", () => {
  assert.equal(copyTimeLimit(0), 60);
  assert.equal(copyTimeLimit(3e9), 60);
  assert.equal(copyTimeLimit(9e9), 120);
});

Deno.test("free space is asked of the folder's file system", () =>
  withTempDir(async (dir) => {
    const free = await freeSpace(dir);
    assert.ok(free > 0 && Number.isFinite(free));
    await requireSpace(dir, 0);
    await assert.rejects(() => requireSpace(dir, free), InsufficientSpaceError);
    await failureOf(() => freeSpace(join(dir, "gone")));
  }));

Deno.test("too little space is said with both figures, and the text that peers know", () => {
  const error = new InsufficientSpaceError("/vast", 3 * 2 ** 30, 2 ** 29);
  assert.match(error.message, /^Insufficient disk space on shared storage: 3\.00 GiB needed, 0\.50 GiB free/);
  assert.ok(error.hint);
});

Deno.test("a full disk is told from other faults", () => {
  const withCode = (code: string): Error => Object.assign(new Error("x"), { code });
  assert.ok(isDiskFull(withCode("ENOSPC")) && isDiskFull(withCode("EDQUOT")));
  for (const other of [withCode("EIO"), new Error("ENOSPC"), "ENOSPC", null, { code: "ENOSPC" }]) {
    assert.equal(isDiskFull(other), false);
  }
});

Deno.test({
  ...needsRoot,
  name: "a full disk ends a copy with ENOSPC and leaves nothing (needs root for a small tmpfs)",
  fn: () =>
    withSmallDisk(async (disk, dir) => {
      await makeTree(disk, { kept: "kept" });
      await Deno.writeFile(join(dir, "from"), new Uint8Array(3 * MIB));
      assert.ok(isDiskFull(await failureOf(() => copyFile(join(dir, "from"), join(disk, "kept")))));
      assert.deepEqual(await listTree(disk), { kept: "kept" });
    }),
});

Deno.test({
  ...needsRoot,
  name: "a full disk ends publishing with ENOSPC and leaves nothing (needs root for a small tmpfs)",
  fn: () =>
    withSmallDisk(async (disk, dir) => {
      await makeTree(dir, { "run/a/small": "x" });
      for (const name of ["b", "c", "d"]) await Deno.writeFile(join(dir, "run", name), new Uint8Array(MIB));
      assert.ok(isDiskFull(await failureOf(() => publish(join(dir, "run"), disk, "run"))));
      assert.deepEqual(await listTree(disk), {});
    }),
});

Deno.test({
  ...needsRoot,
  name: "120 % of the size must be free (needs root for a small tmpfs)",
  fn: () =>
    withSmallDisk(async (disk) => {
      const free = await freeSpace(disk);
      assert.ok(free <= 2 * MIB);
      await requireSpace(disk, Math.floor(free / 1.21));
      await assert.rejects(() => requireSpace(disk, Math.ceil(free / 1.19)), InsufficientSpaceError);
    }),
});
