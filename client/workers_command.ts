/** `workers`: who is in a room, what they have, and what of it is shared with this machine. */
import type { Command } from "commander";
import { type Config, loadConfig } from "../config/load.ts";
import { configureLog } from "../config/log.ts";
import { onStopSignal } from "../config/program.ts";
import { errorText } from "../config/user_error.ts";
import { printable } from "../protocol/printable.ts";
import { deletePeer } from "../signaling/account.ts";
import type { SignalingClient } from "../signaling/client.ts";
import { pause } from "../signaling/presence.ts";
import { gpuText, misfit, rankWorkers, type WorkerInfo } from "./choose_worker.ts";
import { checkRoom, type CommonFlags, withMemoryOption, withRoomOptions } from "./flags.ts";
import { enterRoom, listWorkers } from "./room.ts";
import { table } from "./screen.ts";

/** With `--watch` the room is looked at this often, in milliseconds. */
const WATCH_MS = 2_000;
/** Takes the cursor to the top left, and clears the terminal. */
const CLEAR = "\x1b[H\x1b[2J";

const EXAMPLES = `
Examples:
  sleap-rtc-client workers --room-id 1a2b3c4d --token 5e6f70
  Only those that have a storage backend:
    sleap-rtc-client workers --room-id 1a2b3c4d --token 5e6f70 --storage vast
  Go on looking; in a pipe a line for each change:
    sleap-rtc-client workers --room-id 1a2b3c4d --token 5e6f70 --watch`;

const HEADING: readonly string[] = ["worker", "host", "status", "GPU", "labels", "storage backends"];

interface WorkersFlags extends CommonFlags {
  storage?: string;
  minGpuMemory?: number;
  watch?: boolean;
}

/** A worker, and where its backends are on this machine. */
export interface ListedWorker extends WorkerInfo {
  /** Paths here of the backends that both have, by name. */
  shared: Readonly<Record<string, string>>;
}

/** Adds `workers`. */
export function addWorkersCommand(program: Command): void {
  const command = program.command("workers")
    .description("List the workers of a room, and what storage they share with this machine.");
  withMemoryOption(withRoomOptions(command))
    .option("--storage <name>", "only workers that have this storage backend")
    .option("--watch", "go on showing them until Ctrl-C")
    .addHelpText("after", EXAMPLES)
    .action(showWorkers);
}

async function showWorkers(flags: WorkersFlags): Promise<void> {
  checkRoom(flags);
  await configureLog(flags);
  const config = loadConfig(flags);
  const { signaling } = await enterRoom(config, flags, AbortSignal.timeout(config.connectionTimeout * 2000));
  const list = async (): Promise<ListedWorker[]> => listed(await listWorkers(signaling), flags, config);
  try {
    if (flags.watch) await watch(signaling, list, flags);
    else print(await list(), flags);
  } finally {
    signaling.close();
    await deletePeer(config.signalingHttp, signaling.peerId);
  }
}

/** Those that have what is asked for, the ones that share storage first. */
export function listed(
  workers: readonly WorkerInfo[],
  { storage, minGpuMemory }: Pick<WorkersFlags, "storage" | "minGpuMemory">,
  config: Pick<Config, "storage">,
): ListedWorker[] {
  const ours = config.storage.map(({ name }) => name);
  const asked = workers.filter((each) => misfit(each, { storage, gpuMemoryMb: minGpuMemory }) === undefined);
  return rankWorkers(asked, ours).map((worker) => {
    const shared = config.storage.filter(({ name }) => worker.backends?.includes(name));
    return { ...worker, shared: Object.fromEntries(shared.map(({ name, basePath }) => [name, basePath])) };
  });
}

/** A worker as scripts read it; null for what it has not said. */
function jsonOf(worker: ListedWorker): Record<string, unknown> {
  const { peerId, hostname, status, gpuModel, gpuMemoryMb, labels, jobTypes, backends, shared } = worker;
  return {
    peer_id: peerId,
    hostname,
    status,
    gpu_model: gpuModel,
    gpu_memory_mb: gpuMemoryMb,
    labels,
    job_types: jobTypes ?? null,
    backends: backends ?? null,
    shared,
  };
}

/** `change` is left out where the worker is listed for the first time. */
function jsonLine(worker: ListedWorker, change?: Change["change"]): string {
  return JSON.stringify({ event: "worker", ...(change && { change }), ...jsonOf(worker) });
}

function print(workers: readonly ListedWorker[], flags: WorkersFlags): void {
  if (flags.json) { for (const worker of workers) console.log(jsonLine(worker)); }
  else console.log(workers.length > 0 ? table([HEADING, ...workers.map(row)]) : nobodyText(flags));
}

/** That there is no worker, or none that has what is asked for. */
export function nobodyText(
  { storage, minGpuMemory }: Pick<WorkersFlags, "storage" | "minGpuMemory">,
): string {
  const asked = [
    ...(storage === undefined ? [] : [`storage "${storage}"`]),
    ...(minGpuMemory === undefined ? [] : [`${minGpuMemory} MiB of GPU memory`]),
  ];
  return `no worker ${asked.length === 0 ? "" : `with ${asked.join(" and ")} `}is in the room`;
}

function row(worker: ListedWorker): string[] {
  const { peerId, hostname, status, labels } = worker;
  return [peerId, hostname, status, gpuText(worker), labels.join(", "), backendsText(worker)];
}

/** `vast (here /Volumes/lab), scratch`. */
function backendsText({ backends, shared }: ListedWorker): string {
  if (backends === undefined) return "unknown";
  const texts = backends.map((name) => Object.hasOwn(shared, name) ? `${name} (here ${shared[name]})` : name);
  return texts.join(", ") || "none";
}

/** Shows the workers until Ctrl-C: redrawn on a terminal, else what has changed. */
async function watch(
  signaling: Pick<SignalingClient, "closed">,
  list: () => Promise<ListedWorker[]>,
  flags: WorkersFlags,
): Promise<void> {
  const { json } = flags;
  const over = new AbortController();
  const release = onStopSignal(() => over.abort());
  // A room that has ended is told; a server that is away comes back.
  const refusals: Error[] = [];
  void signaling.closed.then((error) => {
    if (error) refusals.push(error);
    over.abort();
  });
  const redraws = !json && Deno.stdout.isTerminal();
  let known: ReadonlyMap<string, ListedWorker> | undefined;
  try {
    for (; !over.signal.aborted; await pause(WATCH_MS, over.signal)) {
      const workers = await list().catch((error: unknown) =>
        void console.error(`warning: ${errorText(error)}`)
      );
      if (!workers || over.signal.aborted) continue;
      const now = new Map(workers.map((worker) => [worker.peerId, worker]));
      if (redraws) {
        console.log(`${CLEAR}${new Date().toLocaleTimeString()}, Ctrl-C ends\n`);
        print(workers, flags);
      } else if (known === undefined) print(workers, flags);
      else {for (const change of changes(known, now)) {
          console.log(json ? jsonLine(change.worker, change.change) : changeText(change));
        }}
      known = now;
    }
  } finally {
    release();
  }
  for (const refusal of refusals) throw refusal;
}

/** What has become of a worker. */
export type Change =
  | { change: "came" | "changed"; worker: ListedWorker }
  | { change: "left"; worker: ListedWorker };

/** What differs between two lists. */
export function changes(
  before: ReadonlyMap<string, ListedWorker>,
  after: ReadonlyMap<string, ListedWorker>,
): Change[] {
  const left = [...before.values()].filter(({ peerId }) => !after.has(peerId));
  const others = [...after.values()].flatMap((worker): Change[] => {
    const earlier = before.get(worker.peerId);
    if (earlier === undefined) return [{ change: "came", worker }];
    return JSON.stringify(earlier) === JSON.stringify(worker) ? [] : [{ change: "changed", worker }];
  });
  return [...left.map((worker): Change => ({ change: "left", worker })), ...others];
}

function changeText({ change, worker }: Change): string {
  const facts = change === "left" ? "" : `: ${row(worker).slice(1).filter((each) => each !== "").join("; ")}`;
  return printable(`${worker.peerId} ${change}${facts}`, Infinity);
}
