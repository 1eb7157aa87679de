import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";
import type { PackageType } from "../protocol/message.ts";
import type { PeerInfo } from "../protocol/signaling.ts";

/** A worker as a person chooses it. */
export interface WorkerInfo {
  peerId: string;
  /** Undefined when it has not said. */
  backends: readonly string[] | undefined;
  gpuModel: string;
  /** MiB; 0 without a GPU. */
  gpuMemoryMb: number;
  hostname: string;
  status: string;
  /** What it is labelled with, and its tags. */
  labels: readonly string[];
  /** `training`, `inference`; undefined when it has not said. */
  jobTypes: readonly string[] | undefined;
}

/** What a job asks of a worker. */
export interface Needs {
  kind?: PackageType;
  /** A storage backend. */
  storage?: string | undefined;
  /** MiB. */
  gpuMemoryMb?: number | undefined;
  labels?: readonly string[];
}

/** No worker of the room can take the job. */
export class NoWorkerError extends UserError {
  static override readonly code: ErrorCode = "NO_MATCHING_WORKER";
}

/** Tags that every worker has. */
const COMMON_TAGS: readonly string[] = ["sleap-rtc", "training-worker", "inference-worker"];
const JOB_TYPES: Readonly<Record<PackageType, string>> = { train: "training", track: "inference" };

function text(value: unknown, fallback: string): string {
  return typeof value === "string" ? value : fallback;
}

function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

function texts(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : undefined;
}

/** What a peer's metadata say of a worker; what is missing or of another type is left out. */
export function workerInfo({ peer_id, metadata }: PeerInfo): WorkerInfo {
  const properties = metadata?.properties ?? {};
  const labels = [...texts(properties["labels"]) ?? [], ...metadata?.tags ?? []];
  return {
    peerId: peer_id,
    backends: texts(properties["storage_backends"]),
    gpuModel: text(properties["gpu_model"], "unknown"),
    gpuMemoryMb: number(properties["gpu_memory_mb"]) ?? 0,
    hostname: text(properties["hostname"], "unknown"),
    status: text(properties["status"], "unknown"),
    labels: [...new Set(labels)].filter((each) => !COMMON_TAGS.includes(each)),
    jobTypes: texts(properties["supported_job_types"]),
  };
}

/** Why a worker could never take a job, however long one waits; undefined when it could. */
export function misfit(
  worker: WorkerInfo,
  { kind, storage, gpuMemoryMb = 0, labels = [] }: Needs,
): string | undefined {
  const missing = labels.filter((each) => !worker.labels.includes(each));
  if (storage !== undefined && !worker.backends?.includes(storage)) return `no storage "${storage}"`;
  if (worker.gpuMemoryMb < gpuMemoryMb) return `${worker.gpuMemoryMb} of ${gpuMemoryMb} MiB GPU memory`;
  if (missing.length > 0) return `no label ${missing.map((each) => `"${each}"`).join(", ")}`;
  if (kind && worker.jobTypes && !worker.jobTypes.includes(JOB_TYPES[kind])) return `no ${JOB_TYPES[kind]}`;
  return undefined;
}

/**
 * Workers in the order in which they suit: those that share the first wanted backend, then the second, …; among
 * equals the most GPU memory, then the lowest id.
 */
export function rankWorkers(workers: readonly WorkerInfo[], wantedBackends: readonly string[]): WorkerInfo[] {
  const rank = ({ backends }: WorkerInfo): number => {
    const found = wantedBackends.findIndex((name) => backends?.includes(name));
    return found < 0 ? wantedBackends.length : found;
  };
  return workers.toSorted((a, b) =>
    rank(a) - rank(b) || b.gpuMemoryMb - a.gpuMemoryMb || (a.peerId < b.peerId ? -1 : 1)
  );
}

/** Why none of the workers of a room will do. */
export function noWorker(all: readonly WorkerInfo[], needs: Needs, workerId?: string): NoWorkerError {
  if (workerId !== undefined && !all.some(({ peerId }) => peerId === workerId)) {
    return new NoWorkerError(`worker ${workerId} is not in the room`, {
      hint: all.length > 0
        ? `there are: ${all.map(({ peerId }) => peerId).join(", ")}`
        : "no worker is in the room",
    });
  }
  if (all.length === 0) {
    return new NoWorkerError("no worker is in the room", { hint: "start one, or check --room-id" });
  }
  const looked = workerId === undefined ? all : all.filter(({ peerId }) => peerId === workerId);
  const reasons = looked.map((worker) => `${worker.peerId} (${misfit(worker, needs) ?? worker.status})`);
  return new NoWorkerError(`no suitable worker is in the room: ${reasons.join(", ")}`, {
    hint: "ask for less, or see: sleap-rtc-client workers",
  });
}

/** `A40, 46068 MiB`. */
export function gpuText({ gpuModel, gpuMemoryMb }: WorkerInfo): string {
  return gpuMemoryMb > 0 ? `${gpuModel}, ${gpuMemoryMb} MiB` : gpuModel;
}
