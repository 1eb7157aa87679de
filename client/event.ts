import type { ErrorCode } from "../config/error_code.ts";
import type { ConnectionFacts } from "./connect.ts";
import type { StoredAt } from "./stored_at.ts";
import type { TrainingEvent } from "./training_status.ts";

/** What a submission reports; people, logs and scripts are shown the same facts. */
export type ClientEvent =
  | { event: "info"; text: string }
  | { event: "warning"; text: string }
  | { event: "worker"; worker: string; backends: readonly string[] | null }
  /** The job waits; `position` from 1, null when it is not known. */
  | { event: "queued"; position: number | null; reason: string }
  | { event: "assigned"; worker: string; reason: string }
  | { event: "method"; method: string; why: string }
  /** The job goes on from here without this client as well; `attach` comes back to it. */
  | { event: "job"; job_id: string }
  | { event: "progress"; what: string; done: number; total: number }
  | { event: "run_started"; name: string }
  | { event: "run_ended"; name: string; exit_code: number }
  | { event: "log"; text: string }
  | TrainingEvent
  /** Results were copied, by name, into an absolute folder; `there` were in it already. */
  | { event: "fetched"; into: string; files: readonly string[]; there: number }
  | { event: "summary"; summary: Summary };

/** The end of a submission. Times in seconds, sizes in bytes. */
export interface Summary {
  ok: boolean;
  job_id: string;
  /** `in place`, `copy` or `rtc`. */
  method: string;
  worker: string;
  /** Payload over the data channel, both directions. */
  channel_bytes: number;
  connection: ConnectionFacts;
  /** From the start of the program to the first run; null when none started. */
  time_to_job_start_s: number | null;
  total_s: number;
  /** Absolute folder that holds the results; null when there are none. */
  results: string | null;
  /** Where that is on shared storage; null when it lies in no backend of this machine. */
  results_storage: StoredAt | null;
  /** Number of files that the job has made, and their sizes together; null where the worker did not tell. */
  results_files: number | null;
  results_bytes: number | null;
  error: string | null;
  /** Which kind of error it is. */
  code: ErrorCode | null;
}

/** Takes events to where they are seen. */
export interface Screen {
  show(event: ClientEvent): void;
  /** A question to whoever sits there, until it is answered; undefined takes it away. */
  ask?(question: string | undefined): void;
  /** Ends what is being drawn. */
  close(): void;
}
