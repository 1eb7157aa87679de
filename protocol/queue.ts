/** Jobs that the signaling server leads to workers; Python peers know nothing of it. Source: docs/protocol.md. */
import { z } from "zod";

/** Name of the feature in `register` and `registered_auth`: this side knows the messages below. */
export const QUEUE = "queue";

const name = z.string().min(1).max(64);
const peer = z.string().min(1).max(256);
const reason = z.string().max(1_000);

/** Id of a queued job, made by its client: the same whenever the same job is submitted again. */
export const queueIdSchema = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/);

/** What a worker must have to be offered a job. */
const requirementsSchema = z.object({
  /** A storage backend. */
  storage: name.optional(),
  /** MiB. */
  gpu_memory_mb: z.number().nonnegative().optional(),
  /** All of these must be among the worker's tags. */
  labels: z.array(name).max(16).default([]),
  /** This worker and no other. */
  worker: peer.optional(),
});

/** A job as its client submits it. */
export const queuedJobSchema = z.object({
  id: queueIdSchema,
  kind: z.enum(["train", "track"]),
  requires: requirementsSchema.prefault({}),
  /** Size of the package. */
  bytes: z.int().nonnegative().default(0),
  /** Backends in which the package lies already, so that a path is all that travels. */
  lies_in: z.array(name).max(64).default([]),
  /** Backends that the client can copy it to. */
  copies_to: z.array(name).max(64).default([]),
  /** Whose turn it is, an opaque text: jobs of one owner wait for each other first. Default: the client's peer id. */
  owner: peer.optional(),
  /** Seconds that it may wait for a worker; 0 to be refused at once. */
  wait_s: z.number().min(0).max(30 * 86_400).default(86_400),
  /** Workers that did not work out; never offered to them again. */
  avoid: z.array(peer).max(256).default([]),
});
/** See {@link queuedJobSchema}. */
export type QueuedJob = z.infer<typeof queuedJobSchema>;

/** Why a job does not go on; stable. */
export const queueRefusalSchema = z.enum([
  /** No worker of the room, busy ones included, has what the job requires. */
  "NO_MATCHING_WORKER",
  /** All that have are busy, and the job does not wait (any longer). */
  "QUEUE_TIMEOUT",
  /** The server holds as many jobs as it can. */
  "QUEUE_FULL",
  /** The job breaks the rules of its fields, or names another client's id. */
  "INVALID_JOB",
  /** It has ended already; what is submitted again under an old id does not run again. */
  "JOB_ENDED",
]);
/** See {@link queueRefusalSchema}. */
export type QueueRefusal = z.infer<typeof queueRefusalSchema>;

/** How a worker says that a job stands. */
export const reportedStateSchema = z.enum(["held", "running", "done", "failed", "cancelled", "released"]);
/** See {@link reportedStateSchema}; `held`: its place is kept; `released`: it is not, and the job never began. */
export type ReportedState = z.infer<typeof reportedStateSchema>;

/** What a client sends. */
export const jobSubmitSchema = z.object({ type: z.literal("job_submit"), job: queuedJobSchema });
export const jobWithdrawSchema = z.object({ type: z.literal("job_withdraw"), job: queueIdSchema });

/** What a worker sends. */
export const jobAnswerSchema = z.object({
  type: z.literal("job_answer"),
  job: queueIdSchema,
  accepted: z.boolean(),
  reason: reason.optional(),
});
export const jobReportSchema = z.object({
  type: z.literal("job_report"),
  job: queueIdSchema,
  state: reportedStateSchema,
  reason: reason.optional(),
  /** What came over the data channel before the job began, for the measure of the link; with `running`. */
  received: z.object({ bytes: z.number().nonnegative(), seconds: z.number().nonnegative() }).optional(),
});

/** What the server sends to a client. */
export const jobStateSchema = z.object({
  type: z.literal("job_state"),
  job: queueIdSchema,
  state: z.enum(["queued", "assigned", "running", "done", "failed", "cancelled", "refused"]),
  /** For people, one line: what the job waits for, why this worker, what is missing. */
  reason: z.string(),
  /** With `queued`: from 1. */
  position: z.int().positive().optional(),
  /** With `assigned`: its peer id. The worker expects this client. */
  worker: z.string().optional(),
  /** With `refused`. */
  code: queueRefusalSchema.optional(),
});
/** See {@link jobStateSchema}. */
export type JobStateMessage = z.infer<typeof jobStateSchema>;

/** What the server sends to a worker. */
export const jobOfferSchema = z.object({
  type: z.literal("job_offer"),
  job: queuedJobSchema,
  /** Peer id of the client that will connect when the worker accepts. */
  client: z.string(),
  /** Seconds within which the worker answers. */
  answer_s: z.number().positive(),
  /** Seconds for which it keeps the place, once it has accepted, until the client connects. */
  hold_s: z.number().positive(),
});
export const jobReleaseSchema = z.object({ type: z.literal("job_release"), job: queueIdSchema });
export const jobNotedSchema = z.object({
  type: z.literal("job_noted"),
  job: queueIdSchema,
  state: reportedStateSchema,
});
