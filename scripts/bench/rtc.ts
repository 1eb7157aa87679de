import { join } from "node:path";
import { LineChild } from "./child.ts";
import { Link, type LinkSettings } from "./link.ts";
import { type Figures, median, round, withFolder } from "./measure.ts";
import type { Report, Task } from "./rtc_peer.ts";
import { measureRaw, type RawSettings } from "./rtc_raw.ts";

const MIB = 2 ** 20;
const CONNECTS = 40;
const RAW_RUNS = 3;
/** From this round trip on, in milliseconds, windows and not the processor limit the transfer. */
const FAR_MS = 10;

/** Best settings found for near ways, see `rtc_raw.ts`. An acknowledgement per packet would cost a fifth there. */
const NEAR: RawSettings = { mtu: 1450 };

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
const LOSSY: RawSettings = { ...FAR, lanes: 32 };

/** Options of the command line. */
interface Options {
  /** The way between the two peers; undefined without one, over the loopback. */
  link: LinkSettings | undefined;
  /** MiB of the file that travels. */
  sizeMib: number;
  /** Longest that one transfer is followed, in seconds. */
  seconds: number;
}

/** Names of the command line's options. */
export const RTC_OPTIONS: readonly string[] = ["rtt", "rate", "loss", "reorder", "size", "seconds"];

function parseOptions(given: ReadonlyMap<string, string>): Options {
  const number = (name: string, fallback: number): number => {
    const value = Number(given.get(name) ?? fallback);
    if (!(value >= 0)) throw new Error(`--${name} takes a number`);
    return value;
  };
  const linked = ["rtt", "rate", "loss", "reorder"].some((name) => given.has(name));
  const [rate, loss, reorder] = [given.get("rate"), given.get("loss"), given.get("reorder")];
  return {
    link: linked ? { rttMs: number("rtt", 0), rate, loss, reorder } : undefined,
    sizeMib: number("size", 2048),
    seconds: number("seconds", 60),
  };
}

/** One of the two peers' processes. */
class PeerChild extends LineChild {
  constructor() {
    super("./rtc_peer.ts", []);
  }

  give(task: Task): Promise<void> {
    return this.tell(JSON.stringify(task));
  }

  /** The next report of one of these kinds. */
  async next<Kind extends Report["report"]>(...kinds: Kind[]): Promise<Extract<Report, { report: Kind }>> {
    for (;;) {
      const report = JSON.parse(await this.line()) as Report;
      if ((kinds as string[]).includes(report.report)) return report as Extract<Report, { report: Kind }>;
    }
  }
}

/** Two processes, and the way between them. */
interface Pair {
  near: PeerChild;
  far: PeerChild;
  link: Link | undefined;
}

async function withPair<T>(settings: LinkSettings | undefined, work: (pair: Pair) => Promise<T>): Promise<T> {
  await using link = settings ? Link.start(settings) : undefined;
  await using far = new PeerChild();
  await using near = new PeerChild();
  return await work({ near, far, link });
}

/** Connects as the product does; milliseconds from asking for an offer to the open channel on both sides. */
async function connect({ near, far, link }: Pair): Promise<number> {
  const began = performance.now();
  await near.give({ task: "offer" });
  const { sdp: offer } = await near.next("sdp");
  const way = await link?.connect(offer);
  await far.give({ task: "answer", sdp: way?.offer ?? offer });
  const { sdp: answer } = await far.next("sdp");
  await near.give({ task: "accept", sdp: await way?.answer(answer) ?? answer });
  await Promise.all([near.next("open"), far.next("open")]);
  return performance.now() - began;
}

/** A value that this share (0 to 1) of some values do not exceed. */
function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1] ?? NaN;
}

/** Connects one after the other, closed in between. */
function measureConnects({ link }: Options): Promise<Figures> {
  return withPair(link, async (pair) => {
    // The first one loads the library.
    await connect(pair);
    const times: number[] = [];
    while (times.length < CONNECTS) {
      for (const side of [pair.near, pair.far]) {
        await side.give({ task: "close" });
        await side.next("closed");
      }
      times.push(await connect(pair));
    }
    return { connect_ms_p50: round(quantile(times, 0.5)), connect_ms_p95: round(quantile(times, 0.95)) };
  });
}

/** The library alone, from memory to nowhere, with the settings that suit the way. */
async function measureRawRate({ link, seconds }: Options, say: (text: string) => void): Promise<number> {
  const rates: number[] = [];
  const best = (link?.rttMs ?? 0) < FAR_MS ? NEAR : link?.loss === undefined ? FAR : LOSSY;
  for (let run = 1; run <= RAW_RUNS; run++) {
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
      const { report, bytes } = await pair.far.next("progress", "arrived");
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

/** The stream of messages that the Python peers understand: `rtc/send.ts` to `rtc/receive.ts`. */
async function measureStream(options: Options, folder: string, source: string): Promise<Transfer> {
  const target = join(folder, "stream");
  await Deno.mkdir(target);
  try {
    return await transfer(options, async ({ near, far }) => {
      await far.give({ task: "streamInto", folder: target });
      await near.give({ task: "streamFrom", path: source });
    });
  } finally {
    await Deno.remove(target, { recursive: true });
  }
}

/**
 * Two processes over the loopback, or over a link of the given round trip, rate and loss: how fast the native library is
 * alone, how long the product takes to connect, and how fast its transfers are, from disk to disk. `stream_ratio` is the
 * stream's rate over the library's.
 */
export function benchRtc(
  say: (text: string) => void,
  given: ReadonlyMap<string, string>,
): Promise<Figures> {
  const options = parseOptions(given);
  return withFolder(async (folder) => {
    const connects = await measureConnects(options);
    say(
      `${CONNECTS} connects: median ${connects["connect_ms_p50"]} ms, 95 % in ${
        connects["connect_ms_p95"]
      } ms`,
    );

    const raw = await measureRawRate(options, say);

    const source = join(folder, "source");
    await fill(source, options.sizeMib);
    const stream = await measureStream(options, folder, source);
    say(
      `stream, disk to disk: ${
        round(stream.mibPerS)
      } MiB/s; most memory: sender ${stream.senderPeakRssMib} MiB, ` +
        `receiver ${stream.receiverPeakRssMib} MiB`,
    );

    return {
      raw_mib_per_s: raw,
      ...connects,
      stream_mib_per_s: round(stream.mibPerS),
      stream_ratio: round(stream.mibPerS / raw),
      sender_peak_rss_mib: stream.senderPeakRssMib,
      receiver_peak_rss_mib: stream.receiverPeakRssMib,
    };
  });
}
