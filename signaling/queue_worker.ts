import { z } from "zod";
import { QUEUE } from "../protocol/queue.ts";
import type { RegisteredPeer } from "./room.ts";
import type { Job } from "./queue_job.ts";

/** How much a new measure counts beside those from before. */
const NEW_SHARE = 0.3;
/** Less than this says nothing of a link, in bytes. */
const LEAST_MEASURED = 1024 * 1024;
/** Faster than any link, in bytes a second: a worker may say what it likes. */
const FASTEST = 10e9;

const texts = z.array(z.unknown()).catch([]).transform((list) =>
  new Set(list.filter((each) => typeof each === "string"))
);
const propertiesSchema = z.object({
  status: z.string().catch("available"),
  storage_backends: texts,
  // A worker that says nothing of it is taken for one that does everything, as Python clients do.
  supported_job_types: z.array(z.unknown()).optional().catch(undefined),
  gpu_memory_mb: z.number().nonnegative().catch(0),
  gpu_model: z.string().optional().catch(undefined),
  labels: texts,
});

/** What a worker tells of itself, as far as jobs ask for it. */
export interface WorkerFacts {
  readonly id: string;
  readonly status: string;
  readonly backends: ReadonlySet<string>;
  /** Job types of PROTOCOL.md section 5.1; undefined for all. */
  readonly jobTypes: ReadonlySet<unknown> | undefined;
  /** MiB. */
  readonly gpuMemoryMb: number;
  readonly gpuModel: string | undefined;
  /** Tags and labels. */
  readonly labels: ReadonlySet<string>;
  /** Whether it knows offers of jobs. */
  readonly takesOffers: boolean;
}

/** What a worker tells of itself; what is of the wrong kind is left out. */
export function workerFacts({ peerId, metadata, features }: RegisteredPeer): WorkerFacts {
  const properties = propertiesSchema.parse(metadata.properties ?? {});
  const { supported_job_types: types } = properties;
  return {
    id: peerId,
    status: properties.status,
    backends: properties.storage_backends,
    jobTypes: types && new Set(types),
    gpuMemoryMb: properties.gpu_memory_mb,
    gpuModel: properties.gpu_model,
    labels: new Set([...metadata.tags ?? [], ...properties.labels]),
    takesOffers: features.includes(QUEUE),
  };
}

/** What was measured of a worker; undefined where nothing was. */
export class History {
  /** Bytes a second over the data channel. */
  rate: number | undefined;
  /** Milliseconds that a job takes. */
  duration: number | undefined;

  /** `bytes` came in so many `seconds`. */
  received({ bytes, seconds }: { bytes: number; seconds: number }): void {
    if (bytes < LEAST_MEASURED || seconds <= 0) return;
    this.rate = mixed(this.rate, Math.min(FASTEST, bytes / seconds));
  }

  /** A job took so many milliseconds. */
  took(ms: number): void {
    if (ms >= 0) this.duration = mixed(this.duration, ms);
  }
}

function mixed(before: number | undefined, now: number): number {
  return before === undefined ? now : (1 - NEW_SHARE) * before + NEW_SHARE * now;
}

/** A worker that is in its room. */
export interface QueueWorker {
  peer: RegisteredPeer;
  facts: WorkerFacts;
  readonly history: History;
  /** Jobs that it runs, by key. */
  readonly running: Set<Job>;
  /** What it was asked and has not answered yet. */
  offer: { job: Job; forget: () => void } | undefined;
  /** Given to a worker that knows no offers; it takes no other until it is seen at work, or a while has passed. */
  given: { job: Job; isSeen: boolean; forget: () => void } | undefined;
  /** Not to be asked before this time, in milliseconds since the epoch. */
  restsUntil: number;
}

/** Whether a job can be given to it now. */
export function isFree({ facts, offer, given, restsUntil }: QueueWorker, now: number): boolean {
  return facts.status === "available" && !offer && !given && restsUntil <= now;
}
