import { join } from "node:path";
import { LineChild } from "./child.ts";
import { UdpWay, type WaySettings } from "./udp_way.ts";
import { type BenchOptions, type Figures, median, round, withFolder } from "./measure.ts";
import type { Distance } from "../../rtc/sctp.ts";
import { parseRate } from "./link_options.ts";
import type { Report, Task } from "./rtc_peer.ts";
import { measureRaw, type RawSettings } from "./rtc_raw.ts";

const MIB = 2 ** 20;
/** Of the file that travels in MiB, of a transfer at most in seconds. */
const FULL = { connects: 40, rawRuns: 3, size: 2048, seconds: 60 };
const QUICK = { connects: 2, rawRuns: 1, size: 8, seconds: 1 };
/** From this round trip on, in milliseconds, windows and not the processor limit the transfer. */
const FAR_MS = 10;

/** Best settings found for near ways, see `rtc_raw.ts`. An acknowledgement per packet would cost a fifth there. */
const NEAR: RawSettings = {
  mtu: 1450,
  sctp: { recvBufferSize: MIB, sendBufferSize: MIB, delayedSackTime: 1 },
};

/**
 * Best settings found for far ways. A lane's window is small, so that no lane overruns its UDP socket while it starts,
 * and a lost packet halves only one lane's rate.
 */
const FAR: RawSettings = {
  mtu: 1450,
  lanes: 16,
  highBytes: MIB,
  lowBytes: MIB / 2,
  sctp: { recvBufferSize: MIB / 2, sendBufferSize: MIB, delayedSackTime: 0, congestionControlModule: 1 },
};
/** The same where packets are lost: each lane then has a rate of its own, and more of them add up. */
const LOSSY: RawSettings = { ...FAR, lanes: 64 };

/** Options of the command line. */
interface Options {
  /** The way between the two peers; undefined without one, over the loopback. */
  link: WaySettings | undefined;
  /** MiB of the file that travels. */
  sizeMib: number;
  /** Longest that one transfer is followed, in seconds. */
  seconds: number;
  connects: number;
  rawRuns: number;
}

/** Names of the command line's options. */
export const RTC_OPTIONS: readonly string[] = ["rtt", "rate", "loss", "reorder", "size", "seconds"];

function parseOptions({ quick, given }: BenchOptions): Options {
  const { connects, rawRuns, size, seconds } = quick ? QUICK : FULL;
  const number = (name: string, fallback: number): number => {
    const value = Number(given.get(name) ?? fallback);
    if (!(value >= 0)) throw new Error(`--${name} takes a number`);
    return value;
  };
  const linked = ["rtt", "rate", "loss", "reorder"].some((name) => given.has(name));
  const [rate, loss, reorder] = [given.get("rate"), given.get("loss"), given.get("reorder")];
  return {
    link: linked ? { rttMs: number("rtt", 0), rate, loss, reorder } : undefined,
    sizeMib: number("size", size),
    seconds: number("seconds", seconds),
    connects,
    rawRuns,
  };
}

/** One of the two peers' processes. */
class PeerChild extends LineChild {
  readonly #waiting = new Set<(report: Report) => boolean>();
  /** Told of each report that nobody waits for. */
  onOther: (report: Report) => void = () => {};

  constructor() {
    super("./rtc_peer.ts", []);
    void this.#read();
  }

  give(task: Task): Promise<void> {
    return this.tell(JSON.stringify(task));
  }

  async #read(): Promise<void> {
    for (;;) {
      const line = await this.line().catch(() => undefined);
      if (line === undefined) return;
      const report = JSON.parse(line) as Report;
      const taken = [...this.#waiting].find((take) => take(report));
      if (!taken) this.onOther(report);
    }
  }

  /** The next report of a kind, about one connection if it is about any. */
  next<Kind extends Report["report"]>(
    kinds: Kind[],
    id?: number,
  ): Promise<Extract<Report, { report: Kind }>> {
    return new Promise((resolve) => {
      const take = (report: Report): boolean => {
        if (!(kinds as string[]).includes(report.report)) return false;
        if (id !== undefined && "id" in report && report.id !== id) return false;
        this.#waiting.delete(take);
        resolve(report as Extract<Report, { report: Kind }>);
        return true;
      };
      this.#waiting.add(take);
    });
  }

  /** Gives a task, and waits for what it reports. */
  async ask<Kind extends Report["report"]>(
    task: Task & { id: number },
    kind: Kind,
  ): Promise<Extract<Report, { report: Kind }>> {
    const answer = this.next([kind], task.id);
    await this.give(task);
    return await answer;
  }
}

/** Two processes, and the way between them. */
export interface Pair {
  near: PeerChild;
  far: PeerChild;
  link: UdpWay | undefined;
}

/** Runs something with two new processes, which end with it. */
export async function withPair<T>(
  settings: WaySettings | undefined,
  work: (pair: Pair) => Promise<T>,
): Promise<T> {
  await using link = settings ? UdpWay.start(settings) : undefined;
  await using far = new PeerChild();
  await using near = new PeerChild();
  return await work({ near, far, link });
}

/** Connects as the product does, and again whenever the link wants another connection; milliseconds from asking for an offer to the open channel on both sides. */
export async function connect(pair: Pair, id = 0, distance: Distance = "near"): Promise<number> {
  const { near, far, link } = pair;
  near.onOther = (report): void => {
    if (report.report === "wants") void connect(pair, report.id, "far");
  };
  const began = performance.now();
  const open = Promise.all([near.next(["open"], id), far.next(["open"], id)]);
  const { sdp: offer } = await near.ask({ task: "offer", id, distance }, "sdp");
  const way = await link?.connect(offer);
  const { sdp: answer } = await far.ask({ task: "answer", id, distance, sdp: way?.offer ?? offer }, "sdp");
  await near.give({ task: "accept", id, sdp: await way?.answer(answer) ?? answer });
  await open;
  return performance.now() - began;
}

/** A value that this share (0 to 1) of some values do not exceed. */
function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1] ?? NaN;
}

/** Connects one after the other, closed in between. */
function measureConnects({ link, connects }: Options): Promise<Figures> {
  return withPair(link, async (pair) => {
    // The first one loads the library.
    await connect(pair);
    const times: number[] = [];
    while (times.length < connects) {
      for (const side of [pair.near, pair.far]) {
        await side.ask({ task: "close", id: 0 }, "closed");
      }
      times.push(await connect(pair));
    }
    return { connect_ms_p50: round(quantile(times, 0.5)), connect_ms_p95: round(quantile(times, 0.95)) };
  });
}

/** The library alone, from memory to nowhere, with the settings that suit the way. */
async function measureRawRate(
  { link, seconds, rawRuns }: Options,
  say: (text: string) => void,
): Promise<number> {
  const rates: number[] = [];
  const best = (link?.rttMs ?? 0) < FAR_MS ? NEAR : link?.loss === undefined ? FAR : LOSSY;
  for (let run = 1; run <= rawRuns; run++) {
    const { mibPerS, perSecond } = await measureRaw({ ...best, ...link, seconds: Math.min(seconds, 12) });
    say(`raw, run ${run}: ${mibPerS} MiB/s; by second: ${perSecond.join(" ")}`);
    rates.push(mibPerS);
  }
  return round(median(rates));
}

/** Fills a file with bytes that nothing can compress. */
async function fill(path: string, mib: number): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const block = new Uint8Array(MIB);
  for (let at = 0; at < MIB; at += 65_536) crypto.getRandomValues(block.subarray(at, at + 65_536));
  for (let done = 0; done < mib; done++) await file.write(block);
  // What is still on its way to the disk would slow the transfer.
  await file.sync();
}

/** What a transfer from disk to disk came to. */
interface Transfer {
  mibPerS: number;
  senderPeakRssMib: number;
  receiverPeakRssMib: number;
}

/** Sends a file from disk to disk between two new processes; its first bytes only where time runs out. */
function transfer(
  { link, seconds }: Options,
  start: (pair: Pair) => Promise<void>,
): Promise<Transfer> {
  return withPair(link, async (pair) => {
    await connect(pair);
    const began = performance.now();
    await start(pair);
    for (;;) {
      const { report, bytes } = await pair.far.next(["progress", "arrived"]);
      const taken = (performance.now() - began) / 1000;
      if (report === "progress" && taken < seconds) continue;
      return {
        mibPerS: bytes / MIB / taken,
        senderPeakRssMib: round(await pair.near.peakRssMib()),
        receiverPeakRssMib: round(await pair.far.peakRssMib()),
      };
    }
  });
}

/** The modes of `rtc_peer.ts`. */
const MODES = {
  /** Our own: a link, files on it, hashed by both sides. */
  files: ["filesInto", "filesFrom"],
  /** The stream of messages that the Python peers understand. */
  stream: ["streamInto", "streamFrom"],
} as const;

async function measure(
  mode: keyof typeof MODES,
  options: Options,
  folder: string,
  say: (text: string) => void,
): Promise<Transfer> {
  const [into, from] = MODES[mode];
  const target = join(folder, mode);
  await Deno.mkdir(target);
  try {
    const measured = await transfer(options, async ({ near, far }) => {
      await far.give({ task: into, folder: target });
      await near.give({ task: from, path: join(folder, "source") });
    });
    const { mibPerS, senderPeakRssMib, receiverPeakRssMib } = measured;
    const memory = `most memory: sender ${senderPeakRssMib} MiB, receiver ${receiverPeakRssMib} MiB`;
    say(`${mode}${options.link ? "" : ", loopback"}, disk to disk: ${round(mibPerS)} MiB/s; ${memory}`);
    return measured;
  } finally {
    await Deno.remove(target, { recursive: true });
  }
}

/**
 * Two processes over the loopback, or over a way of the given round trip, rate and loss: how fast the native library is
 * alone, how long the product takes to connect, and how fast its transfers are, from disk to disk. `ratio` is the rate
 * of our own transfer over the library's; over the rate of the way where one is given; over the loopback's where only
 * a round trip or losses are. `stream_ratio` is the Python peers' stream over the library's.
 */
export function benchRtc(say: (text: string) => void, given: BenchOptions): Promise<Figures> {
  const options = parseOptions(given);
  return withFolder(async (folder) => {
    const connects = await measureConnects(options);
    const { connect_ms_p50: half, connect_ms_p95: most } = connects;
    say(`${options.connects} connects: median ${half} ms, 95 % in ${most} ms`);
    await fill(join(folder, "source"), options.sizeMib);
    const loopback = options.link && await measure("files", { ...options, link: undefined }, folder, say);
    const raw = await measureRawRate(options, say);
    const files = await measure("files", options, folder, say);
    const stream = options.link ? undefined : await measure("stream", options, folder, say);
    const rate = options.link?.rate === undefined ? undefined : parseRate(options.link.rate) / 8 / MIB;
    return {
      mib_per_s: round(files.mibPerS),
      raw_mib_per_s: raw,
      ...(loopback ? { loopback_mib_per_s: round(loopback.mibPerS) } : {}),
      ...(rate === undefined ? {} : { rate_mib_per_s: round(rate) }),
      ratio: round(files.mibPerS / (rate ?? loopback?.mibPerS ?? raw)),
      ...(stream
        ? { stream_mib_per_s: round(stream.mibPerS), stream_ratio: round(stream.mibPerS / raw) }
        : {}),
      sender_peak_rss_mib: files.senderPeakRssMib,
      receiver_peak_rss_mib: files.receiverPeakRssMib,
      ...connects,
    };
  });
}
