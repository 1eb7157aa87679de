/** A native data channel that does what a test says, for states that the real one passes too fast to be caught in. */
import { type Carrier, Channel } from "../../rtc/channel.ts";

/** The native library's side of one channel. */
export class FakeNative implements Carrier {
  readonly sent: (string | Uint8Array)[] = [];
  /** What `bufferedAmount` answers. */
  buffered = 0;
  /** Where messages go, in their order, soon. */
  other: FakeNative | undefined;
  /** Set: sending throws, as the library does from the moment the other side closed, before it says so. */
  broken = false;
  closed = false;
  #message: (message: string | Uint8Array) => void = () => {};
  #low: () => void = () => {};
  #end: () => void = () => {};

  /** A channel over this. */
  channel(): Channel {
    return new Channel(this);
  }

  /** A message from the other side. */
  deliver(message: string | Uint8Array): void {
    this.#message(message);
  }

  /** The library tells that the queue is short again. */
  drain(): void {
    this.buffered = 0;
    this.#low();
  }

  /** The library tells that the channel is closed. */
  end(): void {
    this.#end();
  }

  setBufferedAmountLowThreshold(): void {}
  onMessage(callback: (message: string | Uint8Array) => void): void {
    this.#message = callback;
  }
  onBufferedAmountLow(callback: () => void): void {
    this.#low = callback;
  }
  onClosed(callback: () => void): void {
    this.#end = callback;
  }
  onError(): void {}
  bufferedAmount(): number {
    return this.buffered;
  }
  sendMessage(text: string): boolean {
    return this.sendMessageBinary(text);
  }
  sendMessageBinary(message: string | Uint8Array): boolean {
    if (this.broken) throw new Error("libdatachannel error while sending: DataChannel is closed");
    const copy = typeof message === "string" ? message : message.slice();
    this.sent.push(copy);
    const { other } = this;
    if (other) setTimeout(() => other.closed || other.deliver(copy), 0);
    return true;
  }
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.end();
    const { other } = this;
    if (other) setTimeout(() => other.close(), 0);
  }
}

/** Two channels of one process that end in each other; nothing native is behind them. */
export function linkedChannels(): {
  near: Channel;
  far: Channel;
  nearNative: FakeNative;
  farNative: FakeNative;
} {
  const [nearNative, farNative] = [new FakeNative(), new FakeNative()];
  nearNative.other = farNative;
  farNative.other = nearNative;
  return { near: nearNative.channel(), far: farNative.channel(), nearNative, farNative };
}
