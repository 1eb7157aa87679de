/** Unfinished copies: what they are called, and how one that was interrupted is taken up again. */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";

/** What the names of all unfinished files and folders begin with. */
export const PARTIAL_PREFIX = ".partial-";

/** Whether a name is that of an unfinished file or folder. */
export function isPartialName(name: string): boolean {
  return name.startsWith(PARTIAL_PREFIX);
}

/** A name that nobody else uses. */
export function uniquePartial(folder: string): string {
  return join(folder, `${PARTIAL_PREFIX}${crypto.randomUUID()}`);
}

/**
 * The same name whenever the same source is copied to the same name: made of that, the source's size, time of change
 * and number in its file system. A source that changed gets another.
 */
export function stablePartial(folder: string, name: string, source: Deno.FileInfo): string {
  const identity = JSON.stringify([name, source.size, source.mtime?.getTime() ?? null, source.ino]);
  const hash = createHash("sha256").update(identity).digest("hex").slice(0, 16);
  const readable = name.replace(/[^\w.-]/g, "_").slice(0, 100);
  return join(folder, `${PARTIAL_PREFIX}${readable}-${hash}`);
}

/** An open unfinished file; close it. */
export interface Partial {
  path: string;
  file: Deno.FsFile;
  /** Bytes that it holds, not yet compared with the source. */
  size: number;
  /** Whether it was made just now, and nobody else writes to it. */
  isNew: boolean;
}

/** An unfinished file smaller than this is not gone on with: one that another program has just begun looks so. */
const RESUME_BYTES = 1024 * 1024;
/** One as small as that, and left alone for so long, in milliseconds, is nobody's. */
const FORSAKEN_MS = 60_000;

/** Begins an unfinished file that is there for nobody but this user until it is done. */
export async function createPartial(path: string): Promise<Partial> {
  // `createNew` is O_EXCL: it fails on whatever stands there, links included.
  const file = await Deno.open(path, { read: true, write: true, createNew: true, mode: 0o600 });
  return { path, file, size: 0, isNew: true };
}

/**
 * Opens the unfinished file of that name, or begins it. One that cannot be ours (a link, a file with a second name,
 * larger than the source) is removed first. Two programs may end up with the same file: both write the same bytes to
 * the same places, and it is only shortened before it has {@link RESUME_BYTES}, so that does no harm.
 */
export async function resumePartial(path: string, sourceSize: number): Promise<Partial> {
  const found = await look(path);
  if (found?.isFile && (found.nlink ?? 1) === 1 && found.size <= sourceSize) {
    const age = Date.now() - (found.mtime?.getTime() ?? 0);
    if (found.size < RESUME_BYTES && age < FORSAKEN_MS) {
      return await createPartial(uniquePartial(dirname(path)));
    }
    const opened = found.size < RESUME_BYTES ? undefined : await openChecked(path, found);
    if (opened) return opened;
  }
  try {
    if (found) await Deno.remove(path, { recursive: true });
    return await createPartial(path);
  } catch {
    // Another's, which we may not remove, or another program was quicker; a full disk fails again.
    return await createPartial(uniquePartial(dirname(path)));
  }
}

/** Whether so much was copied that going on with it later is worth the while. */
export function isWorthKeeping(size: number): boolean {
  return size >= RESUME_BYTES;
}

async function look(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Opens a file; undefined when it may not be written, or is not the one that was looked at. */
async function openChecked(path: string, checked: Deno.FileInfo): Promise<Partial | undefined> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { read: true, write: true });
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) return undefined;
    throw error;
  }
  const info = await file.stat();
  // Swapped for a link between the check and the opening, it would lead to another file.
  if (info.dev === checked.dev && info.ino === checked.ino) {
    return { path, file, size: info.size, isNew: false };
  }
  file.close();
  return undefined;
}
