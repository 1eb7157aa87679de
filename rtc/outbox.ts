import { frameBytes, ONE_LANE_WINDOW_BYTES, writeFrame } from "../protocol/link.ts";
import { MAX_MESSAGE_BYTES } from "../protocol/message.ts";
import { MESSAGE_COST } from "./inbox.ts";
import { Queue } from "./queue.ts";

/** A message is late when it takes four times as long as the quickest, and so many milliseconds. */
const LATE_MS = 200;
/** Messages that are looked at, behind the one that is late, for others of its lane. */
const MAX_OVERTAKEN = 256;

interface Outgoing<Lane> {
  sequence: number;
  frame: Uint8Array<ArrayBuffer>;
  /** Where it was sent last; undefined while it waits. */
  lane: Lane | undefined;
  wasSent: boolean;
  /** When that was, in milliseconds. */
  sentAt: number;
  /** Whether it was sent over another lane because the first was slow. */
  wasOvertaken: boolean;
}

/** Buffers of large frames that can be used again: new ones for each would cost more than sending them. */
class FrameBuffers {
  /** Length of those that are free: that of the longest message, or half of it, as a sender's chunks are now. */
  #length = MAX_MESSAGE_BYTES;
  #free: ArrayBuffer[] = [];

  /** One that is long enough; a small frame gets one of its own. */
  take(bytes: number): Uint8Array<ArrayBuffer> {
    if (bytes <= MAX_MESSAGE_BYTES / 4) return new Uint8Array(bytes);
    const length = bytes > MAX_MESSAGE_BYTES / 2 ? MAX_MESSAGE_BYTES : MAX_MESSAGE_BYTES / 2;
    if (length !== this.#length) [this.#length, this.#free] = [length, []];
    return new Uint8Array(this.#free.pop() ?? new ArrayBuffer(length));
  }

  giveBack(buffer: ArrayBuffer): void {
    if (buffer.byteLength === this.#length) this.#free.push(buffer);
  }
}

/** What is sent over a link: kept until the other side is done with it, and sent again when its lane is lost. */
export class Outbox<Lane> {
  /** Messages that wait for a lane, in order. */
  readonly #waiting = new Queue<Outgoing<Lane>>();
  /** All messages that the other side is not done with, by number and in order. */
  readonly #kept = new Map<number, Outgoing<Lane>>();
  /** Buffers that can be used again: new ones for each frame would cost more than sending it. */
  readonly #buffers = new FrameBuffers();
  /** The least time from the sending of a message to its acknowledgement. */
  #quickestMs = Infinity;
  #bytes = 0;
  #last = 0;
  /** The last message that the other side has, with all before it, and the last that it is done with. */
  #arrived = 0;
  #consumed = 0;
  #resent = 0;
  #done = 0;

  /** Bytes under way from which on a sender waits. */
  window: number = ONE_LANE_WINDOW_BYTES;

  /** Whether a window of bytes is under way. */
  get isFull(): boolean {
    return this.#bytes > this.window;
  }

  /** Whether the other side is done with everything. */
  get isEmpty(): boolean {
    return this.#kept.size === 0;
  }

  /** Milliseconds from which on a message is late. */
  get #lateMs(): number {
    return 4 * this.#quickestMs + LATE_MS;
  }

  /** Bytes of frames that the other side is done with. */
  get bytesDone(): number {
    return this.#done;
  }

  /** Bytes that were sent more than once. */
  get bytesResent(): number {
    return this.#resent;
  }

  /** A message to be sent. Throws `RangeError` when it is too long. */
  add(kind: "text" | "bytes", parts: readonly Uint8Array[]): void {
    const buffer = this.#buffers.take(frameBytes(parts));
    const frame = writeFrame(buffer, kind, this.#last + 1, parts);
    const outgoing = {
      sequence: ++this.#last,
      frame,
      lane: undefined,
      wasSent: false,
      sentAt: 0,
      wasOvertaken: false,
    };
    this.#kept.set(outgoing.sequence, outgoing);
    this.#waiting.push(outgoing);
    this.#bytes += frame.length + MESSAGE_COST;
  }

  /** The next frame for a lane; undefined when none waits. */
  next(lane: Lane): Uint8Array | undefined {
    for (let next; (next = this.#waiting.shift()) !== undefined;) {
      // It may have come back from a lost lane, and have arrived over that one all the same.
      if (next.sequence > this.#arrived) return this.#give(next, lane);
    }
    return undefined;
  }

  #give(outgoing: Outgoing<Lane>, lane: Lane): Uint8Array {
    if (outgoing.wasSent) this.#resent += outgoing.frame.length;
    outgoing.wasSent = true;
    outgoing.sentAt = performance.now();
    outgoing.lane = lane;
    return outgoing.frame;
  }

  /**
   * A frame that is late on another lane, to be sent over this one as well; undefined when none is. When all that may
   * be under way is, and the first message that has not arrived is late, its lane holds up all others.
   */
  late(lane: Lane): Uint8Array | undefined {
    const late = performance.now() - this.#lateMs;
    let slow: Lane | undefined;
    let looked = 0;
    for (const outgoing of this.#kept.values()) {
      if (outgoing.sequence <= this.#arrived || outgoing.wasOvertaken) continue;
      slow ??= outgoing.lane;
      if (slow === undefined || slow === lane || ++looked > MAX_OVERTAKEN) return undefined;
      if (outgoing.lane !== slow || outgoing.sentAt > late) continue;
      outgoing.wasOvertaken = true;
      return this.#give(outgoing, lane);
    }
    return undefined;
  }

  /** The other side is done with all messages up to one; false when that was never sent. */
  acknowledge(sequence: number): boolean {
    if (sequence > this.#last) return false;
    this.arrived(sequence);
    const now = performance.now();
    while (this.#consumed < sequence) {
      const { frame, sentAt, wasSent } = this.#kept.get(++this.#consumed)!;
      if (wasSent) this.#quickestMs = Math.min(this.#quickestMs, now - sentAt);
      this.#kept.delete(this.#consumed);
      this.#bytes -= frame.length + MESSAGE_COST;
      this.#done += frame.length;
      this.#buffers.giveBack(frame.buffer);
    }
    return true;
  }

  /** The other side has all messages up to one, though it may not be done with them. */
  arrived(sequence: number): void {
    this.#arrived = Math.max(this.#arrived, Math.min(sequence, this.#last));
  }

  /** What a lost lane took along waits again. */
  giveBack(lane: Lane): void {
    const lost = [...this.#kept.values()].filter((each) =>
      each.lane === lane && each.sequence > this.#arrived
    );
    for (const each of lost) each.lane = undefined;
    this.#waiting.insert(lost, (a, b) => a.sequence - b.sequence);
  }
}
