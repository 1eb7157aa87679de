import { type Malformed, type Message, parseMessage } from "../protocol/message.ts";
import type { Pipe } from "../rtc/pipe.ts";

/** What comes from a worker, one piece at a time: a message, file bytes, or `CLOSED`. */
export type Incoming = Message | Malformed | { type: "BYTES"; bytes: Uint8Array } | { type: "CLOSED" };

/** The one reader of a pipe, with time limits; nothing is lost when a limit passes. */
export class Conversation {
  readonly pipe: Pipe;
  #again: Incoming[] = [];
  #seen = 0;

  constructor(pipe: Pipe) {
    this.pipe = pipe;
  }

  /** Number of the last event of a job; 0 before the first. */
  get seen(): number {
    return this.#seen;
  }

  /** Pieces that are to be read again, before all others. */
  putBack(pieces: readonly Incoming[]): void {
    this.#again = [...pieces, ...this.#again];
  }

  /** The next piece; undefined when none comes within so many milliseconds. Throws the abort reason. */
  async next(limitMs?: number, signal?: AbortSignal): Promise<Incoming | undefined> {
    signal?.throwIfAborted();
    const earlier = this.#again.shift();
    if (earlier) return earlier;
    const limit = new AbortController();
    const timer = limitMs === undefined ? undefined : setTimeout(() => limit.abort(), limitMs);
    const stop = (): void => limit.abort();
    signal?.addEventListener("abort", stop);
    try {
      const message = await this.pipe.receive(limit.signal);
      if (message === undefined) return { type: "CLOSED" };
      return typeof message === "string" ? this.#parse(message) : { type: "BYTES", bytes: message };
    } catch (error) {
      signal?.throwIfAborted();
      if (limit.signal.aborted) return undefined;
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  /** A job's event is taken for what it tells. */
  #parse(text: string): Message | Malformed {
    const message = parseMessage(text);
    if (message.type !== "JOB_EVENT") return message;
    this.#seen = message.seq;
    return parseMessage(message.text);
  }
}
