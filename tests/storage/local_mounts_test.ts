import assert from "node:assert/strict";
import { join } from "node:path";
import { LocalFilesystem } from "../../storage/local.ts";
import { assertFault, bytesOf, drain, namesIn, streamOf } from "./conformance.ts";
import { failureOf, withTempDir } from "./temp.ts";

Deno.test.sanitizer?.({ ops: true, resources: true });

const LINUX_ROOT = Deno.build.os === "linux" && Deno.uid() === 0;
const HAS_BINDFS = LINUX_ROOT && await succeeds("sh", ["-c", "command -v bindfs && test -c /dev/fuse"]);
const SKIP = LINUX_ROOT
  ? HAS_BINDFS ? "" : " (skipped: no bindfs or no FUSE)"
  : " (skipped: not root on Linux)";
/** Short, so that the tests are. */
const DEADLINES = { deadlineMs: 400, chunkDeadlineMs: 400 };
/** Within this a storage that hangs must have been given up, in milliseconds. */
const AT_ONCE = 3_000;

async function succeeds(command: string, args: string[]): Promise<boolean> {
  const { success } = await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output();
  return success;
}

/** A FUSE mount, and the power to end or to halt the process behind it. */
interface Mount {
  storage: LocalFilesystem;
  /** The folder behind the mount, always readable. */
  behind: string;
  kill(): Promise<void>;
  halt(): void;
  goOn(): void;
}

/** Calls `use` with a FUSE mount; afterwards it is unmounted and its process is gone. */
function withFuse(use: (mount: Mount) => Promise<void>): Promise<void> {
  return withTempDir(async (dir) => {
    const [behind, mounted] = [join(dir, "behind"), join(dir, "mounted")];
    for (const folder of [behind, mounted]) await Deno.mkdir(folder);
    const options = ["-f", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0", behind, mounted];
    const bindfs = new Deno.Command("bindfs", { args: options, stdout: "null", stderr: "null" }).spawn();
    const kill = async (): Promise<void> => {
      bindfs.kill("SIGKILL");
      await bindfs.status;
    };
    try {
      for (let tries = 0; !await succeeds("mountpoint", ["-q", mounted]); tries++) {
        assert.ok(tries < 100, "the mount did not appear");
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
      await use({
        storage: new LocalFilesystem(mounted, DEADLINES),
        behind,
        kill,
        halt: () => bindfs.kill("SIGSTOP"),
        goOn: () => bindfs.kill("SIGCONT"),
      });
    } finally {
      await kill().catch(() => {});
      assert.ok(await succeeds("umount", ["-l", mounted]));
    }
  });
}

const fuseTest = (name: string, use: (mount: Mount) => Promise<void>): void =>
  Deno.test({ name: `${name}${SKIP}`, ignore: SKIP !== "", fn: () => withFuse(use) });

const attemptsOn = (storage: LocalFilesystem): readonly (() => Promise<unknown>)[] => [
  () => storage.exists("f"),
  () => storage.stat("f"),
  () => namesIn(storage, ""),
  async () => drain(await storage.read("f")),
  () => storage.write("g", streamOf(bytesOf(1))),
  () => storage.makeFolder("d"),
  () => storage.copy("f", "h"),
  () => storage.move("f", "h"),
  () => storage.remove("f"),
  () => storage.freeSpace(),
  () => storage.flush(""),
];

fuseTest("after its mount died every call says that the storage is gone", async ({ storage, kill }) => {
  await storage.write("f", streamOf(bytesOf(5)));
  await kill();
  for (const attempt of attemptsOn(storage)) await assertFault(attempt, "gone");
});

fuseTest("a mount that dies in the middle of a write", async ({ storage, behind, kill }) => {
  let [pulled, cancelled] = [0, false];
  const content = new ReadableStream<Uint8Array>({
    async pull(controller): Promise<void> {
      controller.enqueue(bytesOf(2 ** 18));
      if (++pulled === 20) await kill();
    },
    cancel(): void {
      cancelled = true;
    },
  });
  await assertFault(() => storage.write("f", content), "gone");
  assert.ok(cancelled);
  assert.equal([...Deno.readDirSync(behind)].some(({ name }) => name === "f"), false);
});

fuseTest("a mount that dies in the middle of a read", async ({ storage, kill }) => {
  await storage.write("f", streamOf(bytesOf(20 * 2 ** 20)));
  const reader = (await storage.read("f")).getReader();
  await reader.read();
  await kill();
  await assertFault(async () => {
    while (!(await reader.read()).done);
  }, "gone");
});

fuseTest("a mount that hangs is gone within its deadline, and back when it answers", async (mount) => {
  const { storage, halt, goOn } = mount;
  await storage.write("f", streamOf(bytesOf(5)));
  halt();
  for (const attempt of attemptsOn(storage)) {
    const began = performance.now();
    await assertFault(attempt, "gone");
    assert.ok(performance.now() - began < AT_ONCE, attempt.toString());
  }
  goOn();
  for (let tries = 0; await storage.exists("f").catch(() => undefined) === undefined; tries++) {
    assert.ok(tries < 50);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await storage.write("new", streamOf(bytesOf(7)));
  assert.equal((await storage.stat("new")).size, 7);
});

fuseTest("a mount that hangs in the middle of a write or a read is gone", async ({ storage, halt, goOn }) => {
  await storage.write("f", streamOf(bytesOf(20 * 2 ** 20)));
  const reader = (await storage.read("f")).getReader();
  let pulled = 0;
  const content = new ReadableStream<Uint8Array>({
    pull(controller): void {
      controller.enqueue(bytesOf(2 ** 18));
      if (++pulled === 20) halt();
    },
  });
  const began = performance.now();
  await assertFault(() => storage.write("g", content), "gone");
  await assertFault(async () => {
    while (!(await reader.read()).done);
  }, "gone");
  assert.ok(performance.now() - began < AT_ONCE);
  goOn();
  // What was abandoned comes to its end, and cleans up.
  for (let tries = 0; (await namesIn(storage, "").catch(() => [])).join() !== "f"; tries++) {
    assert.ok(tries < 50);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

fuseTest("a hanging mount leaves the other storages alone, and honours an abort", async (mount) => {
  const { storage, halt, goOn } = mount;
  await storage.write("f", streamOf(bytesOf(5)));
  halt();
  const patient = new LocalFilesystem(join(mount.behind, "..", "mounted"), { deadlineMs: 60_000 });
  const [abort, reason] = [new AbortController(), new Error("enough")];
  const waiting = failureOf(() => patient.stat("f", abort.signal));
  const many = await Promise.all(Array.from({ length: 40 }, () => failureOf(() => storage.stat("f"))));
  assert.equal(many.length, 40);
  for (let time = 0; time < 60; time++) await failureOf(() => storage.exists("f"));
  const other = new LocalFilesystem(mount.behind, DEADLINES);
  assert.deepEqual(await drain(await other.read("f")), bytesOf(5));
  abort.abort(reason);
  assert.equal(await waiting, reason);
  goOn();
  await new Promise((resolve) => setTimeout(resolve, 200));
});

/** Calls `use` with a file system of its own that has room for 2 MiB, and its folder. */
function withSmallDisk(use: (storage: LocalFilesystem, disk: string) => Promise<void>): Promise<void> {
  return withTempDir(async (dir) => {
    assert.ok(await succeeds("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", dir]));
    try {
      await use(new LocalFilesystem(dir), dir);
    } finally {
      assert.ok(await succeeds("umount", [dir]));
    }
  });
}

const diskTest = (name: string, use: (storage: LocalFilesystem, disk: string) => Promise<void>): void =>
  Deno.test({
    name: `${name}${LINUX_ROOT ? "" : " (skipped: not root on Linux)"}`,
    ignore: !LINUX_ROOT,
    fn: () => withSmallDisk(use),
  });

diskTest("a full disk is said to be full, and nothing is left of the file", async (storage) => {
  await storage.write("f", streamOf(bytesOf(3 * 2 ** 19)));
  await assertFault(() => storage.write("g", streamOf(bytesOf(2 ** 21))), "full");
  await assertFault(() => storage.copy("f", "d/g"), "full");
  assert.deepEqual(await namesIn(storage, ""), ["d/", "f"]);
  assert.deepEqual(await namesIn(storage, "d"), []);
});

diskTest("a storage that may only be read says so", async (storage, disk) => {
  await storage.write("f", streamOf(bytesOf(5)));
  assert.ok(await succeeds("mount", ["-o", "remount,ro", disk]));
  for (
    const attempt of [
      () => storage.write("g", streamOf(bytesOf(1))),
      () => storage.makeFolder("d/e"),
      () => storage.copy("f", "g"),
      () => storage.move("f", "g"),
      () => storage.remove("f"),
    ]
  ) await assertFault(attempt, "read-only");
  assert.deepEqual(await drain(await storage.read("f")), bytesOf(5));
});

diskTest("a file is moved from one file system to another", async (storage, disk) => {
  await Deno.mkdir(join(disk, "other"));
  assert.ok(await succeeds("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", join(disk, "other")]));
  try {
    await storage.write("f", streamOf(bytesOf(500)), { mode: 0o600 });
    await storage.move("f", "other/g");
    assert.deepEqual(await namesIn(storage, ""), ["other/"]);
    assert.deepEqual(await drain(await storage.read("other/g")), bytesOf(500));
    assert.equal((await storage.stat("other/g")).mode, 0o600);
  } finally {
    assert.ok(await succeeds("umount", [join(disk, "other")]));
  }
});
