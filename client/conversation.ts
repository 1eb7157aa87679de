import { type Malformed, type Message, parseMessage } from "../protocol/message.ts";
import type { Pipe } from "../rtc/pipe.ts";

/** What comes from a worker, one piece at a time: a message, file bytes, or `CLOSED`. */
export type Incoming = Message | Malformed | { type: "BYTES"; bytes: Uint8Array } | { type: "CLOSED" };

/** What comes from a worker, and the way to it. */
export type Exchange = Pick<Conversation, "pipe" | "next">;

/** The one reader of a pipe, with time limits; nothing is lost when a limit passes. */
export class Conversation {
  readonly pipe: Pipe;
  #again: Incoming[] = [];
  #seen = 0;
  #aside: { type: Incoming["type"]; take: (incoming: Incoming) => void } | undefined;

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

  /**
   * An exchange about messages of one type, one answer for one question, while others read the rest: it hears something
   * only as long as they do.
   */
  aside(type: Incoming["type"]): Exchange & Disposable {
    let heard = Promise.withResolvers<Incoming | undefined>();
    this.#aside = { type, take: (incoming): void => heard.resolve(incoming) };
    return {
      pipe: this.pipe,
      next: async (limitMs?: number, signal?: AbortSignal): Promise<Incoming | undefined> => {
        signal?.throwIfAborted();
        const timer = limitMs === undefined ? undefined : setTimeout(() => heard.resolve(undefined), limitMs);
        const stop = (): void => heard.reject(signal?.reason);
        signal?.addEventListener("abort", stop);
        try {
          return await heard.promise;
        } finally {
          heard = Promise.withResolvers();
          clearTimeout(timer);
          signal?.removeEventListener("abort", stop);
        }
      },
      [Symbol.dispose]: (): void => {
        this.#aside = undefined;
      },
    };
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
      for (;;) {
        const message = await this.pipe.receive(limit.signal);
        if (message === undefined) return { type: "CLOSED" };
        if (typeof message !== "string") return { type: "BYTES", bytes: message };
        const parsed = this.#parse(message);
        if (parsed.type !== this.#aside?.type) return parsed;
        this.#aside.take(parsed);
      }
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
