import { errorText } from "../config/user_error.ts";
import { LINK } from "../protocol/link.ts";
import { keepAlive } from "../rtc/channel.ts";
import { Link, LinkUnknownError, newLinkId } from "../rtc/link.ts";
import { PeerProofError } from "../rtc/peer_proof.ts";
import type { Pipe } from "../rtc/pipe.ts";
import { ConnectionError } from "../rtc/transfer_error.ts";
import type { SignalingClient } from "../signaling/client.ts";
import { SignalingError } from "../signaling/signaling_error.ts";
import { pause, peerGone } from "../signaling/presence.ts";
import { dial, type Dialled, type DialOptions } from "./dial.ts";
import { keepLanes } from "./lanes.ts";

/** Workers without links are told that we live this often, in milliseconds; the Python ones expect it. */
const KEEP_ALIVE_MS = 15_000;
/** A busy worker is asked again after this long, in milliseconds … */
const BUSY_PAUSE_MS = 3_000;
/** … for so long in all: a Python worker needs half a minute to notice that its last client left. */
const BUSY_LIMIT_MS = 60_000;
/** A lost connection is made again for so long, in milliseconds … */
const PATIENCE_MS = 600_000;
/** … with pauses of 0.5, 1, 2 … at most 15 s … */
const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 15_000;
/** … and the worker's answer is waited for so long each time, in milliseconds. */
const AGAIN_LIMIT_MS = 8_000;

/**
 * After these a lost connection is not tried again: the worker has given the link up, the room is gone, or the other
 * side failed the proof and gets no second try to guess with.
 */
const FINAL_ERRORS = [LinkUnknownError, SignalingError, PeerProofError] as const;

/** How a connection was, for the end of a job. */
export interface ConnectionFacts {
  /** `signaling`: over the signaling server; null when it is not known. */
  route: "direct" | "relay" | "signaling" | null;
  /** Addresses of both ends of the way; null over the signaling server. */
  candidates: string | null;
  /** Round trip in milliseconds. */
  rtt_ms: number | null;
  /** How often it was lost and made again. */
  reconnects: number;
  /** Bytes that were sent more than once. The library does not tell what its own protocol sent again. */
  resent_bytes: number;
}

/** A connection to a worker; with one that knows links it outlives the loss of the network. */
export class Connection {
  readonly #signaling: SignalingClient;
  readonly #worker: string;
  readonly #options: DialOptions;
  readonly #over = new AbortController();
  /** The channel in use, of several the first. */
  #current: Dialled;
  #reconnects = 0;
  /** What is spoken over: the link, or the channel of a worker that knows none. */
  readonly pipe: Pipe;
  readonly link: Link | undefined;

  private constructor(
    dialled: Dialled,
    signaling: SignalingClient,
    worker: string,
    options: DialOptions,
  ) {
    this.#current = dialled;
    this.#signaling = signaling;
    this.#worker = worker;
    this.#options = options;
    this.link = dialled.features?.includes(LINK)
      ? new Link({ id: newLinkId(), patienceMs: PATIENCE_MS, onDetached: () => void this.#connectAgain() })
      : undefined;
    this.pipe = this.link ?? dialled.channel;
  }

  /** Speaks over a channel that was just opened. Throws {@link ConnectionError}, the abort reason. */
  static async over(
    dialled: Dialled,
    signaling: SignalingClient,
    worker: string,
    options: DialOptions,
    signal: AbortSignal,
  ): Promise<Connection> {
    const connection = new Connection(dialled, signaling, worker, options);
    try {
      await connection.#begin(signal);
      return connection;
    } catch (error) {
      dialled.close();
      throw error;
    }
  }

  /** Whether the worker is this program, not the Python one. */
  get isOurs(): boolean {
    return this.#current.features !== undefined;
  }

  /** What the worker can do beyond PROTOCOL.md. */
  get features(): readonly string[] {
    return this.#current.features ?? [];
  }

  /** How the connection is, and was. */
  get facts(): ConnectionFacts {
    const { isRelayed } = this.#current;
    const route = this.#current.route();
    const ends = route &&
      [route.local, route.remote].map(({ type, address, port }) => `${type} ${address}:${port}`);
    return {
      route: isRelayed ? "signaling" : route?.kind ?? null,
      candidates: ends?.join(" to ") ?? null,
      rtt_ms: route?.rttMs ?? null,
      reconnects: this.#reconnects,
      resent_bytes: this.link?.bytesResent ?? 0,
    };
  }

  /** Ends the connection on both sides. */
  async close(): Promise<void> {
    this.#over.abort();
    await this.pipe.close();
    this.#current.close();
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const { channel, isRelayed } = this.#current;
    const began = performance.now();
    if (this.link) await this.link.join(channel, signal);
    else keepAlive(channel, KEEP_ALIVE_MS);
    const over = this.#over.signal;
    void this.pipe.closed.then(() => this.#over.abort());
    void peerGone(() => this.#signaling, this.#worker, () => this.pipe.silentMs, over)
      .then(() => this.pipe.close());
    if (!this.link || isRelayed) return;
    const rttMs = (): number | undefined => this.#current.route()?.rttMs;
    const shortestMs = Math.min(performance.now() - began, rttMs() ?? Infinity);
    const far = { ...this.#options, distance: "far", directOnly: true } as const;
    const dialMore = (): Promise<Dialled | "busy"> => dial(this.#signaling, this.#worker, far, over);
    void keepLanes(this.link, shortestMs, rttMs, dialMore, over);
  }

  /** Gives a link that has lost its connection another one. Never throws: what does not work is tried again. */
  async #connectAgain(): Promise<void> {
    const over = this.#over.signal;
    const options = { ...this.#options, timeoutMs: AGAIN_LIMIT_MS };
    for (let pauseMs = FIRST_PAUSE_MS; !over.aborted; pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS)) {
      options.onInfo(`the connection to the worker is lost; trying again in ${pauseMs / 1000} s`);
      await pause(pauseMs, over);
      if (over.aborted) return;
      try {
        const dialled = await dial(this.#signaling, this.#worker, options, over);
        if (dialled === "busy") continue;
        await this.link?.join(dialled.channel, over).catch((error: unknown) => {
          dialled.close();
          throw error;
        });
        this.#current = dialled;
        this.#reconnects++;
        return options.onInfo("connected to the worker again");
      } catch (error) {
        if (!over.aborted) options.onInfo(errorText(error));
        if (FINAL_ERRORS.some((kind) => error instanceof kind)) return await this.link?.close();
      }
    }
  }
}

/**
 * Connects to a worker; while it serves another client, tries again for so many milliseconds.
 * Throws {@link ConnectionError}, `SignalingError`, the abort reason.
 */
export async function connectTo(
  signaling: SignalingClient,
  worker: string,
  options: DialOptions,
  signal: AbortSignal,
  busyLimitMs: number = BUSY_LIMIT_MS,
): Promise<Connection> {
  const deadline = performance.now() + busyLimitMs;
  for (;;) {
    const dialled = await dial(signaling, worker, options, signal);
    if (dialled !== "busy") return await Connection.over(dialled, signaling, worker, options, signal);
    if (performance.now() >= deadline) {
      throw new ConnectionError(
        `worker ${worker} is still busy with another client`,
        "try again later, or another worker",
      );
    }
    options.onInfo(`worker ${worker} is busy with another client; trying again in ${BUSY_PAUSE_MS / 1000} s`);
    await pause(BUSY_PAUSE_MS, signal);
    signal.throwIfAborted();
  }
}
