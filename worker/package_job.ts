/** What a job does with its package, wherever that lies, and what it says in the end. */
import { basename, join } from "node:path";
import type { JobEndState } from "../protocol/jobs.ts";
import type { Message, PackageType } from "../protocol/message.ts";
import type { ArrivedPackage } from "./incoming_transfer.ts";
import type { JobResult } from "./job.ts";
import { runPackage, stemOf } from "./job_runner.ts";
import { tellResults } from "./manifest.ts";
import { failureText } from "./results.ts";
import { DamagedOnStorageError, type StoragePlaces } from "./storage_places.ts";
import type { WorkerJob } from "./worker_job.ts";

/** Folder, in a job's scratch folder, of a package that came over the channel. */
const RECEIVED = "received";

type Ending = { end: JobEndState; message: Message };

/** A package that came over the channel: its results are kept until the client has taken them. */
export async function runArrivedJob(
  job: WorkerJob,
  arrived: ArrivedPackage,
  kind: PackageType,
): Promise<Ending> {
  const folder = join(job.scratch, RECEIVED);
  await Deno.rename(arrived.folder, folder);
  const path = join(folder, arrived.path.slice(arrived.folder.length));
  const file = arrived.isFolder ? undefined : await Deno.open(path, { read: true });
  try {
    const stem = stemOf(arrived.path);
    const source = file ? { file, size: (await file.stat()).size } : { folder: path };
    const input = { source, stem, received: basename(path), kind };
    const [result] = await runPackage(job, input, (made) => job.keepResults(made));
    return ending(job.id, result, ".");
  } finally {
    file?.close();
  }
}

/** A package on shared storage: its results go there. */
export async function runStorageJob(job: WorkerJob, places: StoragePlaces): Promise<Ending> {
  const { path, source, close } = await places.open(job.scratch, job.signal);
  try {
    const input = { source, stem: stemOf(path), received: places.received };
    const [result, size] = await runPackage(job, input, (made) => places.deliver(made, job.signal))
      .catch(DamagedOnStorageError.rethrow);
    await tellResults(job.say, "storage", size.made);
    return ending(job.id, result, places.outputReceived, size);
  } finally {
    close();
  }
}

function ending(
  id: string,
  result: JobResult,
  path: string,
  size?: { files: number; bytes: number },
): Ending {
  const text = failureText(result);
  if (text !== undefined) return { end: "failed", message: { type: "JOB_FAILED", id, text } };
  const counts = size ? { fileCount: size.files, totalMb: Math.round(size.bytes / 1e4) / 100 } : {};
  return { end: "complete", message: { type: "JOB_COMPLETE", id, path: path || ".", ...counts } };
}
