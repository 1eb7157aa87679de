import { getLogger } from "@logtape/logtape";
import type { Channel } from "./channel.ts";

const logger = getLogger(["sleap-rtc", "link"]);

/** How often a channel is looked at, in milliseconds. */
const LOOK_MS = 1_000;
/** A channel on which nothing moves for so long, in milliseconds, is given up: keep-alives come every two seconds. */
const STILL_MS = 10_000;

/**
 * Closes a channel on which nothing is heard, or whose queue does not move: the native library is known to stall for
 * ever now and then (usrsctp #137, #721), and notices a lost network after half a minute only.
 */
export class LaneWatch {
  readonly #channel: Channel;
  readonly #timer: ReturnType<typeof setInterval>;
  #lastLook = performance.now();
  /** When something left last, or nothing was there to leave. */
  #stillSince = performance.now();
  /** Bytes that had left; keep-alives join a queue that stands still, so that its length tells nothing. */
  #left = 0;
  /** Silence before this does not count. */
  #excusedUntil = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    // This process itself stood still: what came meanwhile is only now being read.
    if (now - this.#lastLook > 3 * LOOK_MS) this.#excusedUntil = this.#stillSince = now;
    this.#lastLook = now;
    const queued = this.#channel.bufferedAmount;
    const left = this.#channel.bytesSent - queued;
    if (queued === 0 || left > this.#left) this.#stillSince = now;
    this.#left = left;
    const silent = Math.min(this.#channel.silentMs, now - this.#excusedUntil);
    const still = now - this.#stillSince;
    if (Math.max(silent, still) < STILL_MS) return;
    const what = still >= STILL_MS ? "nothing leaves over" : "nothing is heard over";
    logger.warn(`${what} the connection for {seconds} s; it is given up`, { seconds: STILL_MS / 1000 });
    this.stop();
    this.#channel.close();
  }
}
