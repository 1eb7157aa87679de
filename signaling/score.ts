/** Which workers could do a job, and which of them has it running soonest. No state, no clock. */
import { printable } from "../protocol/printable.ts";
import type { QueuedJob } from "../protocol/queue.ts";
import type { WorkerFacts } from "./queue_worker.ts";

/** Of a link that nobody has measured yet, in bytes a second: 100 Mbit/s. */
export const DEFAULT_RATE = 12.5e6;
/** Of a copy into shared storage, in bytes a second. */
export const COPY_RATE = 100e6;
/** Nobody waits longer than this for a busy worker when another is free, in seconds. */
export const LONGEST_PATIENCE_S = 600;
/** Waiting is an estimate, and has to be worth it: so many seconds. */
const LEAST_GAIN_S = 10;
/** Workers that are named in a reason; there may be hundreds. */
const MAX_NAMED = 8;

const JOB_TYPES = { train: "training", track: "inference" } as const;

/** Whether a worker could do a job, sooner or later. */
export function couldDo(job: QueuedJob, worker: WorkerFacts): boolean {
  return lacks(job, worker) === undefined;
}

/** The first thing that a worker lacks for a job, in words; undefined when it could do it. */
function lacks({ kind, requires, avoid }: QueuedJob, worker: WorkerFacts): string | undefined {
  const { storage, gpu_memory_mb: memory, labels } = requires;
  if (requires.worker !== undefined && requires.worker !== worker.id) return `is "${requires.worker}"`;
  if (avoid.includes(worker.id)) return "has not been tried yet";
  if (worker.status === "maintenance") return "takes new jobs";
  if (worker.jobTypes && !worker.jobTypes.has(JOB_TYPES[kind])) return `does ${JOB_TYPES[kind]}`;
  if (storage !== undefined && !worker.backends.has(storage)) return `has storage "${storage}"`;
  const label = labels.find((each) => !worker.labels.has(each));
  if (label !== undefined) return `has the label "${label}"`;
  if (memory !== undefined && worker.gpuMemoryMb < memory) {
    return `has ${memory} MiB of GPU memory`;
  }
  return undefined;
}

/** Why no worker could do a job: what is missing, and what there is. One line. */
export function explainMissing(job: QueuedJob, workers: readonly WorkerFacts[]): string {
  if (workers.length === 0) return "there is no worker in the room";
  const missing = [...new Set(workers.map((worker) => lacks(job, worker)))].filter((each) =>
    each !== undefined
  );
  const named = workers.slice(0, MAX_NAMED).map(describe);
  const more = workers.length > MAX_NAMED ? `, and ${workers.length - MAX_NAMED} more` : "";
  return oneLine(`no worker ${missing.join(" and ")}; there are: ${named.join(", ")}${more}`);
}

function describe({ id, backends, gpuMemoryMb, gpuModel, labels, status }: WorkerFacts): string {
  const facts = [
    [...backends].join(", ") || "no storage",
    gpuMemoryMb > 0 ? `${gpuMemoryMb} MiB` : gpuModel ?? "no GPU",
    ...[...labels].filter((label) => !COMMON_LABELS.has(label)),
    ...(status === "maintenance" ? ["stopping"] : []),
  ];
  return `${id} (${facts.join("; ")})`;
}

/** Tags that every worker has, which tell nothing. Source: PROTOCOL.md section 5.1. */
const COMMON_LABELS: ReadonlySet<string> = new Set(["sleap-rtc", "training-worker", "inference-worker"]);

/** How a worker stands; see {@link estimate}. */
export interface Standing {
  readonly facts: WorkerFacts;
  /** Seconds until it is free; 0 when it is; undefined when nobody can tell. */
  readonly wait: number | undefined;
  /** Bytes a second over its data channel; undefined when it was never measured. */
  readonly rate: number | undefined;
}

/** How long a job would take to begin at a worker, in seconds. */
export interface Estimate {
  readonly worker: WorkerFacts;
  readonly wait: number;
  readonly move: number;
  readonly total: number;
  readonly way: Way;
  /** How the package gets there, in words. */
  readonly how: string;
}

/** How a package gets to a worker, the best way first: it is there, it is copied to shared storage, it is sent. */
type Way = 0 | 1 | 2;

/** Seconds until a job's first epoch could begin at a worker; undefined when nobody knows when that is free. */
export function estimate(job: QueuedJob, { facts, wait, rate }: Standing): Estimate | undefined {
  if (wait === undefined) return undefined;
  const { seconds: move, way, how } = moving(job, facts, rate ?? DEFAULT_RATE);
  return { worker: facts, wait, move, total: wait + move, way, how };
}

function moving(
  job: QueuedJob,
  { backends }: WorkerFacts,
  rate: number,
): { seconds: number; way: Way; how: string } {
  const shared = job.lies_in.find((name) => backends.has(name));
  if (shared !== undefined) return { seconds: 0, way: 0, how: `the package lies in "${shared}"` };
  const copied = job.copies_to.find((name) => backends.has(name));
  const copySeconds = job.bytes / COPY_RATE;
  const sendSeconds = job.bytes / rate;
  if (copied !== undefined && copySeconds <= sendSeconds) {
    return { seconds: copySeconds, way: 1, how: `${size(job.bytes)} are copied to "${copied}"` };
  }
  return { seconds: sendSeconds, way: 2, how: `${size(job.bytes)} are sent` };
}

/** The order in which workers are tried: the soonest first, then the better way, then the GPU that fits, then the id. */
export function compare(job: QueuedJob, a: Estimate, b: Estimate): number {
  // Whole seconds: what differs by less is equal.
  const sooner = Math.round(a.total) - Math.round(b.total);
  if (sooner !== 0) return sooner;
  if (a.way !== b.way) return a.way - b.way;
  const memory = a.worker.gpuMemoryMb - b.worker.gpuMemoryMb;
  // A job that says what it needs leaves the larger to others.
  if (memory !== 0) return job.requires.gpu_memory_mb === undefined ? -memory : memory;
  return a.worker.id < b.worker.id ? -1 : a.worker.id > b.worker.id ? 1 : 0;
}

/** Where a job goes: `free` to a worker, or to none because waiting for another is better. One line explains it. */
export type Choice = { worker: WorkerFacts; reason: string } | { waitsFor: WorkerFacts; reason: string };

/**
 * The best of the workers that could do a job, some of them free. `patience`: seconds that it may still wait for a busy
 * one. Undefined when none is free.
 */
export function choose(job: QueuedJob, standings: readonly Standing[], patience: number): Choice | undefined {
  const known = standings.map((standing) => estimate(job, standing)).filter((each) => each !== undefined)
    .toSorted((a, b) => compare(job, a, b));
  const best = known.find(({ wait }) => wait === 0);
  if (best === undefined) return undefined;
  const [first] = known;
  if (first && first.wait > 0 && first.wait <= patience && first.total + LEAST_GAIN_S < best.total) {
    return { waitsFor: first.worker, reason: oneLine(explainWait(first, best)) };
  }
  const other = known.find((each) => each !== best);
  return { worker: best.worker, reason: oneLine(explainChoice(best, other)) };
}

function explainChoice(best: Estimate, other: Estimate | undefined): string {
  const { worker, total, how, move } = best;
  const chosen = `worker ${worker.id}: ${seconds(total)} to the first epoch: ${how} (${
    seconds(move)
  }), free now`;
  if (other === undefined) return chosen;
  const busy = other.wait > 0 ? `, busy for ${seconds(other.wait)}` : "";
  return `${chosen}; ${other.worker.id} would need ${seconds(other.total)}: ${other.how}${busy}`;
}

function explainWait(first: Estimate, best: Estimate): string {
  return `waits for worker ${first.worker.id}, free in about ${seconds(first.wait)}: ${first.how}; ` +
    `${best.worker.id} is free, but would need ${seconds(best.total)}: ${best.how}`;
}

function seconds(value: number): string {
  return `${value < 10 && value > 0 ? Number(value.toFixed(1)) : Math.round(value)} s`;
}

function size(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
}

/** Longest reason, in characters: the protocol takes a thousand. */
const MAX_REASON = 900;

/** What workers tell of themselves, safe for a terminal. */
export function oneLine(text: string): string {
  return printable(text, MAX_REASON);
}
