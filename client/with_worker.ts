import type { Config } from "../config/load.ts";
import { errorText } from "../config/user_error.ts";
import { QUEUE, type QueuedJob } from "../protocol/queue.ts";
import { ConnectionError } from "../rtc/transfer_error.ts";
import { deletePeer, type RoomKey } from "../signaling/account.ts";
import type { SignalingClient } from "../signaling/client.ts";
import { StorageConfig } from "../storage/backend.ts";
import { askWorker, canAsk } from "./ask_worker.ts";
import { misfit, type Needs, noWorker, NoWorkerError, rankWorkers, workerInfo } from "./choose_worker.ts";
import type { Connection } from "./connect.ts";
import { backendOrder } from "./plan.ts";
import { Detached, WorkerLostError } from "./job_error.ts";
import { awaitTurn, newQueueId, withdraw } from "./queue.ts";
import {
  type ChoiceFlags,
  chooseWorker,
  enterRoom,
  listWorkers,
  needsOf,
  type Room,
  type RoomFlags,
} from "./room.ts";
import type { Screen } from "./screen.ts";
import { type Footprint, queuedJob, type WishInput } from "./wish.ts";

const NO_SECRET = "no room secret is set: the signaling server is trusted to lead to the worker itself";

/** As many workers as a job may avoid. */
const MAX_AVOIDED = 256;

/** Ends the native library's threads, once it was loaded. */
let endLibrary = (): void => {};

/** The last call of a program that may have connected to workers. */
export function closeConnections(): void {
  endLibrary();
}

/** The native library, which {@link closeConnections} ends. */
export async function loadLibrary(): Promise<typeof import("../rtc/peer.ts")> {
  const module = await import("../rtc/peer.ts");
  endLibrary = module.closeLibrary;
  return module;
}

/** What speaks WebRTC, and the native library with it, are loaded only by the commands that connect. */
async function loadConnections(): Promise<typeof import("./connect.ts")> {
  const [module] = await Promise.all([import("./connect.ts"), loadLibrary()]);
  return module;
}

/** Where a worker stands and what it has. */
export interface Target {
  peerId: string;
  room: RoomKey;
  backends: readonly string[] | undefined;
}

/** How a worker is looked for. */
export interface SearchFlags extends RoomFlags, ChoiceFlags {
  storageBackend?: string | undefined;
  /** Default: job. */
  purpose?: "job" | "look";
  /** The job that is to be submitted: where the server has a queue, it finds the worker. */
  job?: { input: Pick<WishInput, "kind" | "transfer">; footprint: Promise<Footprint> };
}

/** What a search goes on with. */
interface Search {
  room: Room;
  flags: SearchFlags;
  needs: Needs;
  config: Config;
  screen: Screen;
  signal: AbortSignal;
  /** Connects; one that is busy is asked again for `busyLimitMs` milliseconds. */
  connect: (target: Target, busyLimitMs?: number) => Promise<Connection>;
}

interface Found {
  target: Target;
  connection: Connection;
  /** The id under which the server has the job, if it was queued. */
  queued?: string;
}

/**
 * Enters a room, finds a worker, connects to it, and leaves again when `body` is done.
 * Throws `UserError`s for everything that keeps the two apart, the abort reason, what `body` throws.
 */
export async function withWorker<Result>(
  flags: SearchFlags,
  config: Config,
  screen: Screen,
  signal: AbortSignal,
  body: (connection: Connection, target: Target) => Promise<Result>,
): Promise<Result> {
  // Loaded while the server answers. What fails there is met below.
  const entering = enterRoom(config, flags, signal);
  const loading = loadConnections();
  loading.catch(() => {});
  const room = await entering;
  const { signaling } = room;
  let found: Found | undefined;
  try {
    const { connectionTimeout, roomSecret, iceServers, relayOnly } = config;
    const onInfo = (text: string): void => screen.show({ event: "info", text });
    if (roomSecret === undefined && !isLocal(config.signalingWebsocket)) onInfo(NO_SECRET);
    const { purpose = "job" } = flags;
    const timeoutMs = connectionTimeout * 1000;
    const options = { timeoutMs, roomSecret, iceServers, relayOnly, purpose, onInfo };
    const connect = async (target: Target, busyLimitMs?: number): Promise<Connection> => {
      screen.show({ event: "worker", worker: target.peerId, backends: target.backends ?? null });
      const { connectTo } = await loading;
      return await connectTo(signaling, target.peerId, options, signal, busyLimitMs);
    };
    const needs = { ...needsOf(flags), ...(flags.job ? { kind: flags.job.input.kind } : {}) };
    const search = { room, flags, needs, config, screen, signal, connect };
    const isQueued = flags.job !== undefined && signaling.serverFeatures.includes(QUEUE);
    found = await (isQueued ? findByQueue(search, flags.job!) : findDirectly(search));
    return await body(found.connection, found.target);
  } catch (error) {
    // Before the worker hears that this client leaves: else the server would offer it the job once more.
    if (found?.queued !== undefined && !mayGoOn(error)) withdraw(signaling, found.queued);
    throw error;
  } finally {
    await found?.connection.close();
    signaling.close();
    await deletePeer(config.signalingHttp, signaling.peerId, signaling.idToken);
  }
}

/** Whether a job goes on, or may, though its client leaves it with this error. */
function mayGoOn(error: unknown): boolean {
  return error instanceof Detached || error instanceof WorkerLostError;
}

/** Whether a server runs on this very machine. */
function isLocal(url: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(new URL(url).hostname);
}

async function findDirectly(search: Search): Promise<Found> {
  const { room: { signaling, worker }, flags, needs, config, screen, signal, connect } = search;
  const wanted = backendOrder(StorageConfig.fromConfig(config), flags.storageBackend);
  const onInfo = (text: string): void => screen.show({ event: "info", text });
  const named = worker ?? await chosenByPerson(search, false);
  const chosen = named !== undefined && named === worker
    ? await sessionWorker(signaling, worker, needs, flags.purpose)
    : await chooseWorker(
      signaling,
      { ...flags, ...(named === undefined ? {} : { workerId: named }) },
      needs,
      wanted,
      onInfo,
      signal,
    );
  const target = { ...chosen, room: signaling.room };
  return { target, connection: await connect(target) };
}

/** One worker after the other, as the server assigns them; a job that names its worker waits for that one only. */
async function findByQueue(
  search: Search,
  { input, footprint }: NonNullable<SearchFlags["job"]>,
): Promise<Found> {
  const { room: { signaling, worker: inSession }, flags, needs, config, screen, signal, connect } = search;
  const worker = inSession ?? await chosenByPerson(search, true);
  let job: QueuedJob = queuedJob(newQueueId(), input, await footprint, { needs, worker, waitS: flags.wait });
  for (;;) {
    const waiting = awaitTurn(signaling, job, {
      onPlace: (place) => screen.show({ event: "queued", ...place }),
      timeoutMs: config.connectionTimeout * 1000,
      signal,
    });
    const listing = signaling.discover().catch(() => []);
    const turn = await waiting;
    screen.show({ event: "assigned", ...turn });
    try {
      const peers = await listing;
      const known = peers.find(({ peer_id }) => peer_id === turn.worker) ??
        (await signaling.discover()).find(({ peer_id }) => peer_id === turn.worker);
      const backends = known && workerInfo(known).backends;
      const target = { peerId: turn.worker, backends, room: signaling.room };
      const connection = await connect(target, worker === undefined ? 0 : undefined);
      return { target, connection, queued: job.id };
    } catch (error) {
      if (signal.aborted || worker !== undefined || !(error instanceof ConnectionError)) {
        withdraw(signaling, job.id);
        throw error;
      }
      screen.show({ event: "warning", text: `${errorText(error)}; asking for another worker` });
      // Was it the server that could not be reached, the worker is as good as before.
      if (signaling.isConnected) job = { ...job, avoid: [...job.avoid, turn.worker].slice(-MAX_AVOIDED) };
    }
  }
}

/** The worker of the room that flags or, on a terminal, a person names; undefined when any will do. */
async function chosenByPerson(search: Search, mayWait: boolean): Promise<string | undefined> {
  const { room: { signaling }, flags, needs, config, signal } = search;
  if (flags.workerId !== undefined || flags.autoSelect || !canAsk(flags)) return flags.workerId;
  const ours = backendOrder(StorageConfig.fromConfig(config), flags.storageBackend);
  const workers = rankWorkers(await listWorkers(signaling), ours);
  return await askWorker({ workers, needs, ours, mayWait }, signal);
}

/**
 * What the room tells of a session string's worker, if anything. Who comes to look for a job finds the only other
 * worker as well: one that was started anew has another id, and remembers. Throws {@link NoWorkerError}.
 */
async function sessionWorker(
  signaling: SignalingClient,
  peerId: string,
  needs: Needs,
  purpose: "job" | "look" = "job",
): Promise<Omit<Target, "room">> {
  const peers = await signaling.discover({}).catch(() => []);
  const known = peers.find((peer) => peer.peer_id === peerId);
  if (known) {
    const worker = workerInfo(known);
    if (misfit(worker, needs) !== undefined) throw noWorker([worker], needs, peerId);
    return worker;
  }
  if (purpose === "job") return { peerId, backends: undefined };
  const workers = peers.filter(({ role }) => role === "worker");
  if (workers.length === 1) return workerInfo(workers[0]!);
  throw new NoWorkerError(`worker ${peerId} is not in the room`, {
    hint: workers.length === 0
      ? "start it again, in the same room; if it is in another one now, give --session-string"
      : "which of the others? give the --session-string that it printed",
  });
}
