import type { Config } from "../config/load.ts";
import { deletePeer, type RoomKey } from "../signaling/account.ts";
import type { SignalingClient } from "../signaling/client.ts";
import { StorageConfig } from "../storage/backend.ts";
import { NoWorkerError, workerInfo } from "./choose_worker.ts";
import type { Connection } from "./connect.ts";
import { backendOrder } from "./plan.ts";
import { type ChoiceFlags, chooseWorker, enterRoom, type RoomFlags } from "./room.ts";
import type { Screen } from "./screen.ts";

const NO_SECRET = "no room secret is set: the signaling server is trusted to lead to the worker itself";

/** Ends the native library's threads, once it was loaded. */
let endLibrary = (): void => {};

/** The last call of a program that may have connected to workers. */
export function closeConnections(): void {
  endLibrary();
}

/** What speaks WebRTC, and the native library with it, are loaded only by the commands that connect. */
async function loadConnections(): Promise<typeof import("./connect.ts")> {
  const [{ closeLibrary }, module] = await Promise.all([import("../rtc/peer.ts"), import("./connect.ts")]);
  endLibrary = closeLibrary;
  return module;
}

/** Where a worker stands and what it has. */
export interface Target {
  peerId: string;
  room: RoomKey;
  backends: readonly string[] | undefined;
}

/**
 * Enters a room, chooses a worker, connects to it, and leaves again when `body` is done.
 * Throws `UserError`s for everything that keeps the two apart, the abort reason, what `body` throws.
 */
export async function withWorker<Result>(
  flags: RoomFlags & ChoiceFlags & { storageBackend?: string | undefined; purpose?: "job" | "look" },
  config: Config,
  screen: Screen,
  signal: AbortSignal,
  body: (connection: Connection, target: Target) => Promise<Result>,
): Promise<Result> {
  // Loaded while the server answers. What fails there is met below.
  const entering = enterRoom(config, flags, signal);
  const loading = loadConnections();
  loading.catch(() => {});
  const { signaling, worker } = await entering;
  let connection: Connection | undefined;
  try {
    const wanted = backendOrder(StorageConfig.fromConfig(config), flags.storageBackend);
    const onInfo = (text: string): void => screen.show({ event: "info", text });
    const chosen = worker === undefined
      ? await chooseWorker(signaling, flags, wanted, onInfo, signal)
      : await sessionWorker(signaling, worker, flags.purpose);
    const target = { ...chosen, room: signaling.room };
    screen.show({ event: "worker", worker: target.peerId, backends: target.backends ?? null });
    const { connectionTimeout, roomSecret, iceServers, relayOnly } = config;
    if (roomSecret === undefined && !isLocal(config.signalingWebsocket)) onInfo(NO_SECRET);
    const { purpose = "job" } = flags;
    const options = {
      timeoutMs: connectionTimeout * 1000,
      roomSecret,
      iceServers,
      relayOnly,
      purpose,
      onInfo,
    };
    const { connectTo } = await loading;
    connection = await connectTo(signaling, target.peerId, options, signal);
    return await body(connection, target);
  } finally {
    await connection?.close();
    signaling.close();
    await deletePeer(config.signalingHttp, signaling.peerId, signaling.idToken);
  }
}

/** Whether a server runs on this very machine. */
function isLocal(url: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(new URL(url).hostname);
}

/**
 * What the room tells of a session string's worker, if anything. Who comes to look for a job finds the only other
 * worker as well: one that was started anew has another id, and remembers. Throws {@link NoWorkerError}.
 */
async function sessionWorker(
  signaling: SignalingClient,
  peerId: string,
  purpose: "job" | "look" = "job",
): Promise<Omit<Target, "room">> {
  const peers = await signaling.discover({}).catch(() => []);
  const known = peers.find((peer) => peer.peer_id === peerId);
  if (known) return workerInfo(known);
  if (purpose === "job") return { peerId, backends: undefined };
  const workers = peers.filter(({ role }) => role === "worker");
  if (workers.length === 1) return workerInfo(workers[0]!);
  throw new NoWorkerError(`worker ${peerId} is not in the room`, {
    hint: workers.length === 0
      ? "start it again, in the same room; if it is in another one now, give --session-string"
      : "which of the others? give the --session-string that it printed",
  });
}
