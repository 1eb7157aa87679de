import { KEEP_ALIVE, MAX_MESSAGE_BYTES } from "../protocol/message.ts";
import type { Pipe } from "./pipe.ts";
import { Queue } from "./queue.ts";
import { ConnectionError } from "./transfer_error.ts";

/** A sender waits while more than this many bytes are queued in the native library … */
const HIGH_WATER_BYTES = 8 * 1024 * 1024;
/** … and goes on when no more than this many are left. */
const LOW_WATER_BYTES = 2 * 1024 * 1024;
/** The library can miss its low-water event: the queue is looked at this often as well, in milliseconds. */
const DRAIN_POLL_MS = 50;

/** What carries a channel's messages, whole and in order: the native library's data channel, or another way. */
export interface Carrier {
  sendMessage(text: string): boolean;
  sendMessageBinary(bytes: Uint8Array): boolean;
  /** Bytes that are queued and have not left this machine. */
  bufferedAmount(): number;
  setBufferedAmountLowThreshold(bytes: number): void;
  onMessage(callback: (message: string | Uint8Array | ArrayBuffer) => void): void;
  onBufferedAmountLow(callback: () => void): void;
  onClosed(callback: () => void): void;
  onError(callback: (reason: string) => void): void;
  close(): void;
}

/** Whether a binary message is a keep-alive and no file data. */
export function isKeepAlive(bytes: Uint8Array): boolean {
  return bytes.length === KEEP_ALIVE.length && bytes.every((byte, index) => byte === KEEP_ALIVE[index]);
}

/**
 * A data channel as an async iterable of messages, text or bytes, in order; `KEEP_ALIVE` messages are taken out.
 * Iteration ends when the channel closes. One iteration at a time.
 */
export class Channel implements Pipe {
  readonly #carrier: Carrier;
  readonly #queue = new Queue<string | Uint8Array>();
  #wake: (() => void) | undefined;
  #drained: (() => void) | undefined;
  #highWater = HIGH_WATER_BYTES;
  #lowWater = LOW_WATER_BYTES;
  #open = true;
  #lastHeard = performance.now();
  #bytesSent = 0;
  #bytesReceived = 0;
  #resolveClosed!: () => void;
  /** Settles when the channel is closed, by either side or by the loss of the connection. */
  readonly closed: Promise<void> = new Promise((resolve) => this.#resolveClosed = resolve);

  /** Takes over an open carrier. */
  constructor(carrier: Carrier) {
    this.#carrier = carrier;
    carrier.setBufferedAmountLowThreshold(LOW_WATER_BYTES);
    carrier.onMessage((message) => this.#receive(message));
    carrier.onBufferedAmountLow(() => this.#drained?.());
    carrier.onClosed(() => this.#end());
    carrier.onError(() => this.#end());
  }

  /** Payload bytes given to the channel so far. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  /** Payload bytes taken from the channel so far. */
  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** Bytes that wait to leave this machine. */
  get bufferedAmount(): number {
    return this.#open ? this.#carrier.bufferedAmount() : 0;
  }

  /** Sets between how many queued bytes a sender waits. Default: 8 and 2 MiB. */
  setWaterMarks(high: number, low: number): void {
    [this.#highWater, this.#lowWater] = [high, low];
    if (this.#open) this.#carrier.setBufferedAmountLowThreshold(low);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Milliseconds since anything, keep-alives included, was received. */
  get silentMs(): number {
    return performance.now() - this.#lastHeard;
  }

  /**
   * Queues a message of at most {@link MAX_MESSAGE_BYTES} bytes, and resolves when little enough is queued to go on.
   * Throws {@link ConnectionError} when the channel is closed.
   */
  async send(message: string | Uint8Array, signal?: AbortSignal): Promise<void> {
    const bytes = typeof message === "string" ? new TextEncoder().encode(message).length : message.length;
    if (bytes > MAX_MESSAGE_BYTES) {
      throw new RangeError(`a message of ${bytes} bytes; at most ${MAX_MESSAGE_BYTES}`);
    }
    if (!this.#open) throw new ConnectionError("the data channel is closed");
    try {
      if (typeof message === "string") this.#carrier.sendMessage(message);
      else this.#carrier.sendMessageBinary(message);
    } catch {
      // The library knows of the end before it tells.
      this.#end();
      throw new ConnectionError("the data channel is closed");
    }
    this.#bytesSent += bytes;
    if (this.#carrier.bufferedAmount() > this.#highWater) await this.#drain(this.#lowWater, signal);
  }

  /** Resolves when everything sent has left this machine's queue, or the channel closed. Throws the abort reason. */
  async flush(signal?: AbortSignal): Promise<void> {
    if (this.#open) await this.#drain(0, signal);
  }

  async #drain(target: number, signal?: AbortSignal): Promise<void> {
    while (this.#open && this.#carrier.bufferedAmount() > target) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, DRAIN_POLL_MS);
        this.#drained = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#drained = undefined;
    }
    if (!this.#open && target > 0) throw new ConnectionError("the data channel was closed while sending");
  }

  /** Closes the channel; what is queued may be lost, see {@link flush}. */
  close(): Promise<void> {
    if (this.#open) {
      this.#end();
      this.#carrier.close();
    }
    return Promise.resolve();
  }

  #receive(message: string | Uint8Array | ArrayBuffer): void {
    this.#lastHeard = performance.now();
    const taken = message instanceof ArrayBuffer ? new Uint8Array(message) : message;
    this.#bytesReceived += typeof taken === "string" ? new TextEncoder().encode(taken).length : taken.length;
    if (typeof taken !== "string" && isKeepAlive(taken)) return;
    this.#queue.push(taken);
    this.#wake?.();
  }

  #end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#wake?.();
    this.#drained?.();
    this.#resolveClosed();
  }

  /** The next message; undefined when the channel has closed. Throws the abort reason, and nothing is lost then. */
  async receive(signal?: AbortSignal): Promise<string | Uint8Array | undefined> {
    for (;;) {
      signal?.throwIfAborted();
      const message = this.#queue.shift();
      if (message !== undefined) return message;
      if (!this.#open) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = (): void => {
          signal?.removeEventListener("abort", this.#wake!);
          this.#wake = undefined;
          resolve();
        };
        signal?.addEventListener("abort", this.#wake);
      });
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string | Uint8Array, void> {
    for (;;) {
      const message = await this.receive();
      if (message === undefined) return;
      yield message;
    }
  }
}

/** Sends `KEEP_ALIVE` every `intervalMs` milliseconds until the channel closes or the returned function is called. */
export function keepAlive(channel: Channel, intervalMs: number): () => void {
  const timer = setInterval(() => {
    if (channel.isOpen) channel.send(KEEP_ALIVE).catch(() => clearInterval(timer));
  }, intervalMs);
  void channel.closed.then(() => clearInterval(timer));
  return () => clearInterval(timer);
}
