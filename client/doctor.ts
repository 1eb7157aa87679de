/** Checks a setup from end to end, step by step, and says of each step whether it works and what to do if not. */
import type { Config } from "../config/load.ts";
import { sizeText } from "../config/progress.ts";
import { errorText, UserError } from "../config/user_error.ts";
import { deletePeer, signIn } from "../signaling/account.ts";
import { StorageConfig } from "../storage/backend.ts";
import { freeSpace } from "../storage/copy.ts";
import type { WorkerInfo } from "./choose_worker.ts";
import { enterRoom, listWorkers, type RoomFlags } from "./room.ts";

/** One step's outcome. */
export interface Finding {
  /** What was looked at. */
  what: string;
  ok: boolean;
  detail: string;
  /** What to do about it. */
  hint?: string;
}

/** How a finding is shown. */
export function findingLine({ what, ok, detail, hint }: Finding): string {
  return `${ok ? "ok  " : "FAIL"}  ${what}: ${detail}${hint === undefined ? "" : `\n      ${hint}`}`;
}

/** Looks at configuration, storage, signaling server and, when a room is named, its workers. Never throws. */
export async function* examine(
  config: Config,
  flags: RoomFlags,
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  yield { what: "configuration", ok: true, detail: config.file ?? "no file, defaults and environment" };
  yield* examineStorage(config);
  const signaling = await attempt(`signaling server ${config.signalingHttp}`, async () => {
    const { peerId } = await signIn(config.signalingHttp, signal);
    await deletePeer(config.signalingHttp, peerId);
    return "it answers";
  });
  yield signaling;
  const hasRoom = flags.sessionString !== undefined || flags.roomId !== undefined;
  if (signaling.ok && hasRoom) yield* examineRoom(config, flags, signal);
}

async function attempt(what: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { what, ok: true, detail: await look() };
  } catch (error) {
    const hint = error instanceof UserError ? error.hint : undefined;
    return { what, ok: false, detail: errorText(error), ...(hint === undefined ? {} : { hint }) };
  }
}

async function* examineStorage(config: Config): AsyncGenerator<Finding> {
  const storage = StorageConfig.fromConfig(config);
  if (storage.listBackends().length === 0) {
    yield {
      what: "storage",
      ok: true,
      detail: "no backend is configured: packages go over the data channel",
    };
  }
  for (const name of storage.listBackends()) {
    const backend = storage.getBackend(name);
    const { basePath } = backend;
    if (await backend.isThere()) {
      yield await attempt(`storage backend ${name}`, async () => {
        return `${basePath} is there, ${sizeText(await freeSpace(basePath))} free`;
      });
    } else {
      const hint = "is it mounted? see `config show` for where the path comes from";
      yield { what: `storage backend ${name}`, ok: false, detail: `${basePath} is not there`, hint };
    }
  }
}

async function* examineRoom(config: Config, flags: RoomFlags, signal: AbortSignal): AsyncGenerator<Finding> {
  let workers: WorkerInfo[] = [];
  yield await attempt("room", async () => {
    const { signaling, worker } = await enterRoom(config, flags, signal);
    try {
      const all = await listWorkers(signaling);
      workers = worker === undefined ? all : all.filter(({ peerId }) => peerId === worker);
    } finally {
      signaling.close();
      await deletePeer(config.signalingHttp, signaling.peerId);
    }
    if (workers.length > 0) return `${workers.length} workers`;
    throw new UserError("no worker is there", { hint: "start one, or ask for its present session string" });
  });
  const ours = StorageConfig.fromConfig(config).listBackends();
  for (const { peerId, backends, status } of workers) {
    const common = ours.filter((name) => backends?.includes(name));
    const storage = common.length > 0 ? `storage in common: ${common.join(", ")}` : "no storage in common";
    yield { what: `worker ${peerId}`, ok: true, detail: `${status}, ${storage}` };
  }
}
