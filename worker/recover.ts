/** Jobs of workers that died: found at the next start, ended for good, and cleaned up. */
import { getLogger } from "@logtape/logtape";
import { basename, dirname, join } from "node:path";
import { reasonOf } from "../config/user_error.ts";
import { formatMessage } from "../protocol/message.ts";
import { lockFolder, removeAll, removeLocked, unlockFolder } from "../storage/folder_lock.ts";
import { isFolder, MODELS, type Say } from "./job.ts";
import { Journal } from "./journal.ts";
import { isForgotten, JOURNAL } from "./jobs.ts";
import { tellResults } from "./manifest.ts";
import { RESULTS } from "./worker_job.ts";

const logger = getLogger(["sleap-rtc", "worker", "job"]);

/** Begin of the name of a worker's scratch folder, which it has for itself. */
export const SCRATCH_PREFIX = "sleap-rtc-worker-";
/** Folders between a job's scratch folder and its results, at most. */
const MAX_DEPTH = 3;
const TEXT = "the worker ended during the job";

/**
 * Looks through the jobs in `folder`, an absolute private one. A job that was running when its worker ended gets its
 * end, what it made is kept for its client, its programs (`killMarked`, by the name of the job's folder) and files
 * go; those of workers that live are left alone. Throws Deno's file errors.
 */
export async function recoverJobs(
  folder: string,
  killMarked: (mark: string) => Promise<void>,
): Promise<void> {
  const scratches = new Set<string>();
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (!isDirectory) continue;
    const path = join(folder, name);
    const lock = await lockFolder(path);
    if (!lock) continue;
    const journal = await Journal.open(join(path, JOURNAL)).catch((error: unknown) => {
      if (error instanceof Deno.errors.NotFound) return undefined;
      logger.warn("{path} cannot be read, and is left: {reason}", { path, ...reasonOf(error) });
      return "unreadable" as const;
    });
    if (journal === "unreadable") {
      await unlockFolder(path, lock);
      continue;
    }
    if (!journal || isForgotten(journal)) {
      await journal?.close();
      await removeLocked(path, lock);
      continue;
    }
    if (!journal.end) {
      const { id, folder: own } = journal.header;
      logger.warn("job {id} was running when its worker ended", { id });
      await killMarked(name);
      const kept = join(path, RESULTS);
      await keepModels(own, kept, (text) => journal.append(text)).catch((error: unknown) => {
        logger.error("what job {id} has made is lost: {reason}", { id, ...reasonOf(error) });
      });
      await journal.append(formatMessage({ type: "JOB_FAILED", id, text: TEXT }), "interrupted");
      if (basename(dirname(own)).startsWith(SCRATCH_PREFIX)) scratches.add(dirname(own));
    }
    await journal.close();
    await unlockFolder(path, lock);
  }
  for (const scratch of scratches) await removeAll(scratch);
}

/** Moves the runs of a job to `results`, and tells of them. */
async function keepModels(scratch: string, results: string, say: Say): Promise<void> {
  const models = await findModels(scratch, MAX_DEPTH);
  if (models === undefined) return;
  await Deno.mkdir(results, { recursive: true });
  await Deno.rename(models, join(results, MODELS));
  await tellResults(say, "worker", [{ name: MODELS, path: join(results, MODELS) }]);
}

/** The folder of runs below a job's scratch folder that is not empty. */
async function findModels(folder: string, depth: number): Promise<string | undefined> {
  if (!await isFolder(folder)) return undefined;
  const entries = (await Array.fromAsync(Deno.readDir(folder))).filter(({ isDirectory }) => isDirectory);
  const models = join(folder, MODELS);
  if (
    entries.some(({ name }) => name === MODELS) && (await Array.fromAsync(Deno.readDir(models))).length > 0
  ) {
    return models;
  }
  if (depth === 0) return undefined;
  for (const { name } of entries) {
    const found = await findModels(join(folder, name), depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}
