/** Folders that go with the process that made them; what a killed one has left is told from what is in use. */
import { join } from "node:path";
import { LOCK, lockFolder, removeLocked, unlockFolder } from "./folder_lock.ts";

/** Names that are tried before a folder goes without a lock: its first one may be taken for a forsaken folder's. */
const TRIES = 3;
/** Folders looked at in one search: a lock that somebody holds costs a moment, and a thread of the runtime. */
const MAX_SEARCHED = 16;
/** A folder without a lock is of an earlier version, or on storage without locks: left for three days, in ms. */
const UNLOCKED_KEPT_MS = 3 * 24 * 3600_000;

/** A private folder of this process. */
export interface OwnFolder {
  /** Absolute where its parent is. */
  path: string;
  /** Says that it is no longer used; what is in it stays. */
  release(): Promise<void>;
}

/** A folder whose process is gone, locked for whoever found it. */
export interface ForsakenFolder {
  path: string;
  /** Removes it, if it is there, and its lock. */
  remove(): Promise<void>;
}

/** A new folder in `parent`, which exists; its name begins with `prefix`. Throws Deno's file errors. */
export async function makeOwnFolder(parent: string, prefix: string): Promise<OwnFolder> {
  for (let tried = 1;; tried++) {
    const path = join(parent, `${prefix}${crypto.randomUUID().slice(0, 13)}`);
    const lock = await lockFolder(path).catch(() => undefined);
    // Not every network file system has locks.
    if (!lock && tried < TRIES) continue;
    const release = async (): Promise<void> => lock && await unlockFolder(path, lock);
    try {
      await Deno.mkdir(path, { mode: 0o700 });
      return { path, release };
    } catch (error) {
      await release();
      throw error;
    }
  }
}

/**
 * The folders in `parent` whose names begin with `prefix`, which belong to the user of `own`, a path, are not `own`
 * itself, and whose processes are gone. What cannot be looked at is left.
 */
export async function* forsakenFolders(
  parent: string,
  prefix: string,
  own: string,
): AsyncGenerator<ForsakenFolder> {
  const { uid } = await Deno.stat(own);
  let searched = 0;
  for (const { name, isDirectory } of await entriesIn(parent)) {
    if (!name.startsWith(prefix)) continue;
    // The lock of a folder that is gone is taken for the folder itself.
    const path = join(parent, isDirectory ? name : name.slice(0, -LOCK.length));
    // To find out that it is locked would take a third of a second.
    if (path === own) continue;
    const isCandidate = isDirectory
      ? await mayBeForsaken(path, uid)
      : name.endsWith(LOCK) && await isOf(join(parent, name), uid) && !await isThere(path);
    if (!isCandidate) continue;
    if (++searched > MAX_SEARCHED) return;
    const lock = await lockFolder(path).catch(() => undefined);
    if (!lock) continue;
    let isRemoved = false;
    const remove = async (): Promise<void> => {
      isRemoved = true;
      await removeLocked(path, lock);
    };
    try {
      yield { path, remove };
    } finally {
      // Its lock's file stays: without it the folder would look new.
      if (!isRemoved) lock.close();
    }
  }
}

/** A folder that is not there, or may not be listed, holds nothing that could be looked at. */
async function entriesIn(folder: string): Promise<Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(folder));
  } catch {
    return [];
  }
}

/** Removes all that {@link forsakenFolders} finds. */
export async function removeForsakenFolders(parent: string, prefix: string, own: string): Promise<void> {
  for await (const folder of forsakenFolders(parent, prefix, own)) await folder.remove();
}

async function mayBeForsaken(path: string, uid: number | null): Promise<boolean> {
  if (!await isOf(path, uid)) return false;
  if (await isThere(path + LOCK)) return await isOf(path + LOCK, uid);
  const modified = (await Deno.lstat(path).catch(() => undefined))?.mtime?.getTime();
  return modified !== undefined && Date.now() - modified > UNLOCKED_KEPT_MS;
}

/** Whether a file or folder, not a link to one, is a user's. */
async function isOf(path: string, uid: number | null): Promise<boolean> {
  const info = await Deno.lstat(path).catch(() => undefined);
  return info !== undefined && !info.isSymlink && info.uid === uid;
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}
