import assert from "node:assert/strict";
import { join } from "node:path";
import {
  copyFile,
  type CopyOptions,
  DiskFullError,
  isDiskFull,
  publish,
  SourceChangedError,
} from "../../storage/copy.ts";
import { failureOf, listTree, makeTree, withTempDir } from "./temp.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const MIB = 2 ** 20;
/** Large enough for the kernel's copy, where there is one. */
const LARGE = 80 * MIB + 5;
const unix = Deno.build.os !== "windows";
const needsRoot = { ignore: Deno.build.os !== "linux" || Deno.uid() !== 0 };

async function makeLarge(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const block = crypto.getRandomValues(new Uint8Array(65_536));
  for (let at = 0; at < LARGE; at += 10 * MIB) {
    await file.seek(at, Deno.SeekMode.Start);
    await file.write(block);
  }
  await file.truncate(LARGE);
}

async function digest(path: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return new Uint8Array(hash).toHex?.() ?? [...new Uint8Array(hash)].join();
}

Deno.test("a large file has content, mode and times of its source, and progress that only grows", () =>
  withTempDir(async (dir) => {
    const [from, to] = [join(dir, "from"), join(dir, "to")];
    await makeLarge(from);
    if (unix) await Deno.chmod(from, 0o640);
    const time = new Date("2021-02-03T04:05:06Z");
    await Deno.utime(from, time, time);
    const seen: number[] = [];
    await copyFile(from, to, { onProgress: (done) => seen.push(done) });
    assert.equal(await digest(to), await digest(from));
    const { mtime, mode } = await Deno.stat(to);
    assert.deepEqual(mtime, time);
    if (unix) assert.equal((mode ?? 0) & 0o777, 0o640);
    assert.equal(seen.at(-1), LARGE);
    assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), ["from", "to"]);
  }));

for (const resume of [false, true]) {
  Deno.test(`a large copy that is aborted ${resume ? "can be gone on with" : "leaves nothing"}`, () =>
    withTempDir(async (dir) => {
      const [from, into] = [join(dir, "from"), join(dir, "into")];
      await makeLarge(from);
      await Deno.mkdir(into);
      const abort = new AbortController();
      const onProgress = (): void => abort.abort(new Error("no more"));
      const options: CopyOptions = { resume, onProgress, signal: abort.signal };
      await assert.rejects(() => copyFile(from, join(into, "to"), options), /no more/);
      assert.equal([...Deno.readDirSync(into)].length, resume ? 1 : 0);
      let found = 0;
      await copyFile(from, join(into, "to"), { resume, onFound: (bytes) => void (found = bytes) });
      assert.equal(found > 0, resume);
      assert.equal(await digest(join(into, "to")), await digest(from));
      assert.deepEqual([...Deno.readDirSync(into)].map(({ name }) => name), ["to"]);
    }));
}

const CHANGES: Readonly<Record<string, (from: string) => void>> = {
  "that grows": (from) => Deno.writeFileSync(from, new Uint8Array(9), { append: true }),
  "that shrinks": (from) => Deno.truncateSync(from, 5 * MIB),
  "that is written to": (from) => Deno.utimeSync(from, new Date(), new Date("2020-01-01")),
  "that is replaced": (from) => {
    const { size, mtime } = Deno.statSync(from);
    Deno.writeFileSync(`${from}.new`, new Uint8Array(size));
    Deno.utimeSync(`${from}.new`, mtime!, mtime!);
    Deno.renameSync(`${from}.new`, from);
  },
};

for (const [what, change] of Object.entries(CHANGES)) {
  for (const size of [9 * MIB, LARGE]) {
    Deno.test({
      name: `a source of ${Math.floor(size / MIB)} MiB ${what} meanwhile is not copied`,
      ignore: !unix,
      fn: () =>
        withTempDir(async (dir) => {
          const [from, into] = [join(dir, "from"), join(dir, "into")];
          await Deno.mkdir(into);
          if (size === LARGE) await makeLarge(from);
          else await Deno.writeFile(from, new Uint8Array(size));
          let changed = false;
          const onProgress = (): void => {
            if (!changed) change(from);
            changed = true;
          };
          for (const resume of [false, true]) {
            changed = false;
            const attempt = (): Promise<void> => copyFile(from, join(into, "to"), { resume, onProgress });
            if (resume && what !== "that grows") break;
            await assert.rejects(attempt, SourceChangedError);
            assert.deepEqual([...Deno.readDirSync(into)], []);
          }
        }),
    });
  }
}

/** Copies, and says whether anything was written. */
async function isCopied(from: string, to: string): Promise<boolean> {
  const before = await Deno.stat(to);
  let found = 0;
  const seen: number[] = [];
  await copyFile(from, to, {
    onFound: (bytes) => void (found = bytes),
    onProgress: (done) => seen.push(done),
  });
  const after = await Deno.stat(to);
  assert.equal(seen.at(-1), after.size);
  assert.equal(found === after.size, after.ino === before.ino);
  return after.ino !== before.ino;
}

Deno.test({
  name: "what is there already is not copied again; what differs is",
  ignore: !unix,
  fn: () =>
    withTempDir(async (dir) => {
      for (const size of [3 * MIB + 1, LARGE]) {
        const [from, to] = [join(dir, `from${size}`), join(dir, `to${size}`)];
        if (size === LARGE) await makeLarge(from);
        else await Deno.writeFile(from, new Uint8Array(size));
        await copyFile(from, to);
        assert.equal(await isCopied(from, to), false);
        const { mtime } = await Deno.stat(from);
        {
          using file = await Deno.open(to, { write: true });
          await file.seek(-1, Deno.SeekMode.End);
          await file.write(Uint8Array.of(1));
        }
        await Deno.utime(to, mtime!, mtime!);
        assert.equal(await isCopied(from, to), true, "other content");
        await Deno.utime(to, mtime!, new Date("2020-01-01"));
        assert.equal(await isCopied(from, to), true, "another time");
        assert.equal(await isCopied(from, to), false);
        assert.equal(await digest(to), await digest(from));
      }
    }),
});

Deno.test({
  ...needsRoot,
  name:
    "a disk that runs full leaves nothing, large or small, resumable or not (needs root for a small tmpfs)",
  fn: () =>
    withTempDir(async (dir) => {
      const disk = join(dir, "disk");
      await Deno.mkdir(disk);
      const mount = new Deno.Command("mount", { args: ["-t", "tmpfs", "-o", "size=6m", "tmpfs", disk] });
      assert.ok((await mount.output()).success);
      try {
        await Deno.writeFile(join(dir, "small"), new Uint8Array(9 * MIB).fill(7));
        await makeLarge(join(dir, "large"));
        for (const name of ["small", "large"]) {
          for (const resume of [false, true]) {
            const error = await failureOf(() => copyFile(join(dir, name), join(disk, "to"), { resume }));
            assert.ok(error instanceof DiskFullError && isDiskFull(error), `${name}: ${error}`);
            assert.match(error.message, /the disk is full .* GiB of .* GiB were copied/);
            assert.deepEqual([...Deno.readDirSync(disk)], []);
          }
        }
      } finally {
        assert.ok((await new Deno.Command("umount", { args: [disk] }).output()).success);
      }
    }),
});

Deno.test("many files are published whole", () =>
  withTempDir(async (dir) => {
    const tree: Record<string, string> = { "out/": "" };
    for (let index = 0; index < 400; index++) {
      tree[`run/${index % 7}/${index % 5}/${index}`] = `file ${index}`;
    }
    await makeTree(dir, tree);
    const { files, bytes, path } = await publish(join(dir, "run"), join(dir, "out"), "run");
    const expected = await listTree(join(dir, "run"));
    assert.deepEqual(await listTree(path), expected);
    assert.equal(files, 400);
    assert.equal(bytes, Object.values(expected).join("").length);
  }));

Deno.test("nothing is left of many files when the last folder cannot be copied", () =>
  withTempDir(async (dir) => {
    const tree: Record<string, string> = { "out/": "" };
    for (let index = 0; index < 200; index++) tree[`run/${index}`] = `file ${index}`;
    await makeTree(dir, tree);
    const abort = new AbortController();
    const publishing = publish(join(dir, "run"), join(dir, "out"), "run", abort.signal);
    const watching = (async (): Promise<void> => {
      // As soon as something of it is there.
      while ([...Deno.readDirSync(join(dir, "out"))].length === 0) await Deno.stat(dir);
      abort.abort(new Error("no more"));
    })();
    await assert.rejects(publishing, /no more/);
    await watching;
    assert.deepEqual(await listTree(join(dir, "out")), {});
  }));
