import { type Malformed, type Message, parseMessage } from "../protocol/message.ts";
import type { Channel } from "../rtc/channel.ts";

/** What comes from a worker, one piece at a time: a message, file bytes, or `CLOSED`. */
export type Incoming = Message | Malformed | { type: "BYTES"; bytes: Uint8Array } | { type: "CLOSED" };

/** One reader of a channel, with time limits; nothing is lost when a limit passes. */
export class Conversation {
  readonly channel: Channel;
  readonly #messages: AsyncIterator<string | Uint8Array>;
  #pending: Promise<IteratorResult<string | Uint8Array>> | undefined;

  constructor(channel: Channel) {
    this.channel = channel;
    this.#messages = channel[Symbol.asyncIterator]();
  }

  /** The next piece; undefined when none comes within so many milliseconds. Throws the abort reason. */
  async next(limitMs?: number, signal?: AbortSignal): Promise<Incoming | undefined> {
    signal?.throwIfAborted();
    this.#pending ??= this.#messages.next();
    const result = await withLimit(this.#pending, limitMs, signal);
    if (result === undefined) return undefined;
    this.#pending = undefined;
    if (result.done) return { type: "CLOSED" };
    return typeof result.value === "string"
      ? parseMessage(result.value)
      : { type: "BYTES", bytes: result.value };
  }
}

function withLimit<T>(promise: Promise<T>, limitMs?: number, signal?: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = limitMs === undefined
      ? undefined
      : setTimeout(() => done(() => resolve(undefined)), limitMs);
    const aborted = (): void => done(() => reject(signal?.reason));
    const done = (settle: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
      settle();
    };
    signal?.addEventListener("abort", aborted);
    promise.then((value) => done(() => resolve(value)), (error) => done(() => reject(error)));
  });
}
