/** Single steps on the disk that the runtime has no call for. */
import { close, constants, fchmod, fstat, open, type Stats } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { checkRelativePath, flushFolder, isInside } from "../containment.ts";
import { codeOf } from "../faults.ts";

/** Codes of file systems that cannot flush a folder (SMB, some FUSE): there is nothing that could be done. */
const CANNOT_FLUSH = new Set(["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EBADF"]);

/** Flushes a folder's entries, where the file system can. */
export async function flushEntries(folder: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  try {
    await flushFolder(folder);
  } catch (error) {
    if (!CANNOT_FLUSH.has(codeOf(error) ?? "")) throw error;
  }
}

/**
 * Flushes a folder and those above it up to the root: each may have been made just now. One that may not be read was
 * not made by this program, nor was anything above it: many shares are closed at their top.
 */
export async function flushUpwards(folder: string, root: string): Promise<void> {
  const top = await Deno.realPath(root);
  for (let path = folder; isInside(path, top); path = dirname(path)) {
    try {
      await flushEntries(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
      return;
    }
    if (path === top) return;
  }
}

/** Renames a file; false when the two names lie on different file systems. */
export async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await Deno.rename(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === "EXDEV") return false;
    throw error;
  }
}

/**
 * Gives a file its permission bits, which the process's mask had taken from it when it was made. Nothing happens
 * when the name has come to stand for another file, a link above all: the bits go to the open file, not the name.
 */
export async function setMode(path: string, made: Deno.FileInfo, mode: number): Promise<void> {
  if (made.mode === null || (made.mode & 0o777) === mode) return;
  const descriptor = await promisify(open)(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { dev, ino } = await promisify<number, Stats>(fstat)(descriptor);
    if (dev === made.dev && ino === made.ino) await promisify(fchmod)(descriptor, mode);
  } finally {
    await promisify(close)(descriptor);
  }
}

/** Whether a name found in a folder can be asked for; one that containment refuses is not shown either. */
export function isNameable(name: string): boolean {
  try {
    return checkRelativePath(name).length === 1 && !name.includes("/");
  } catch {
    return false;
  }
}
