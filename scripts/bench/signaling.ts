import { fromSource, LabProcess } from "../local_lab.ts";
import { type Figures, median, round, withFolder } from "./measure.ts";
import type { LoadFigures } from "./signaling_load.ts";

const PEERS = 2_000;
const ROOMS = 100;
const MESSAGES = 10;

/**
 * A signaling server on one processor: so many peers register, discover each other and relay messages, beside a server
 * that only passes them on.
 */
export async function benchSignaling(say: (text: string) => void): Promise<Figures> {
  return await withFolder(async (folder) => {
    const program = fromSource("signaling/main.ts");
    const flags = [
      "--host",
      "127.0.0.1",
      "--http-port",
      "0",
      "--ws-port",
      "0",
      "--store",
      "memory",
      "--json",
    ];
    const bare = await load([Deno.execPath(), "run", "-A", here("./signaling_bare.ts")], folder);
    say(`a server that only passes on: ${line(bare)}`);
    const ours = await load([...program, ...flags], folder);
    say(`this server: ${line(ours)}`);
    return {
      peers: PEERS,
      rooms: ROOMS,
      errors: ours.errors,
      register_ms_p99: quantile(ours.register_ms, 0.99),
      discover_ms_p99: quantile(ours.discover_ms, 0.99),
      relay_ms_p50: quantile(ours.relay_ms, 0.5),
      relay_ms_p99: quantile(ours.relay_ms, 0.99),
      bare_relay_ms_p99: quantile(bare.relay_ms, 0.99),
      rss_mib: round(ours.rss_mib),
      bare_rss_mib: round(bare.rss_mib),
    };
  });
}

function here(module: string): string {
  return new URL(module, import.meta.url).pathname;
}

/** Runs the load against a server, which has one processor where the system lets it be given. */
async function load(server: readonly string[], cwd: string): Promise<LoadFigures & { rss_mib: number }> {
  const process = new LabProcess(server, { cwd, prefix: onProcessor(0) });
  try {
    const { http, websocket } = JSON.parse(await process.line(/"websocket"/));
    const args = [http, websocket, PEERS, ROOMS, MESSAGES].map(String);
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
