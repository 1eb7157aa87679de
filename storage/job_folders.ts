/** The folders that jobs leave on shared storage, below `jobs/` and `{user}/jobs/`: how old they are, and their end. */
import { join } from "node:path";
import { PathValidationError, resolveExisting } from "./containment.ts";
import { isHeld } from "./job_marker.ts";
import { isPartialName, uniquePartial } from "./partial.ts";

/** Folder of a backend, or of a user, that job folders are made in. */
const JOBS = "jobs";
/** What the names of job folders begin with, ours and the Python client's; a folder of another name is a person's. */
const JOB_PREFIX = "job_";

/** What something on disk holds; links are not followed. */
export interface Contents {
  files: number;
  bytes: number;
  /** When the newest file was last written to, or the folder itself when it holds none; ms since 1970. */
  newest: number;
  /** Whether all of it could be looked at. */
  complete: boolean;
}

/** Something below a `jobs/`. */
export interface JobEntry extends Contents {
  /** Below the base path, `/` between components. */
  path: string;
  /** Absolute and true. */
  location: string;
  /** `job`: a job's folder; `other`: a folder that no job made; `partial`: left of a copy that was interrupted. */
  kind: "job" | "other" | "partial";
  /** Whether somebody uses it, or the job folder that it lies in. */
  held: boolean;
}

/**
 * Everything that jobs have left below a base path. Folders that may not be read are passed over. Throws
 * `PathValidationError` when the base path is not there.
 */
export async function* listJobEntries(basePath: string, now: number): AsyncGenerator<JobEntry> {
  const root = await resolveExisting(basePath, "");
  for await (const folder of jobsFolders(root)) {
    for (const { name, isDirectory } of await entriesOf(join(root, folder))) {
      const path = `${folder}/${name}`;
      if (isPartialName(name)) yield await entry(root, path, "partial", false);
      else if (isDirectory) yield* jobFolder(root, path, name, now);
    }
  }
}

async function* jobFolder(root: string, path: string, name: string, now: number): AsyncGenerator<JobEntry> {
  const held = await isHeld(join(root, path), now);
  for (const inner of await entriesOf(join(root, path))) {
    if (isPartialName(inner.name)) yield await entry(root, `${path}/${inner.name}`, "partial", held);
  }
  yield await entry(root, path, name.startsWith(JOB_PREFIX) ? "job" : "other", held);
}

async function entry(root: string, path: string, kind: JobEntry["kind"], held: boolean): Promise<JobEntry> {
  const location = join(root, path);
  return { path, location, kind, held, ...await contentsOf(location) };
}

/** `jobs` and `{user}/jobs` below a true root, as far as they are folders there, not links to elsewhere. */
async function* jobsFolders(root: string): AsyncGenerator<string> {
  const users = (await entriesOf(root)).filter(({ name, isDirectory }) => isDirectory && name !== JOBS);
  for (const folder of [JOBS, ...users.map(({ name }) => `${name}/${JOBS}`)]) {
    try {
      const real = await resolveExisting(root, folder);
      if (real === join(root, folder) && (await Deno.lstat(real)).isDirectory) yield folder;
    } catch (error) {
      if (!(error instanceof PathValidationError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** The entries of a folder, sorted by name; none of one that is gone or may not be read. */
async function entriesOf(folder: string): Promise<Deno.DirEntry[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(folder));
    return entries.toSorted((a, b) => a.name < b.name ? -1 : 1);
  } catch (error) {
    if (isPassedOver(error)) return [];
    throw error;
  }
}

function isPassedOver(error: unknown): boolean {
  const { NotFound, NotADirectory, PermissionDenied } = Deno.errors;
  return [NotFound, NotADirectory, PermissionDenied].some((kind) => error instanceof kind);
}

/** Sums up a file, or a folder and all below it. */
async function contentsOf(location: string): Promise<Contents> {
  const sum: Contents = { files: 0, bytes: 0, newest: 0, complete: true };
  const visit = async (path: string): Promise<void> => {
    try {
      const { isDirectory, size, mtime } = await Deno.lstat(path);
      if (isDirectory) { for await (const { name } of Deno.readDir(path)) await visit(join(path, name)); }
      else {
        sum.files += 1;
        sum.bytes += size;
        // A file of unknown age is a new one.
        sum.newest = Math.max(sum.newest, mtime?.getTime() ?? Infinity);
      }
    } catch (error) {
      if (!isPassedOver(error)) throw error;
      sum.complete &&= error instanceof Deno.errors.NotFound;
    }
  };
  await visit(location);
  if (sum.files === 0) {
    const info = await Deno.lstat(location).catch(() => undefined);
    sum.newest = info?.mtime?.getTime() ?? Infinity;
  }
  return sum;
}

/** Whether something may go: nobody uses it, all of it was looked at, and its newest file is older than that (ms). */
export function mayGo({ kind, held, complete, newest }: JobEntry, olderThan: number, now: number): boolean {
  return kind !== "other" && !held && complete && now - newest > olderThan;
}

/**
 * Removes something that may go. A folder first gets a name that no job uses; when somebody took hold of it in the
 * last moment it gets its own back. Returns whether it is gone. Throws Deno's file errors.
 */
export async function removeJobEntry({ kind, location }: JobEntry, now: number): Promise<boolean> {
  if (kind === "job") {
    const doomed = uniquePartial(join(location, ".."));
    await Deno.rename(location, doomed);
    if (await isHeld(doomed, now)) {
      await Deno.rename(doomed, location);
      return false;
    }
    await Deno.remove(doomed, { recursive: true });
  } else {
    await Deno.remove(location, { recursive: true });
  }
  return true;
}
