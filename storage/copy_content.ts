/** The content and attributes of one file, by the quickest way that fits. */
import { dirname } from "node:path";
import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";
import { copyBytes } from "./copy_bytes.ts";
import { kernelCopy, suitsKernel } from "./kernel_copy.ts";
import { DiskFullError, isDiskFull } from "./space.ts";
import type { Watch } from "./supervise.ts";

/** How far a copy is, in bytes. */
export type CopyProgress = (done: number, total: number) => void;

/** A file changed while it was read, so that its copy would be neither the old nor the new one. */
export class SourceChangedError extends UserError {
  static override readonly code: ErrorCode = "SOURCE_CHANGED";

  constructor(path: string, detail: string) {
    super(`${path} changed while it was copied: ${detail}`, {
      hint: "try again when nothing writes to it any more",
    });
  }
}

/** Where bytes come from and go to. */
export interface Route {
  source: string;
  from: Deno.FsFile;
  /** Of the source, when it was opened. */
  info: Deno.FileInfo;
  target: string;
  to: Deno.FsFile;
  /** Bytes that the target has already; undefined when it is new, and nobody else's. */
  offset: number | undefined;
}

/**
 * Makes an open file the copy of another: content from an offset on, flushed, then mode and times. `abandon` is
 * called at once when a copy that takes a while to end is called off. Throws {@link SourceChangedError},
 * {@link DiskFullError}, what the watch says, Deno's file errors.
 */
export async function copyContent(
  route: Route,
  watch: Watch,
  { onProgress, abandon }: { onProgress?: CopyProgress | undefined; abandon?: () => Promise<void> } = {},
): Promise<void> {
  const { source, from, info, target, to, offset } = route;
  let done = offset ?? 0;
  const onDone = (now: number): void => {
    // The last word comes when it is certain; a file that grows meanwhile has no more than it had.
    done = Math.max(done, Math.min(now, info.size));
    onProgress?.(done, info.size);
  };
  let end: number;
  try {
    end = offset === undefined && await suitsKernel(source, target, info.size)
      ? await kernelCopy(route, watch, {
        onDone,
        abandon: abandon ?? ((): Promise<void> => Promise.resolve()),
      })
      : await copyBytes(from, to, { offset: done, size: info.size }, watch, onDone);
  } catch (error) {
    throw isDiskFull(error) ? new DiskFullError(dirname(target), done, info.size, error) : error;
  }
  await checkUnchanged(route, end);
  await keepAttributes(target, to, info);
}

async function checkUnchanged({ source, from, info }: Route, done: number): Promise<void> {
  if (done !== info.size) throw new SourceChangedError(source, `${done} of ${info.size} bytes read`);
  for (const now of [await from.stat(), await Deno.stat(source)]) {
    if (now.dev !== info.dev || now.ino !== info.ino) throw new SourceChangedError(source, "it was replaced");
    if (now.size !== info.size) {
      throw new SourceChangedError(source, `it had ${info.size} bytes and has ${now.size}`);
    }
    if (now.mtime?.getTime() !== info.mtime?.getTime()) {
      throw new SourceChangedError(source, "it was written to");
    }
  }
}

/** Gives a file mode and times of another. A storage that keeps neither (FAT, some object stores) is no fault. */
async function keepAttributes(path: string, file: Deno.FsFile, info: Deno.FileInfo): Promise<void> {
  const tolerate = (error: unknown): void => {
    if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotSupported) return;
    throw error;
  };
  if (info.mode !== null) await Deno.chmod(path, info.mode & 0o777).catch(tolerate);
  if (info.mtime) await file.utime(info.atime ?? info.mtime, info.mtime).catch(tolerate);
}
