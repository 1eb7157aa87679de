/** Copies files between disks and mounts: whole or not at all, flushed, resumable; the face of all copying. */
import { basename, dirname } from "node:path";
import { flushFolder } from "./containment.ts";
import { copyContent, type CopyProgress, SourceChangedError } from "./copy_content.ts";
import {
  createPartial,
  isWorthKeeping,
  type Partial,
  resumePartial,
  stablePartial,
  uniquePartial,
} from "./partial.ts";
import { looksSame, samePrefix } from "./same_bytes.ts";
import { isDiskFull } from "./space.ts";
import { copyTimeLimit, supervise, type Watch } from "./supervise.ts";

export { type CopyProgress, SourceChangedError } from "./copy_content.ts";
export { publish, publishContents, type TreeSize } from "./publish.ts";
export { DiskFullError, freeSpace, InsufficientSpaceError, isDiskFull, requireSpace } from "./space.ts";
export { copyTimeLimit, CopyTimeoutError } from "./supervise.ts";

/** How a file is copied. */
export interface CopyOptions {
  signal?: AbortSignal;
  /** Told how far it is, never less than before; what was there already counts as done. */
  onProgress?: CopyProgress;
  /**
   * Keep what was copied when the copy is interrupted, and go on from what an earlier one left. Default: false, and
   * nothing is left of a copy that fails.
   */
  resume?: boolean;
  /**
   * Existing folder, on the target's file system, for the unfinished file. Default: the target's. For targets in
   * folders that are new each time, where nothing could be found again.
   */
  partialFolder?: string;
  /** Told, once, how many bytes were there already: all of them, or what an interrupted copy left. */
  onFound?: (bytes: number) => void;
}

/**
 * Copies one file to a path in an existing folder: under a temporary name, flushed, renamed; mode and time of change
 * are kept, where the storage keeps any. A target that has the same size, time and content already is left as it is
 * (`looksSame`: above 64 MiB, samples are compared). What is resumed was compared byte by byte.
 *
 * Throws `CopyTimeoutError` when it is past `copyTimeLimit` and nothing moves any more, `SourceChangedError`,
 * `DiskFullError` (`isDiskFull`; nothing is left then), the abort reason, Deno's file errors.
 */
export async function copyFile(source: string, target: string, options: CopyOptions = {}): Promise<void> {
  const { size, isFile } = await supervise(
    { limitMs: copyTimeLimit(0) * 1000, signal: options.signal },
    () => Deno.stat(source),
  );
  // A pipe would be waited for when it is opened.
  if (!isFile) throw new Deno.errors.IsADirectory(`${source} is not a file`);
  await supervise(
    { limitMs: copyTimeLimit(size) * 1000, signal: options.signal },
    (watch) => copySupervised(source, target, options, watch),
  );
}

async function copySupervised(
  source: string,
  target: string,
  options: CopyOptions,
  watch: Watch,
): Promise<void> {
  using from = await Deno.open(source, { read: true });
  const info = await from.stat();
  if (await isThere(from, info, target, watch)) {
    options.onFound?.(info.size);
    options.onProgress?.(info.size, info.size);
    return;
  }
  const folder = options.partialFolder ?? dirname(target);
  const partial = options.resume
    ? await resumePartial(stablePartial(folder, basename(target), info), info.size)
    : await createPartial(uniquePartial(folder));
  try {
    await copyInto(partial, { source, from, info, target }, options, watch);
  } catch (error) {
    const keep = options.resume && !(error instanceof SourceChangedError || isDiskFull(error));
    if (!keep || !isWorthKeeping(await sizeOf(partial.path))) await removeFile(partial.path);
    throw error;
  }
}

async function copyInto(
  partial: Partial,
  { source, from, info, target }: { source: string; from: Deno.FsFile; info: Deno.FileInfo; target: string },
  { onProgress, onFound, resume }: CopyOptions,
  watch: Watch,
): Promise<void> {
  {
    using to = partial.file;
    const offset = await samePrefix(from, to, partial.size, (done) => {
      watch.check();
      watch.advance();
      onProgress?.(done, info.size);
    });
    if (offset > 0) onFound?.(offset);
    const route = {
      source,
      from,
      info,
      target: partial.path,
      to,
      offset: partial.isNew ? undefined : offset,
    };
    // Nothing is left of it at once, also while the kernel still writes to it.
    const abandon = (): Promise<void> => resume ? Promise.resolve() : removeFile(partial.path);
    await copyContent(route, watch, { onProgress, abandon });
    if (info.size === 0) onProgress?.(0, 0);
  }
  watch.check();
  await Deno.rename(partial.path, target);
  await flushFolder(dirname(target));
}

async function isThere(
  from: Deno.FsFile,
  info: Deno.FileInfo,
  target: string,
  watch: Watch,
): Promise<boolean> {
  try {
    const there = await Deno.lstat(target);
    if (!there.isFile || there.size !== info.size) return false;
    if (!info.mtime || there.mtime?.getTime() !== info.mtime.getTime()) return false;
    using file = await Deno.open(target, { read: true });
    return await looksSame(from, file, info.size, () => {
      watch.check();
      watch.advance();
    });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return false;
    throw error;
  }
}

async function removeFile(path: string): Promise<void> {
  await Deno.remove(path).catch((error: unknown) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

/** Bytes of a file; 0 of one that is gone. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.lstat(path)).size;
  } catch {
    return 0;
  }
}
