/**
 * Whole files copied by the kernel. It is what `cp` does, and as fast: no byte passes through this program, and the
 * page cache is filled from the memory that the machine has at hand. A loop of large writes takes fresh blocks of
 * memory instead, which on a virtual machine that gives free memory back cost up to four times as much.
 */
import { statfs } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Watch } from "./supervise.ts";

/** Below this a loop is as good, and can be called off at any moment. */
const WORTH_BYTES = 64 * 1024 * 1024;
/** How often progress is looked at, in milliseconds. */
const POLL_MS = 200;
/**
 * `f_type` of the file systems on this machine's own disks (linux/magic.h): ext, XFS, Btrfs, tmpfs, ZFS, F2FS, overlay,
 * bcachefs. A copy in the kernel cannot be called off, so it must not last: not for NFS and the like.
 */
const LOCAL_TYPES: ReadonlySet<number> = new Set([
  0xef53,
  0x58465342,
  0x9123683e,
  0x01021994,
  0x2fc12fc1,
  0xf2f52010,
  0x794c7630,
  0xca451a4e,
]);

/** Whether a file of this size is best copied by the kernel: both sides are local disks. */
export async function suitsKernel(source: string, target: string, size: number): Promise<boolean> {
  if (Deno.build.os !== "linux" || size < WORTH_BYTES) return false;
  try {
    for (const folder of [dirname(await Deno.realPath(source)), dirname(target)]) {
      const { type } = await promisify(statfs)(folder);
      // Some kernels and runtimes hand out the 32 bits signed.
      if (!LOCAL_TYPES.has(type >>> 0)) return false;
    }
    return true;
  } catch {
    // What cannot be asked about is copied all the same, the other way.
    return false;
  }
}

/**
 * Copies a whole file over an open new one, and flushes it; returns the size it then has. Progress is what the file
 * has grown to. Called off, it calls `abandon` at once and returns when the kernel is done. Throws what the watch and
 * `onDone` throw, Deno's file errors.
 */
export async function kernelCopy(
  { source, target, to }: { source: string; target: string; to: Deno.FsFile },
  watch: Watch,
  { onDone, abandon }: { onDone: (done: number) => void; abandon: () => Promise<void> },
): Promise<number> {
  const before = await to.stat();
  const copying = Deno.copyFile(source, target);
  // Met below, or it does not matter any more.
  copying.catch(() => {});
  try {
    for (let done = 0; !(await endsWithin(copying, POLL_MS));) {
      const { size } = await to.stat();
      watch.check();
      if (size > done) {
        done = size;
        watch.advance(done);
        onDone(done);
      }
    }
    const after = await Deno.lstat(target);
    if (after.dev !== before.dev || after.ino !== before.ino) {
      throw new Deno.errors.NotFound(`${target} was replaced while it was written`);
    }
    watch.advance(after.size);
    await to.sync();
    onDone(after.size);
    return after.size;
  } catch (error) {
    await abandon();
    await copying.catch(() => {});
    throw error;
  }
}

/** Whether something ends within so many milliseconds. Throws its error. */
async function endsWithin(work: Promise<void>, limitMs: number): Promise<boolean> {
  const { promise: limit, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), limitMs);
  try {
    return await Promise.race([work.then(() => true), limit]);
  } finally {
    clearTimeout(timer);
  }
}
