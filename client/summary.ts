import { refusalCode } from "../protocol/refusal.ts";
import type { Connection } from "./connect.ts";
import type { Summary } from "./event.ts";
import type { JobEnd } from "./follow.ts";

/** What a summary is made of. */
export interface SummaryParts extends Pick<Summary, "job_id" | "method" | "worker" | "results"> {
  connection: Connection;
  end: Exclude<JobEnd, { type: "retry" }>;
  /** By `performance.now()`. */
  began: number;
  /** Seconds from then to the first run; null when none began while this program looked. */
  startedAfter: number | null;
}

/** The end of a job, as it is told. */
export function summarize(parts: SummaryParts): Summary {
  const { job_id, method, worker, results, connection: { pipe, facts }, end, startedAfter } = parts;
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
    error,
    code: error === null ? null : refusalCode(error, "JOB_FAILED"),
  };
}

/** To the millisecond. */
export function secondsSince(began: number): number {
  return Math.round(performance.now() - began) / 1000;
}
