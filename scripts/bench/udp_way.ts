import { LineChild } from "./child.ts";

/** What a link does, as {@link file://./udp_link.ts} takes it. */
export interface WaySettings {
  /** Round trip in milliseconds. */
  rttMs: number;
  /** Such as `300mbit`. */
  rate?: string | undefined;
  /** Such as `0.1%`. */
  loss?: string | undefined;
  reorder?: string | undefined;
}

/** Packets in both directions. */
export interface WayCounts {
  forwarded: number;
  /** Lost on purpose. */
  lost: number;
  /** Dropped because the queue was full. */
  full: number;
  /** Refused by the system when they were to be sent on. */
  refused: number;
}

/** A lane's two addresses on the link. */
interface Lane {
  index: number;
  /** `IP:PORT` that the offering peer is given for the answering one, and the other way round. */
  towardsAnswerer: string;
  towardsOfferer: string;
  offerer?: string;
}

/** `IP:PORT` of the first IPv4 host candidate over UDP. */
function hostAddress(sdp: string): string {
  const found = /^a=candidate:\S+ 1 UDP \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host/im.exec(sdp);
  if (!found) throw new Error("the description has no IPv4 host candidate");
  return `${found[1]}:${found[2]}`;
}

/** The description with one host candidate instead of its own. */
function withOnlyCandidate(sdp: string, address: string): string {
  const [ip, port] = address.split(":");
  const lines = sdp.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("a=candidate:"));
  const end = lines.findIndex((line) => line.startsWith("a=end-of-candidates"));
  lines.splice(end < 0 ? lines.length : end, 0, `a=candidate:1 1 UDP 2122317823 ${ip} ${port} typ host`);
  return `${lines.join("\r\n")}\r\n`;
}

/** A running link process and the peers on it. Dispose of it. */
export class UdpWay implements AsyncDisposable {
  readonly #child: LineChild;

  private constructor(child: LineChild) {
    this.#child = child;
  }

  static start({ rttMs, rate, loss, reorder }: WaySettings): UdpWay {
    const args = ["--delay", String(rttMs / 2)];
    for (const [name, value] of Object.entries({ rate, loss, reorder })) {
      if (value !== undefined) args.push(`--${name}`, value);
    }
    return new UdpWay(new LineChild("./udp_link.ts", args));
  }

  /** Puts two peers on it: takes an offer, and returns the offer and what to do with its answer. */
  async connect(offer: string): Promise<{ offer: string; answer: (sdp: string) => Promise<string> }> {
    await this.#child.tell("lane");
    const [, index = "", towardsAnswerer = "", towardsOfferer = ""] = (await this.#child.line()).split(" ");
    const lane: Lane = { index: Number(index), towardsAnswerer, towardsOfferer, offerer: hostAddress(offer) };
    return {
      offer: withOnlyCandidate(offer, lane.towardsOfferer),
      answer: async (sdp) => {
        await this.#child.tell(`peers ${lane.index} ${lane.offerer} ${hostAddress(sdp)}`);
        await this.#child.line();
        return withOnlyCandidate(sdp, lane.towardsAnswerer);
      },
    };
  }

  /** Lets nothing through until {@link goOn}. */
  halt(): Promise<void> {
    return this.#child.tell("halt");
  }

  goOn(): Promise<void> {
    return this.#child.tell("go on");
  }

  /** Packets so far. */
  async counts(): Promise<WayCounts> {
    await this.#child.tell("counts");
    const [, forwarded, lost, full, refused] = (await this.#child.line()).split(" ").map(Number);
    return { forwarded: forwarded!, lost: lost!, full: full!, refused: refused! };
  }

  /** Processor time that it has used, in seconds. */
  cpuSeconds(): Promise<number> {
    return this.#child.cpuSeconds();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#child[Symbol.asyncDispose]();
  }
}
