/** Entering a room and choosing a worker in it. */
import type { Config } from "../config/load.ts";
import { parseSession } from "../protocol/session_string.ts";
import { signIn } from "../signaling/account.ts";
import { SignalingClient } from "../signaling/client.ts";
import { pause } from "../signaling/presence.ts";
import { VERSION } from "../protocol/extension.ts";
import { NoWorkerError, rankWorkers, type WorkerInfo, workerInfo, workerRow } from "./choose_worker.ts";

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
export async function listWorkers(signaling: SignalingClient, minGpuMemory = 0): Promise<WorkerInfo[]> {
  const peers = await signaling.discover({ role: "worker", tags: ["sleap-rtc"] });
  // Filtered here, whatever the server makes of operators.
  return peers.map(workerInfo).filter(({ gpuMemoryMb }) => gpuMemoryMb >= minGpuMemory);
}

/** What a choice depends on. */
export interface ChoiceFlags {
  workerId?: string;
  autoSelect?: boolean;
  /** MiB. */
  minGpuMemory?: number;
}

/**
 * Chooses a worker: the named one, else the best available; on a terminal and without `--auto-select` a person is
 * asked when there are several. Workers that serve another client are waited for, up to a minute.
 * Throws {@link NoWorkerError}, `SignalingError`, the abort reason.
 */
export async function chooseWorker(
  signaling: SignalingClient,
  flags: ChoiceFlags,
  wantedBackends: readonly string[],
  onInfo: (text: string) => void,
  signal: AbortSignal,
): Promise<WorkerInfo> {
  const deadline = performance.now() + RESERVED_LIMIT_MS;
  for (;;) {
    const all = await listWorkers(signaling, flags.minGpuMemory);
    const named = flags.workerId === undefined ? all : all.filter(({ peerId }) => peerId === flags.workerId);
    if (named.length === 0) throw noWorker(all, flags);
    const available = rankWorkers(named.filter(({ status }) => status === "available"), wantedBackends);
    if (available.length > 0) return flags.autoSelect ? available[0]! : askWhich(available);
    if (performance.now() > deadline) {
      throw new NoWorkerError("every suitable worker is serving another client", { hint: "try again later" });
    }
    onInfo(`all ${named.length} suitable workers are busy; looking again in ${RESERVED_PAUSE_MS / 1000} s`);
    await pause(RESERVED_PAUSE_MS, signal);
    signal.throwIfAborted();
  }
}

function noWorker(all: readonly WorkerInfo[], flags: ChoiceFlags): NoWorkerError {
  if (flags.workerId !== undefined) {
    return new NoWorkerError(`worker ${flags.workerId} is not in the room`, {
      hint: all.length > 0
        ? `there are: ${all.map(({ peerId }) => peerId).join(", ")}`
        : "no worker is in the room",
    });
  }
  const memory = flags.minGpuMemory ? ` with ${flags.minGpuMemory} MiB of GPU memory` : "";
  return new NoWorkerError(`no worker${memory} is in the room`, { hint: "start one, or check --room-id" });
}

function askWhich(workers: readonly WorkerInfo[]): WorkerInfo {
  const best = workers[0]!;
  if (workers.length === 1 || !Deno.stdin.isTerminal()) return best;
  for (const [index, worker] of workers.entries()) {
    console.error(`${index + 1}) ${workerRow(worker).join("  ")}`);
  }
  for (;;) {
    const answer = prompt(`Which worker (1-${workers.length})?`, "1");
    const chosen = workers[Number(answer ?? "1") - 1];
    if (chosen) return chosen;
  }
}
