import { WINDOW_BYTES } from "../protocol/link.ts";
import { Queue } from "./queue.ts";

/** A message counts for so much more than its payload, so that many small ones are bounded as well; bytes. */
export const MESSAGE_COST = 256;

interface Incoming {
  message: string | Uint8Array;
  /** Bytes that it counts for. */
  cost: number;
}

/** What arrived over a link: put in order, given out one by one, and counted when it is done with. */
export class Inbox {
  readonly #ready = new Queue<Incoming>();
  /** What arrived before its turn, by number. */
  readonly #early = new Map<number, Incoming>();
  /** Bytes of all that is not done with. */
  #bytes = 0;
  #received = 0;
  #consumed = 0;
  #done = 0;
  #untoldBytes = 0;
  #inHand: Incoming | undefined;

  /** Messages that arrived without a gap. */
  get received(): number {
    return this.#received;
  }

  /** Messages that are done with. */
  get consumed(): number {
    return this.#consumed;
  }

  /** Bytes of messages that are done with. */
  get bytesDone(): number {
    return this.#done;
  }

  /** Bytes that arrived, and once more when they were done with, since {@link told} was called. */
  get untoldBytes(): number {
    return this.#untoldBytes;
  }

  /** The other side has been told of all that arrived and is done with. */
  told(): void {
    this.#untoldBytes = 0;
  }

  /** Takes a message in; one that came before is passed over. False when the sender overruns its window by far. */
  put(sequence: number, message: string | Uint8Array, bytes: number): boolean {
    if (sequence <= this.#received || this.#early.has(sequence)) return true;
    const cost = bytes + MESSAGE_COST;
    this.#bytes += cost;
    this.#untoldBytes += cost;
    // A sender may overrun the window by one message; twice as much is no honest mistake.
    if (this.#bytes > 2 * WINDOW_BYTES) return false;
    this.#early.set(sequence, { message, cost });
    for (let next; (next = this.#early.get(this.#received + 1)) !== undefined;) {
      this.#early.delete(++this.#received);
      this.#ready.push(next);
    }
    return true;
  }

  /** The next message; undefined when none is there. What was given out before is done with. */
  take(): string | Uint8Array | undefined {
    if (this.#inHand) {
      this.#consumed++;
      this.#bytes -= this.#inHand.cost;
      this.#untoldBytes += this.#inHand.cost;
      this.#done += this.#inHand.cost - MESSAGE_COST;
    }
    this.#inHand = this.#ready.shift();
    return this.#inHand?.message;
  }
}
