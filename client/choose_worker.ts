import { UserError } from "../config/user_error.ts";
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
}

/** No worker of the room can take the job. */
export class NoWorkerError extends UserError {}

function text(value: unknown, fallback: string): string {
  return typeof value === "string" ? value : fallback;
}

/** What a peer's metadata say of a worker; what is missing or of another type is left out. */
export function workerInfo({ peer_id, metadata }: PeerInfo): WorkerInfo {
  const properties = metadata?.properties ?? {};
  const backends = properties["storage_backends"];
  const memory = properties["gpu_memory_mb"];
  return {
    peerId: peer_id,
    backends: Array.isArray(backends) ? backends.filter((each) => typeof each === "string") : undefined,
    gpuModel: text(properties["gpu_model"], "unknown"),
    gpuMemoryMb: typeof memory === "number" && Number.isFinite(memory) ? memory : 0,
    hostname: text(properties["hostname"], "unknown"),
    status: text(properties["status"], "unknown"),
  };
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

/** A worker's line in a list. */
export function workerRow(
  { peerId, hostname, status, gpuModel, gpuMemoryMb, backends }: WorkerInfo,
): string[] {
  return [
    peerId,
    hostname,
    status,
    gpuMemoryMb > 0 ? `${gpuModel}, ${gpuMemoryMb} MiB` : gpuModel,
    backends === undefined ? "unknown" : backends.join(", ") || "none",
  ];
}

/** Heading above {@link workerRow}s. */
export const WORKER_HEADING: readonly string[] = ["worker", "host", "status", "GPU", "storage backends"];
