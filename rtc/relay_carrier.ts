import { MAX_MESSAGE_BYTES } from "../protocol/message.ts";
import type { Carrier } from "./channel.ts";
import { type Frame, FrameKind, RelayFrames } from "./relay_frames.ts";
import type { RelayKeys, RelayRole } from "./relay_keys.ts";
import { ConnectionError } from "./transfer_error.ts";

/** Another way to the other side is looked for so long before a relay is used, in milliseconds. */
export const DIRECT_LIMIT_MS = 8_000;
/** What arrived is acknowledged when it is so much, in characters … */
const ACK_CHARS = 256 * 1024;
/** … or after so many milliseconds. */
const ACK_MS = 10;
/** What a message costs the server beside its data, in characters: names and punctuation. */
const ENVELOPE_CHARS = 128;
const ABORTED = "the other side found a fault in the relay";
const EMPTY = new Uint8Array();

/** A way to one peer for texts, in order: the signaling server's, or a test's. */
export interface RelayPath {
  /** False when the text cannot be sent. */
  send(data: string): boolean;
  /** Calls back, later, for each text from the peer, until the returned function is called. */
  onData(callback: (data: string) => void): () => void;
  /** Calls back, later, with the reason when texts are lost or refused, until the returned function is called. */
  onLost(callback: (reason: string) => void): () => void;
}

/**
 * Carries a channel's messages over a {@link RelayPath}, encrypted from end to end. The worker's side has to be made
 * first, as it listens; the client's side calls when it is made. Either has to be closed, or it listens for ever.
 * Someone above has to send now and then and to listen for silence: a server that keeps everything to itself is not
 * noticed here. See "Relay over the signaling server" in docs/protocol.md.
 */
export class RelayCarrier implements Carrier {
  readonly #path: RelayPath;
  readonly #frames: RelayFrames;
  readonly #role: RelayRole;
  readonly #stops: (() => void)[];
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<ConnectionError | undefined>();
  #state: "new" | "open" | "ended" = "new";
  #error: ConnectionError | undefined;
  /** Characters of texts and bytes, envelopes included: sent, and received by the other side. */
  #sent = 0;
  #arrived = 0;
  /** The same the other way: received, and acknowledged. */
  #received = 0;
  #acknowledged = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;
  /** What came before somebody asked for messages. */
  readonly #early: (string | Uint8Array)[] = [];
  #onMessage = (message: string | Uint8Array): void => void this.#early.push(message);
  #lowThreshold = 0;
  #onLow: () => void = () => {};
  #onClosed: () => void = () => {};
  #onError: (reason: string) => void = () => {};

  constructor(path: RelayPath, keys: RelayKeys) {
    this.#path = path;
    this.#frames = new RelayFrames(keys);
    this.#role = keys.role;
    // Nobody may be waiting when it fails.
    this.opened.catch(() => {});
    this.#stops = [
      path.onData((data) => this.#receive(data)),
      path.onLost((reason) => this.#abort(new ConnectionError(reason), this.#state === "open")),
    ];
    if (this.#role === "client") this.#transmit(FrameKind.OPEN, EMPTY);
  }

  /** Settles when the other side is there and has the same keys. Rejects with {@link ConnectionError} on any end. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** Settles at the end: with undefined when a side closed it, with the error otherwise. */
  get closed(): Promise<ConnectionError | undefined> {
    return this.#closed.promise;
  }

  /** Throws {@link ConnectionError} when the carrier is not open, `RangeError` for a text that is too long. */
  sendMessage(text: string): boolean {
    return this.#sendData(FrameKind.TEXT, new TextEncoder().encode(text));
  }

  /** Throws {@link ConnectionError} when the carrier is not open, `RangeError` for too many bytes. */
  sendMessageBinary(bytes: Uint8Array): boolean {
    return this.#sendData(FrameKind.BYTES, bytes);
  }

  /**
   * Characters that the other side has not acknowledged. The socket's own figure would not do: what has left it waits
   * in the server for a slower reader, and the server drops what is more than it will hold.
   */
  bufferedAmount(): number {
    return this.#sent - this.#arrived;
  }

  setBufferedAmountLowThreshold(bytes: number): void {
    this.#lowThreshold = bytes;
  }

  onMessage(callback: (message: string | Uint8Array) => void): void {
    this.#onMessage = callback;
    for (const message of this.#early.splice(0)) callback(message);
  }

  onBufferedAmountLow(callback: () => void): void {
    this.#onLow = callback;
  }

  onClosed(callback: () => void): void {
    this.#onClosed = callback;
    if (this.#state === "ended" && this.#error === undefined) callback();
  }

  onError(callback: (reason: string) => void): void {
    this.#onError = callback;
    if (this.#error !== undefined) callback(this.#error.message);
  }

  /** Ends both sides; what was sent before still arrives. Harmless when ended. */
  close(): void {
    if (this.#state === "ended") return;
    // A worker's side that was never called has nobody to tell.
    if (this.#frames.sealed > 0) this.#transmit(FrameKind.CLOSE, EMPTY);
    this.#end(undefined);
  }

  #sendData(kind: number, payload: Uint8Array): boolean {
    if (this.#state !== "open") throw this.#error ?? new ConnectionError("the relay is not open");
    if (payload.length > MAX_MESSAGE_BYTES) {
      throw new RangeError(`a message of ${payload.length} bytes; at most ${MAX_MESSAGE_BYTES}`);
    }
    this.#sent += this.#transmit(kind, payload);
    if (this.#error !== undefined) throw this.#error;
    return true;
  }

  /** Sends, and returns what it costs the server. Ends the carrier when nothing can be sent. */
  #transmit(kind: number, payload: Uint8Array): number {
    const data = this.#frames.seal(kind, payload);
    if (!this.#path.send(data)) this.#end(new ConnectionError("the signaling server is gone"));
    return data.length + ENVELOPE_CHARS;
  }

  #receive(data: string): void {
    try {
      const frame = this.#frames.open(data);
      if (frame === undefined) return;
      if (this.#state === "open") this.#take(frame, data.length + ENVELOPE_CHARS);
      else this.#takeFirst(frame);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#abort(error, true);
    }
  }

  #takeFirst({ kind }: Frame): void {
    if (kind === FrameKind.CLOSE) return this.#end(undefined);
    if (kind === FrameKind.ABORT) throw new ConnectionError(ABORTED);
    if (kind !== FrameKind.OPEN) throw new ConnectionError("the other side did not open the relay properly");
    if (this.#role === "worker") this.#transmit(FrameKind.OPEN, EMPTY);
    if (this.#error !== undefined) return;
    this.#state = "open";
    this.#opened.resolve();
  }

  #take({ kind, payload }: Frame, cost: number): void {
    switch (kind) {
      case FrameKind.TEXT:
        this.#acknowledge(cost);
        return this.#onMessage(new TextDecoder("utf-8", { ignoreBOM: true }).decode(payload));
      case FrameKind.BYTES:
        this.#acknowledge(cost);
        return this.#onMessage(payload);
      case FrameKind.CLOSE:
        return this.#end(undefined);
      case FrameKind.ABORT:
        throw new ConnectionError(ABORTED);
      case FrameKind.ACK:
        return this.#takeAck(payload);
      default:
        throw new ConnectionError(`the other side sent a relayed message of the unexpected kind ${kind}`);
    }
  }

  #takeAck(payload: Uint8Array<ArrayBuffer>): void {
    const arrived = payload.length === 8 ? Number(new DataView(payload.buffer).getBigUint64(0)) : NaN;
    if (!(arrived >= this.#arrived && arrived <= this.#sent)) {
      throw new ConnectionError("the other side acknowledged what was not sent");
    }
    this.#arrived = arrived;
    if (this.bufferedAmount() <= this.#lowThreshold) this.#onLow();
  }

  #acknowledge(cost: number): void {
    this.#received += cost;
    if (this.#received - this.#acknowledged >= ACK_CHARS) this.#sendAck();
    else this.#ackTimer ??= setTimeout(() => this.#sendAck(), ACK_MS);
  }

  #sendAck(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    this.#acknowledged = this.#received;
    const payload = new DataView(new ArrayBuffer(8));
    payload.setBigUint64(0, BigInt(this.#received));
    this.#transmit(FrameKind.ACK, new Uint8Array(payload.buffer));
  }

  /** Ends for a fault; the other side, when it is told, ends as well. */
  #abort(error: ConnectionError, tell: boolean): void {
    if (this.#state === "ended") return;
    if (tell) this.#path.send(this.#frames.seal(FrameKind.ABORT, EMPTY));
    this.#end(error);
  }

  #end(error: ConnectionError | undefined): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#error = error;
    clearTimeout(this.#ackTimer);
    for (const stop of this.#stops) stop();
    this.#opened.reject(error ?? new ConnectionError("the relay was closed"));
    this.#closed.resolve(error);
    if (error) this.#onError(error.message);
    else this.#onClosed();
  }
}
