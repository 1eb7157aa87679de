/** Checks of a room's workers: who is there, how one is reached, and whether it sees the same storage. */
import { join } from "node:path";
import type { Check, Finding } from "../config/checkup.ts";
import type { Config } from "../config/load.ts";
import { errorText, UserError } from "../config/user_error.ts";
import { JOBS } from "../protocol/jobs.ts";
import { printable } from "../protocol/printable.ts";
import { formatSession } from "../protocol/session_string.ts";
import { SAME_STORAGE } from "../protocol/storage_proof.ts";
import { deletePeer, type RoomKey } from "../signaling/account.ts";
import { type StorageBackend, StorageConfig } from "../storage/backend.ts";
import { withFilesystem } from "../storage/open.ts";
import { SPEED_PREFIX } from "../storage/speed.ts";
import { rankWorkers, type WorkerInfo } from "./choose_worker.ts";
import type { Connection } from "./connect.ts";
import { Conversation } from "./conversation.ts";
import { RefusedError } from "./job_error.ts";
import { backendOrder } from "./plan.ts";
import { enterRoom, listWorkers, type RoomFlags } from "./room.ts";
import type { Screen } from "./screen.ts";
import { proveSameStorage } from "./submit.ts";
import { ask, awaitAnswer, say, type Talk } from "./talk.ts";
import { withWorker } from "./with_worker.ts";

/** Connecting, and each answer of the worker, take no longer than this, in milliseconds. */
const [CONNECT_MS, ANSWER_MS] = [30_000, 10_000];
/** Bytes of the file that both sides look at. */
const PROOF_BYTES = 65_536;

/** How the command line names room and worker. */
type Flags = RoomFlags & { workerId?: string };

/** The check, which begins when the room was tried; `isOpen` may take `serverMs`. */
export function workerChecks(
  config: Config,
  flags: Flags,
  isOpen: Promise<boolean>,
  serverMs: number,
): Check[] {
  const common = StorageConfig.fromConfig(config).listBackends().length;
  return [{
    what: "workers",
    limitMs: serverMs + 2 * CONNECT_MS + 3 * ANSWER_MS * (common + 1),
    async *look(signal): AsyncGenerator<Finding> {
      // Why it is not open has been told.
      if (!await isOpen) return;
      const { workers, chosen, room } = await findWorkers(config, flags, signal);
      for (const worker of workers) yield workerFinding(config, worker);
      if (chosen) yield* lookAtWorker(config, chosen, room, signal);
    },
  }];
}

async function findWorkers(
  config: Config,
  flags: Flags,
  signal: AbortSignal,
): Promise<{ workers: WorkerInfo[]; chosen: WorkerInfo | undefined; room: RoomKey }> {
  const { signaling, worker: named = flags.workerId } = await enterRoom(config, flags, signal);
  const { room } = signaling;
  let all: WorkerInfo[];
  try {
    all = await listWorkers(signaling);
  } finally {
    signaling.close();
    await deletePeer(config.signalingHttp, signaling.peerId, signaling.idToken);
  }
  const workers = named === undefined ? all : all.filter(({ peerId }) => peerId === named);
  if (workers.length === 0) {
    throw new UserError(
      named === undefined ? "no worker is in the room" : `worker ${named} is not in the room`,
      { code: "NO_MATCHING_WORKER", hint: "start one, or ask for its present session string" },
    );
  }
  const ranked = rankWorkers(workers, backendOrder(StorageConfig.fromConfig(config), undefined));
  return { workers, chosen: ranked.find(({ status }) => status === "available") ?? ranked[0], room };
}

function workerFinding(config: Config, { peerId, backends, status, gpuModel }: WorkerInfo): Finding {
  const common = config.storage.filter(({ name }) => backends?.includes(name)).map(({ name }) => name);
  const storage = common.length > 0 ? `storage in common: ${common.join(", ")}` : "no storage in common";
  const detail = [status, storage, gpuModel].map((text) => printable(text)).join(", ");
  return { what: `worker ${printable(peerId)}`, status: "ok", detail };
}

/** Nobody watches: what a connection would tell is in the findings. */
const SILENT: Screen = { show: () => {}, close: () => {} };

async function* lookAtWorker(
  config: Config,
  { peerId, backends = [] }: WorkerInfo,
  room: RoomKey,
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  // Also a busy worker lets in who only comes to look.
  const flags = { sessionString: formatSession({ ...room, peerId }), purpose: "look" } as const;
  const storage = StorageConfig.fromConfig(config);
  const common = storage.listBackends().filter((name) => backends.includes(name));
  const began = performance.now();
  yield* await withWorker(flags, config, SILENT, signal, async (connection) => {
    const connectMs = Math.round(performance.now() - began);
    const talk = { conversation: new Conversation(connection.pipe), screen: SILENT, signal };
    const findings = [await connectionFinding(connection, talk, peerId, connectMs)];
    for (const name of common) {
      const backend = storage.getBackend(name);
      findings.push(await proofFinding(connection, talk, backend, config.client.userSubdir ?? ""));
    }
    return findings;
  });
}

async function connectionFinding(
  connection: Connection,
  talk: Talk,
  peerId: string,
  connect_ms: number,
): Promise<Finding> {
  const what = `connection to ${printable(peerId)}`;
  let round_trip_ms: number | null = null;
  if (connection.features.includes(JOBS)) {
    const asked = performance.now();
    await say(talk, { type: "JOBS_LIST" });
    await awaitAnswer(talk, "JOBS_LIST", ANSWER_MS, ({ type }) => type === "JOBS");
    round_trip_ms = Math.round(performance.now() - asked);
  }
  const { route } = connection.facts;
  const time = `${
    round_trip_ms === null ? "" : `, round trip ${round_trip_ms} ms`
  }, made in ${connect_ms} ms`;
  const figures = { round_trip_ms, connect_ms, route };
  if (route !== "signaling") {
    const way = route === "relay" ? "over a TURN server" : "direct";
    return { what, status: "ok", detail: `${way}${time}`, figures };
  }
  return {
    what,
    status: "warning",
    detail: `over the signaling server, encrypted, and slower${time}`,
    hint: "neither network lets the other in: a TURN server is faster, see docs/network.md",
    figures,
  };
}

/** Writes a file here and asks the worker whether it sees it. */
async function proofFinding(
  connection: Connection,
  talk: Talk,
  backend: StorageBackend,
  userSubdir: string,
): Promise<Finding> {
  const what = `same storage ${backend.name}`;
  const found = (status: Finding["status"], detail: string, hint?: string): Finding => ({
    what,
    status,
    detail,
    ...(hint === undefined ? {} : { hint }),
  });
  if (!connection.features.includes(SAME_STORAGE)) {
    return found("warning", "this worker cannot prove what it sees", "is it a Python worker?");
  }
  const name = `${SPEED_PREFIX}${crypto.randomUUID()}`;
  try {
    return await withFilesystem(backend, async (storage) => {
      const subdir = userSubdir !== "" && await storage.exists(userSubdir, talk.signal) ? userSubdir : "";
      const path = subdir === "" ? name : `${subdir}/${name}`;
      const bytes = crypto.getRandomValues(new Uint8Array(PROOF_BYTES));
      try {
        await storage.write(path, new Blob([bytes]).stream(), { size: PROOF_BYTES }, talk.signal);
      } catch (error) {
        talk.signal.throwIfAborted();
        return found("warning", `not tried: nothing can be written here (${errorText(error)})`);
      }
      try {
        await prove(talk, backend, subdir, name);
        return found("ok", "the worker sees the file that was written here");
      } finally {
        await storage.remove(path, AbortSignal.timeout(ANSWER_MS)).catch(() => {});
      }
    });
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    return found(
      "failure",
      errorText(error),
      `both mean another storage by "${backend.name}", or the worker's is not mounted; where a file lies there: ` +
        "sleap-rtc-client config suggest FILE",
    );
  }
}

async function prove(talk: Talk, backend: StorageBackend, subdir: string, name: string): Promise<void> {
  await ask(talk, { type: "STORAGE_BACKEND", name: backend.name }, ANSWER_MS);
  await say(talk, { type: "USER_SUBDIR", subdir });
  await ask(talk, { type: "SHARED_INPUT_PATH", path: name }, ANSWER_MS);
  // An object of a name that nobody could guess is the same object.
  if (!backend.isObjectStore) await proveSameStorage(talk, join(backend.basePath, subdir, name));
}
