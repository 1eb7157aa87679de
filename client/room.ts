/** Entering a room and choosing a worker in it. */
import type { Config } from "../config/load.ts";
import { VERSION } from "../protocol/extension.ts";
import { QUEUE } from "../protocol/queue.ts";
import { parseSession } from "../protocol/session_string.ts";
import { signIn } from "../signaling/account.ts";
import { SignalingClient } from "../signaling/client.ts";
import { pause } from "../signaling/presence.ts";
import {
  misfit,
  type Needs,
  noWorker,
  NoWorkerError,
  rankWorkers,
  type WorkerInfo,
  workerInfo,
} from "./choose_worker.ts";

/** A reserved worker is waited for this long, in milliseconds: a Python one stays reserved half a minute too long. */
const RESERVED_LIMIT_MS = 60_000;
const RESERVED_PAUSE_MS = 3_000;

/** How the command line names a room and a worker in it. */
export interface RoomFlags {
  sessionString?: string;
  roomId?: string;
  token?: string;
}

/** A room that was entered; `worker` is set by a session string. */
export interface Room {
  signaling: SignalingClient;
  worker: string | undefined;
}

/** Signs in and registers. Throws `SessionStringError`, `SignalingError`, the abort reason. */
export async function enterRoom(config: Config, flags: RoomFlags, signal: AbortSignal): Promise<Room> {
  const session = flags.sessionString === undefined ? undefined : parseSession(flags.sessionString);
  const room = session ?? { roomId: flags.roomId ?? "", token: flags.token ?? "" };
  const timeoutMs = config.connectionTimeout * 1000;
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const identity = await signIn(config.signalingHttp, inTime);
  const signaling = await SignalingClient.connect({
    url: config.signalingWebsocket,
    identity,
    room: { roomId: room.roomId, token: room.token },
    timeoutMs,
    signal,
    role: "client",
    features: [QUEUE],
    metadata: {
      tags: ["sleap-rtc", "training-client"],
      properties: {
        sleap_version: "unknown",
        platform: Deno.build.os,
        user_id: "unknown",
        client_version: VERSION,
      },
    },
  });
  return { signaling, worker: session?.peerId };
}

/** The workers of the room, busy ones included. Throws `SignalingError`. */
export async function listWorkers(signaling: Pick<SignalingClient, "discover">): Promise<WorkerInfo[]> {
  const peers = await signaling.discover({ role: "worker", tags: ["sleap-rtc"] });
  return peers.map(workerInfo);
}

/** What a choice depends on. */
export interface ChoiceFlags {
  workerId?: string;
  autoSelect?: boolean;
  /** Nobody is asked. */
  json?: boolean;
  /** MiB. */
  minGpuMemory?: number;
  /** A storage backend that the worker must have. */
  requiredStorage?: string;
  /** Labels that the worker must have. */
  label?: readonly string[];
  /** Seconds that the job waits for a worker; undefined for what is usual. */
  wait?: number;
}

/** What flags ask of a worker. */
export function needsOf({ minGpuMemory, requiredStorage, label = [] }: ChoiceFlags): Needs {
  return { gpuMemoryMb: minGpuMemory, storage: requiredStorage, labels: label };
}

/**
 * Chooses a worker where the server has no queue: the named one, else the best that is available. Workers that serve
 * another client are waited for, a minute unless the flags say how long.
 * Throws {@link NoWorkerError}, `SignalingError`, the abort reason.
 */
export async function chooseWorker(
  signaling: Pick<SignalingClient, "discover">,
  { workerId, wait }: ChoiceFlags,
  needs: Needs,
  wantedBackends: readonly string[],
  onInfo: (text: string) => void,
  signal: AbortSignal,
): Promise<WorkerInfo> {
  const deadline = performance.now() + (wait === undefined ? RESERVED_LIMIT_MS : 1000 * wait);
  for (;;) {
    const all = await listWorkers(signaling);
    const named = workerId === undefined ? all : all.filter(({ peerId }) => peerId === workerId);
    const suitable = named.filter((worker) => misfit(worker, needs) === undefined);
    if (suitable.length === 0) throw noWorker(all, needs, workerId);
    const [best] = rankWorkers(suitable.filter(({ status }) => status === "available"), wantedBackends);
    if (best) return best;
    if (performance.now() >= deadline) {
      throw new NoWorkerError("every suitable worker is serving another client", {
        code: "WORKERS_BUSY",
        hint: "try again later",
      });
    }
    onInfo(
      `all ${suitable.length} suitable workers are busy; looking again in ${RESERVED_PAUSE_MS / 1000} s`,
    );
    await pause(RESERVED_PAUSE_MS, signal);
    signal.throwIfAborted();
  }
}
