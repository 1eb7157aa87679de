import type { Config } from "../config/load.ts";
import type { ResultFile } from "../protocol/jobs.ts";
import { refusalCode } from "../protocol/refusal.ts";
import type { Connection } from "./connect.ts";
import type { Summary } from "./event.ts";
import type { JobEnd } from "./follow.ts";
import { storedAt } from "./stored_at.ts";

/** What a summary is made of. */
export interface SummaryParts extends Pick<Summary, "job_id" | "method" | "worker" | "results"> {
  /** What the worker has told that the job made; empty where it tells only how much. */
  files: readonly ResultFile[];
  config: Pick<Config, "storage">;
  connection: Connection;
  end: Exclude<JobEnd, { type: "retry" }>;
  /** By `performance.now()`. */
  began: number;
  /** Seconds from then to the first run; null when none began while this program looked. */
  startedAfter: number | null;
}

/** The end of a job, as it is told. */
export async function summarize(parts: SummaryParts): Promise<Summary> {
  const { job_id, method, worker, results, connection: { pipe, facts }, end, startedAfter } = parts;
  const made = parts.files.length > 0
    ? { files: parts.files.length, bytes: parts.files.reduce((sum, { size }) => sum + size, 0) }
    : end.type === "complete"
    ? end.counts
    : undefined;
  const error = end.type === "failed" ? end.text : null;
  return {
    ok: error === null,
    job_id,
    method,
    worker,
    channel_bytes: pipe.bytesSent + pipe.bytesReceived,
    connection: facts,
    time_to_job_start_s: startedAfter,
    total_s: secondsSince(parts.began),
    results,
    results_storage: results === null ? null : await storedAt(results, parts.config),
    results_files: made?.files ?? null,
    results_bytes: made?.bytes ?? null,
    error,
    code: error === null ? null : refusalCode(error, "JOB_FAILED"),
  };
}

/** To the millisecond. */
export function secondsSince(began: number): number {
  return Math.round(performance.now() - began) / 1000;
}
