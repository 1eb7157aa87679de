import { getLogger } from "@logtape/logtape";
import { basename, dirname, join } from "node:path";
import { reasonOf } from "../config/user_error.ts";
import { isInside } from "../storage/containment.ts";
import { type JobInput, type JobProgress, type JobResult, MODELS, runJob } from "./job.ts";
import type { WorkerJob } from "./worker_job.ts";

const logger = getLogger(["sleap-rtc", "worker", "job"]);

/** Folder, in a job's scratch folder, that its package is unpacked to. */
const PACKAGE = "package";

/**
 * Runs a package and delivers its results. When they cannot be delivered, or the job is cut off, what was made is kept
 * for the client to take. Throws what {@link runJob} and `deliver` throw.
 */
export async function runPackage<T>(
  job: WorkerJob,
  input: JobInput,
  deliver: (result: JobResult) => Promise<T>,
): Promise<[JobResult, T]> {
  const progress: JobProgress = { folder: undefined, succeeded: 0 };
  const folder = join(job.scratch, PACKAGE);
  try {
    await Deno.mkdir(folder);
    const result = await runJob(input, folder, job, progress);
    return [result, await deliver(result)];
  } catch (error) {
    await rescue(job, progress).catch((failure: unknown) => {
      logger.error("the results are lost: {reason}", reasonOf(failure));
    });
    throw error;
  }
}

/** Keeps what a cut-off or undelivered job has made; runs that ended well are days of work. */
async function rescue(job: WorkerJob, { folder, succeeded }: JobProgress): Promise<void> {
  // A run that was ended from outside has its checkpoints; one that was cancelled is not wanted.
  if (folder === undefined || (succeeded === 0 && !job.isCutOff)) return;
  // A package that lay unpacked on the storage has its results there, where nobody takes them away.
  if (!isInside(folder, dirname(job.scratch))) {
    return logger.warn("what the runs made lies in {folder}", { folder });
  }
  const entries = await Array.fromAsync(Deno.readDir(folder));
  await job.keepResults({
    models: entries.some(({ name }) => name === MODELS) ? join(folder, MODELS) : undefined,
    predictions: entries.filter(({ name, isFile }) => isFile && name.endsWith(".slp"))
      .map(({ name }) => join(folder, name)),
  });
  logger.error("the results of job {id} could not be delivered; they are kept in {kept}", {
    id: job.id,
    kept: job.folder,
  });
}

/** File name without `.zip`. */
export function stemOf(path: string): string {
  return basename(path).replace(/\.zip$/i, "");
}
