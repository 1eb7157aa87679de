/** Where the files lie that a job has made. */
import { dirname, join } from "node:path";
import type { ResultFile } from "../protocol/jobs.ts";
import { hashFile } from "../storage/file_hash.ts";
import { checkNames } from "../storage/incoming.ts";
import type { JobRecord } from "./job_records.ts";

/** A file of results: at home, on shared storage that is mounted here, or nowhere that this machine sees. */
export interface FoundFile extends ResultFile {
  where: "home" | "storage" | null;
  /** Absolute; null when it is nowhere. */
  path: string | null;
  /** Whether what is there is what the job has made, as far as was looked. */
  isGood: boolean;
}

/** Whether a file is what the job has made. */
export type Check = (path: string, file: ResultFile, signal: AbortSignal) => Promise<boolean>;

/**
 * Looks for the files of a record, in all places for one that passes the check. Throws `PathValidationError` for names
 * that lead elsewhere, the abort reason.
 */
export async function findResults(
  record: JobRecord,
  check: Check,
  signal: AbortSignal,
): Promise<FoundFile[]> {
  const found: FoundFile[] = [];
  // The names came from a worker.
  for (const [index, { name, size }] of checkNames(record.files).entries()) {
    const file = { name, size, sha256: record.files[index]!.sha256 };
    let best: FoundFile = { ...file, where: null, path: null, isGood: false };
    for (const { where, path } of placesOf(record, name)) {
      if (!await isFile(path)) continue;
      const isGood = await check(path, file, signal);
      if (isGood || best.path === null) best = { ...file, where, path, isGood };
      if (isGood) break;
    }
    found.push(best);
  }
  return found;
}

/** Whether a file has the size that was recorded. */
export async function hasSize(path: string, { size }: ResultFile): Promise<boolean> {
  return (await Deno.stat(path)).size === size;
}

/** Whether a file has the size and the hash that were recorded. Throws the abort reason, Deno's file errors. */
export async function isWhole(
  path: string,
  { size, sha256 }: ResultFile,
  signal: AbortSignal,
): Promise<boolean> {
  if ((await Deno.stat(path)).size !== size) return false;
  return (await hashFile(path, signal)).sha256 === sha256;
}

/** Whether there is a file. */
export async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then((info) => info.isFile, () => false);
}

/** Where a file may be, the likeliest first. */
function placesOf(
  { placed, result_folders }: JobRecord,
  name: string,
): { where: "home" | "storage"; path: string }[] {
  const atHome = placed.toReversed().flatMap((entry) => {
    if (name === entry.name) return [entry.path];
    return name.startsWith(`${entry.name}/`) ? [join(entry.path, name.slice(entry.name.length + 1))] : [];
  });
  // Those folders are called `models`, and names are below the folder that holds them.
  const stored = result_folders.map((folder) => join(dirname(folder), name));
  return [
    ...atHome.map((path) => ({ where: "home" as const, path })),
    ...stored.map((path) => ({ where: "storage" as const, path })),
  ];
}
