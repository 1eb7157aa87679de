/** Folders that one process uses at a time. */
import { sameFile } from "./identity.ts";

/** End of the name of a file, beside a folder, that is held by the process that uses the folder. */
export const LOCK = ".lock";
/** Another process's lock is waited for so long, in milliseconds. */
const LOCK_LIMIT_MS = 300;

/**
 * Locks a folder, which need not exist, for this process: the lock ends with it, however it ends. Undefined when
 * another process has it. Throws Deno's file errors.
 */
export async function lockFolder(path: string): Promise<Deno.FsFile | undefined> {
  const file = await Deno.open(lockOf(path), { write: true, create: true, mode: 0o600 });
  const locking = file.lock(true);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => timer = setTimeout(() => resolve("late"), LOCK_LIMIT_MS));
  try {
    if (await Promise.race([locking, late]) === "late") {
      // It may be granted later all the same; nobody needs it then.
      void locking.then(() => file.close(), () => file.close());
      return undefined;
    }
    // Who had it before may have removed the folder.
    const there = await Deno.stat(lockOf(path)).catch(() => undefined);
    if (there && sameFile(there, await file.stat())) return file;
    file.close();
    return undefined;
  } catch (error) {
    // A file system without locks.
    await removeAll(lockOf(path));
    file.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Lets a folder go, which stays. */
export async function unlockFolder(path: string, lock: Deno.FsFile): Promise<void> {
  await removeAll(lockOf(path));
  lock.close();
}

/** Removes a folder that is locked. The lock goes last: who has it finds the folder whole, or not at all. */
export async function removeLocked(path: string, lock: Deno.FsFile): Promise<void> {
  await removeAll(path);
  await unlockFolder(path, lock);
}

/** Beside the folder: NFS and FUSE keep a file that is removed while it is open, and its folder could not go. */
function lockOf(path: string): string {
  return `${path}${LOCK}`;
}

/** Removes a file or a folder with all that is in it; one that is not there is no error. */
export async function removeAll(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((error: unknown) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
