import { Queue } from "./queue.ts";

const KIB = 1024;
/** Bytes that a lane has under way: at first, at least and at most. */
const [FIRST_LIMIT, LEAST_LIMIT, MOST_LIMIT] = [128 * KIB, 64 * KIB, 1024 * KIB];
/** A frame may take so much longer than the quickest: this factor, and so many milliseconds. */
const [PATIENCE_FACTOR, PATIENCE_MS] = [1.5, 40];
/** When frames take longer, once for each of their ways, the limit gets as much smaller: to this share, at least and at most. */
const [MOST_SLOW_DOWN, LEAST_SLOW_DOWN] = [0.25, 0.8];

/**
 * How much one of several lanes has under way. What a lane holds back holds up all that comes behind it on the others:
 * so each gets no more than it delivers in about the time of its quickest frames. The library's own queues would take
 * half a megabyte in any case, which is half a second on a lane that has just lost a packet.
 */
export class LaneFlow {
  readonly #now: () => number;
  readonly #underWay = new Queue<{ bytes: number; at: number }>();
  #bytes = 0;
  #limit = FIRST_LIMIT;
  #sent = 0;
  #arrived = 0;
  #quickestMs = Infinity;
  #slowedAt = -Infinity;

  /** `now`: milliseconds, for tests. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether nothing more is to be given to the lane now. */
  get isFull(): boolean {
    return this.#bytes >= this.#limit;
  }

  /** Bytes under way. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A frame was given to the lane. */
  sent(bytes: number): void {
    this.#sent++;
    this.#bytes += bytes;
    this.#underWay.push({ bytes, at: this.#now() });
  }

  /** The other side has so many frames of this lane, in all; false when that is more than were sent. */
  arrived(count: number): boolean {
    if (count > this.#sent) return false;
    const now = this.#now();
    for (; this.#arrived < count; this.#arrived++) {
      const { bytes, at } = this.#underWay.shift()!;
      this.#bytes -= bytes;
      this.#quickestMs = Math.min(this.#quickestMs, now - at);
      this.#adapt(bytes, now - at, now);
    }
    return true;
  }

  #adapt(bytes: number, tookMs: number, now: number): void {
    const patienceMs = PATIENCE_FACTOR * this.#quickestMs + PATIENCE_MS;
    if (tookMs <= patienceMs) {
      // Twice as much each round trip until it is too much for the first time, then more carefully.
      const more = this.#slowedAt === -Infinity ? bytes : bytes / 8;
      this.#limit = Math.min(MOST_LIMIT, this.#limit + more);
    } else if (now - this.#slowedAt > tookMs) {
      this.#slowedAt = now;
      const share = Math.min(LEAST_SLOW_DOWN, Math.max(MOST_SLOW_DOWN, patienceMs / tookMs));
      this.#limit = Math.max(LEAST_LIMIT, this.#limit * share);
    }
  }
}
