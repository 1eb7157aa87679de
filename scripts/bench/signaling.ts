import { fromSource, LabProcess } from "../local_lab.ts";
import { type BenchOptions, type Figures, median, round, withFolder } from "./measure.ts";
import { benchQueue } from "./queue.ts";
import type { FuzzFigures } from "./signaling_fuzz.ts";
import type { LoadFigures } from "./signaling_load.ts";

/** How much of everything. */
interface Size {
  peers: number;
  rooms: number;
  /** Of each peer. */
  messages: number;
  malformed: number;
  /** Malformed messages before them, after which growth is counted: by then every path has been taken often. */
  warmUp: number;
  jobs: number;
}

const FULL: Size = {
  peers: 2_000,
  rooms: 100,
  messages: 10,
  malformed: 200_000,
  warmUp: 150_000,
  jobs: 10_000,
};
const QUICK: Size = { peers: 40, rooms: 4, messages: 1, malformed: 2_000, warmUp: 2_000, jobs: 500 };

/**
 * A signaling server on one processor: so many peers register, discover each other and relay messages, beside a server
 * that only passes them on; malformed messages, beside peers that behave; and jobs in its queue.
 */
export async function benchSignaling(
  say: (text: string) => void,
  { quick }: BenchOptions,
): Promise<Figures> {
  const size = quick ? QUICK : FULL;
  return await withFolder(async (folder) => {
    const bare = await load([Deno.execPath(), "run", "-A", here("./signaling_bare.ts")], folder, size);
    say(`a server that only passes on: ${line(bare)}`);
    const ours = await load(serverIn(folder, "load"), folder, size);
    say(`this server: ${line(ours)}`);
    const fuzz = await attack(serverIn(folder, "fuzz"), folder, size);
    say(`${size.malformed} malformed messages: ${JSON.stringify(fuzz)}`);
    const queue = await benchQueue(size.jobs);
    say(`the queue: ${JSON.stringify(queue)}`);
    return {
      peers: size.peers,
      rooms: size.rooms,
      errors: ours.errors,
      register_ms_p99: quantile(ours.register_ms, 0.99),
      discover_ms_p99: quantile(ours.discover_ms, 0.99),
      relay_ms_p50: quantile(ours.relay_ms, 0.5),
      relay_ms_p99: quantile(ours.relay_ms, 0.99),
      bare_relay_ms_p99: quantile(bare.relay_ms, 0.99),
      rss_mib: round(ours.rss_mib),
      bare_rss_mib: round(bare.rss_mib),
      ...fuzz,
      ...queue,
    };
  });
}

/** The program as people run it, with a store of its own. */
function serverIn(folder: string, name: string): string[] {
  const ports = ["--host", "127.0.0.1", "--http-port", "0", "--ws-port", "0"];
  const store = `sqlite:${folder}/${name}.db`;
  return [...fromSource("signaling/main.ts"), ...ports, "--json", "--store", store];
}

/** Sends malformed messages, and measures how others are served meanwhile. Throws when the server does not survive. */
async function attack(
  server: readonly string[],
  cwd: string,
  { malformed, warmUp }: Size,
): Promise<Figures> {
  const process = new LabProcess(server, { cwd, prefix: onProcessor(0) });
  try {
    const { http, websocket } = JSON.parse(await process.line(/"websocket"/));
    const send = async (messages: number): Promise<FuzzFigures> => {
      const args = [here("./signaling_fuzz.ts"), http, websocket, String(messages)];
      const peers = new LabProcess([Deno.execPath(), "run", "-A", ...args], { prefix: onProcessor(1) });
      if (await peers.exited() !== 0) throw new Error(`the server did not survive:\n${peers.output}`);
      return JSON.parse(peers.stdout.at(-1)!);
    };
    await send(warmUp);
    const before = await process.memory() ?? NaN;
    const { served_ms, unserved } = await send(malformed);
    return {
      malformed,
      malformed_growth_mib: round((await process.memory() ?? NaN) - before),
      served: served_ms.length,
      unserved,
      served_ms_p99: quantile(served_ms, 0.99),
    };
  } finally {
    process.kill("SIGKILL");
    await process.exited();
  }
}

function here(module: string): string {
  return new URL(module, import.meta.url).pathname;
}

/** Runs the load against a server, which has one processor where the system lets it be given. */
async function load(
  server: readonly string[],
  cwd: string,
  { peers: number, rooms, messages }: Size,
): Promise<LoadFigures & { rss_mib: number }> {
  const process = new LabProcess(server, { cwd, prefix: onProcessor(0) });
  try {
    const { http, websocket } = JSON.parse(await process.line(/"websocket"/));
    const args = [http, websocket, number, rooms, messages].map(String);
    const peers = new LabProcess([Deno.execPath(), "run", "-A", here("./signaling_load.ts"), ...args], {
      prefix: onProcessor(1),
    });
    if (await peers.exited() !== 0) throw new Error(`the peers failed:\n${peers.output}`);
    const figures: LoadFigures = JSON.parse(peers.stdout.at(-1)!);
    return { ...figures, rss_mib: await process.peakMemory() ?? NaN };
  } finally {
    process.kill("SIGKILL");
    await process.exited();
  }
}

function onProcessor(number: number): string[] {
  return Deno.build.os === "linux" && navigator.hardwareConcurrency > number
    ? ["taskset", "-c", String(number)]
    : [];
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return round(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN);
}

function line({ errors, relay_ms, rss_mib }: LoadFigures & { rss_mib: number }): string {
  return `${errors} errors, relayed within ${round(median(relay_ms))} ms (50 %), ` +
    `${quantile(relay_ms, 0.99)} ms (99 %), ${round(rss_mib)} MiB`;
}
