/**
 * Jobs that outlive their client's connection: listed, followed again, stopped. Only peers of this program speak it;
 * see "Jobs" in docs/protocol.md.
 */
import { z } from "zod";

/** Name of the feature in offer and answer. */
export const JOBS = "jobs";

/** How a job ended; `interrupted` when its worker did. A job has exactly one of these, once it has ended. */
export const JOB_ENDS = ["complete", "failed", "cancelled", "interrupted"] as const;
/** See {@link JOB_ENDS}. */
export type JobEndState = typeof JOB_ENDS[number];

const id = z.string().min(1).max(200);
const number = z.int().min(0);

/** `JOB_ATTACH`, from the client: tell what comes after event `after`; bring the results when `results`. */
export const attachSchema = z.object({ id, after: number, results: z.boolean() });
/** See {@link attachSchema}. */
export type JobAttach = z.infer<typeof attachSchema>;

/** What a worker tells of a job: in `JOB_STATE`, and as a list in `JOBS`. */
export const factsSchema = z.object({
  id,
  state: z.enum(["running", ...JOB_ENDS]),
  /** File name of the package. */
  name: z.string().max(4096),
  /** ISO 8601. */
  began: z.string().max(40),
  ended: z.string().max(40).optional(),
  /** Number of the last event. */
  events: number,
  /** Whether the worker keeps results that nobody has taken yet. */
  results: z.boolean(),
});
/** See {@link factsSchema}. */
export type JobFacts = z.infer<typeof factsSchema>;

/** Longest name of a file of results, in characters. */
const MAX_NAME = 4096;
/** Files of one `JOB_RESULTS` have about so many bytes at most; one entry more still fits a message. */
export const RESULTS_LIST_BYTES = 32 * 1024;

/** See {@link ResultFile}. */
export const resultFileSchema = z.object({
  /** Below the output folder, with `/`: runs in `models/`, predictions beside that. */
  name: z.string().min(1).max(MAX_NAME),
  /** Bytes. */
  size: number,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
/** A file that a job has made. */
export type ResultFile = z.infer<typeof resultFileSchema>;

/** Where results lie when a job ends: in its output folder on shared storage, or with the worker. */
export const RESULTS_PLACES = ["storage", "worker"] as const;
/** See {@link RESULTS_PLACES}. */
export type ResultsPlace = typeof RESULTS_PLACES[number];

/** `JOB_RESULTS`, from the worker, as often as needed, before the event that ends a job: what it has made. */
export const resultsSchema = z.object({ place: z.enum(RESULTS_PLACES), files: z.array(resultFileSchema) });
/** See {@link resultsSchema}. */
export type JobResults = z.infer<typeof resultsSchema>;

/** `JOBS`, from the worker, the newest first; those that do not fit into one message are left out. */
export const jobsSchema = z.array(factsSchema);
