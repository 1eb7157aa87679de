import { z } from "zod";
import { type QueuedJob, queuedJobSchema } from "../protocol/queue.ts";

/** A job as the store remembers it. Times in milliseconds since the epoch. */
export const jobRecordSchema = z.object({
  job: queuedJobSchema,
  room: z.string().min(1),
  /** Peer id of who submitted it; nobody else speaks for it. */
  client: z.string().min(1),
  /** `offered`: a worker is asked; `assigned`: it keeps a place. */
  state: z.enum(["queued", "offered", "assigned", "running", "done", "failed", "cancelled"]),
  /** Of two jobs of one owner the one with the lower number came first. */
  place: z.int().nonnegative(),
  submitted: z.number(),
  /** When it came into the queue last: a worker may have given it back. */
  queued: z.number(),
  assigned: z.number().optional(),
  began: z.number().optional(),
  ended: z.number().optional(),
  /** Its worker has not said that it ended, and may still do so. */
  isAssumed: z.boolean().optional(),
  /** Peer id; with every state but `queued`. */
  worker: z.string().optional(),
  /** Workers that it was assigned to before; one of them may still say that it runs. */
  past: z.array(z.string()).max(256),
  /** How often a worker kept a place in vain. */
  releases: z.int().nonnegative(),
  reason: z.string(),
});
/** See {@link jobRecordSchema}. */
export type JobRecord = z.infer<typeof jobRecordSchema>;
/** How a job stands. */
export type JobState = JobRecord["state"];

/** A worker that did not take a job is asked again after a pause, which grows. */
export interface Refusal {
  until: number;
  pauseMs: number;
}

/** A job of the queue: what is remembered, and what only this process needs. */
export interface Job {
  record: JobRecord;
  readonly key: string;
  /** Equal for jobs that the same workers could do. */
  wish: string;
  /** Its size, see {@link charsOf}. */
  chars: number;
  /** Workers that refused it, by id. */
  readonly refusals: Map<string, Refusal>;
  /** The place in the queue that its client knows. */
  toldPosition: number | undefined;
  /** Since when nobody knows of the worker that runs it, in milliseconds since the epoch. */
  lostSince: number | undefined;
  /** Counted among what its owner has with workers. */
  isActive: boolean;
}

/** Under which key a job is kept: rooms know nothing of each other's ids. */
export function jobKey(room: string, id: string): string {
  return `${room}/${id}`;
}

/** A job of the queue, out of what is remembered. */
export function makeJob(record: JobRecord): Job {
  return {
    record,
    key: jobKey(record.room, record.job.id),
    wish: wishOf(record.job),
    chars: charsOf(record.job),
    refusals: new Map(),
    toldPosition: undefined,
    lostSince: undefined,
    isActive: false,
  };
}

/** Equal for jobs that the same workers could do. */
export function wishOf({ kind, requires, avoid }: QueuedJob): string {
  return JSON.stringify([kind, requires, avoid]);
}

/** How much of the memory a job takes, in characters of JSON. */
export function charsOf(job: QueuedJob): number {
  return JSON.stringify(job).length;
}

/** What is kept of a job that has ended: not the lists, which are by far the most of a large one. */
export function shortened(record: JobRecord): JobRecord {
  return { ...record, job: { ...record.job, lies_in: [], copies_to: [], avoid: [] }, past: [] };
}

/** Whose turn it is: `owner`, which no other client's peer id can be mistaken for. */
export function ownerOf({ job, client }: JobRecord): string {
  return job.owner === undefined ? `peer ${client}` : `owner ${job.owner}`;
}

/** Whether nothing more will happen to it. */
export function hasEnded({ state }: JobRecord): boolean {
  return state === "done" || state === "failed" || state === "cancelled";
}
