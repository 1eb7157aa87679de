import type { ErrorCode } from "../config/error_code.ts";
import { getLogger } from "@logtape/logtape";
import {
  formatAck,
  formatFrame,
  formatHello,
  type Hello,
  LINK_UNKNOWN,
  parseFrame,
  parseHello,
} from "../protocol/link.ts";
import { type Channel, keepAlive } from "./channel.ts";
import { awaitFirst } from "./hello.ts";
import { Inbox } from "./inbox.ts";
import { Lane, LaneSharing } from "./lane_sharing.ts";
import { Outbox } from "./outbox.ts";
import type { Pipe } from "./pipe.ts";
import { ConnectionError } from "./transfer_error.ts";

const logger = getLogger(["sleap-rtc", "link"]);

/** Keep-alives on each lane, in milliseconds. */
const KEEP_ALIVE_MS = 2_000;
/** What arrives, and what is done with, is acknowledged after so many bytes of both … */
const ACK_BYTES = 4 * 1024 * 1024;
/** … or, when less, after so many milliseconds. */
const ACK_MS = 25;
/** Where there are several lanes, what arrives over one is told after so many bytes: it makes room for more. */
const LANE_ACK_BYTES = 128 * 1024;
/** A farewell gets so long to be heard, in milliseconds. */
const BYE_LIMIT_MS = 1_000;

/** How a link is kept. */
export interface LinkOptions {
  /** 32 hex digits; see {@link newLinkId}. */
  id: string;
  /** A link without any channel ends after so many milliseconds. */
  patienceMs: number;
  /** Called when the last channel is lost; the link waits for another to be given. */
  onDetached?: () => void;
}

/** A new link's id: 128 random bits, in hex. */
export function newLinkId(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toHex();
}

/**
 * Messages both ways, whole and in order, over channels that may come and go: what a lost channel took along is sent
 * again over the next. The receiver acknowledges what it is done with, not what arrived, so at most a window of bytes
 * is under way, and a slow reader slows the sender. Several channels at once share the load. See "The link" in
 * docs/protocol.md.
 */
export class Link implements Pipe {
  readonly #options: LinkOptions;
  readonly #outbox = new Outbox<Lane>();
  readonly #sharing = new LaneSharing(this.#outbox, (lane) => this.#lose(lane));
  readonly #inbox = new Inbox();
  readonly #waiting = new Set<() => void>();
  #ackTimer: ReturnType<typeof setTimeout> | undefined;
  #patience: ReturnType<typeof setTimeout> | undefined;
  #open = true;
  #lastHeard = performance.now();
  #bytesReceived = 0;
  #resolveClosed!: () => void;
  readonly closed: Promise<void> = new Promise((resolve) => this.#resolveClosed = resolve);

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get id(): string {
    return this.#options.id;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Channels in use. */
  get lanes(): number {
    return this.#lanes.size;
  }

  get #lanes(): ReadonlySet<Lane> {
    return this.#sharing.lanes;
  }

  get silentMs(): number {
    const silences = [...this.#lanes].map(({ channel }) => channel.silentMs);
    return Math.min(performance.now() - this.#lastHeard, ...silences);
  }

  get bytesSent(): number {
    return this.#sharing.bytesSent;
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** Bytes of frames whose receiver is done with them, in both directions; what was sent again counts once. */
  get bytesDone(): number {
    return this.#outbox.bytesDone + this.#inbox.bytesDone;
  }

  /** Bytes that were sent more than once. */
  get bytesResent(): number {
    return this.#outbox.bytesResent;
  }

  /**
   * The client's side of a new channel: says which link it is for, and uses it once the worker agrees.
   * Throws {@link ConnectionError}, {@link LinkUnknownError}, the abort reason.
   */
  async join(channel: Channel, signal?: AbortSignal): Promise<void> {
    await this.#sayHello(channel);
    const answer = await awaitFirst(channel, signal);
    if (answer === LINK_UNKNOWN) throw new LinkUnknownError();
    const hello = parseHello(answer);
    if (hello?.id !== this.id) throw new ConnectionError("the worker did not say hello");
    this.#attach(channel, hello);
  }

  /** The worker's side: answers a client's hello, and uses the channel. Throws {@link ConnectionError}. */
  async welcome(channel: Channel, hello: Hello): Promise<void> {
    await this.#sayHello(channel);
    this.#attach(channel, hello);
  }

  async #sayHello(channel: Channel): Promise<void> {
    await channel.send(formatHello({ id: this.id, received: this.#inbox.received }));
  }

  /** Gives up the youngest lanes until so many are left. */
  trim(lanes: number): void {
    for (const { channel } of [...this.#lanes].slice(lanes)) channel.close();
  }

  async send(message: string | Uint8Array, signal?: AbortSignal): Promise<void> {
    if (typeof message === "string") await this.#enqueue("text", [new TextEncoder().encode(message)], signal);
    else await this.#enqueue("bytes", [message], signal);
  }

  /** As {@link send}, for bytes that lie in several places. */
  async sendParts(parts: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    await this.#enqueue("bytes", parts, signal);
  }

  async #enqueue(
    kind: "text" | "bytes",
    parts: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#open) {
      this.#outbox.add(kind, parts);
      this.#sharing.pump();
    }
    while (this.#open && this.#outbox.isFull) await this.#change(signal);
    if (!this.#open) throw new ConnectionError("the connection has ended");
  }

  async receive(signal?: AbortSignal): Promise<string | Uint8Array | undefined> {
    for (;;) {
      signal?.throwIfAborted();
      const message = this.#inbox.take();
      this.#acknowledgeSoon();
      if (message !== undefined || !this.#open) return message;
      await this.#change(signal);
    }
  }

  async flush(signal?: AbortSignal): Promise<void> {
    while (this.#open && !this.#outbox.isEmpty) await this.#change(signal);
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#end();
    const channels = [...this.#lanes].map(({ channel }) => channel);
    const late = new AbortController();
    const timer = setTimeout(() => {
      late.abort();
      this.#closeLanes();
    }, BYE_LIMIT_MS);
    // What is under way when a channel is closed can be lost, the farewell as well: whoever hears it closes.
    await Promise.allSettled(channels.map((channel) => channel.send(formatFrame("bye", 0), late.signal)));
    await Promise.all(channels.map(({ closed }) => closed));
    clearTimeout(timer);
  }

  /** Settles at the next change of any kind. Throws the abort reason. */
  async #change(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake);
    });
    signal?.throwIfAborted();
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  #attach(channel: Channel, { received }: Hello): void {
    if (!this.#open) return void channel.close();
    clearTimeout(this.#patience);
    this.#outbox.arrived(received);
    const lane = new Lane(channel);
    this.#sharing.add(lane);
    keepAlive(channel, KEEP_ALIVE_MS);
    void this.#read(lane);
    this.#sharing.pump();
    // The last one may have been lost with its lane.
    this.#acknowledge();
  }

  /** What a lost lane took along goes over another, or waits for one. */
  #lose(lane: Lane): void {
    if (lane.isLost) return;
    lane.isLost = true;
    lane.watch.stop();
    lane.channel.close();
    this.#lastHeard = Math.max(this.#lastHeard, performance.now() - lane.channel.silentMs);
    this.#sharing.remove(lane);
    if (!this.#open) return;
    this.#outbox.giveBack(lane);
    this.#sharing.pump();
    if (this.#lanes.size > 0) return this.#acknowledge();
    this.#patience = setTimeout(() => {
      logger.warn("the other side did not come back");
      this.#end();
    }, this.#options.patienceMs);
    this.#options.onDetached?.();
  }

  async #read(lane: Lane): Promise<void> {
    for (let message; (message = await lane.channel.receive()) !== undefined;) {
      // After this side's farewell only the other's is of interest, and the end of the channel.
      if (!this.#open && !isFarewell(message)) continue;
      if (typeof message === "string" || !this.#take(message, lane)) {
        logger.warn("the other side broke the rules of the link, which is closed");
        // Nothing that it answers is of interest.
        lane.channel.send(formatFrame("bye", 0)).catch(() => {});
        this.#end();
        return this.#closeLanes();
      }
    }
    this.#lose(lane);
  }

  /** Takes a frame; false when it breaks the rules. */
  #take(message: Uint8Array, lane: Lane): boolean {
    const frame = parseFrame(message);
    this.#bytesReceived += message.length;
    let isFine = frame !== undefined;
    if (frame?.kind === "ack") {
      isFine = this.#outbox.acknowledge(frame.sequence) && lane.flow.arrived(frame.onLane);
      this.#outbox.arrived(frame.received);
      this.#sharing.pump();
    } else if (frame?.kind === "text") isFine = this.#inbox.put(frame.sequence, frame.text, message.length);
    else if (frame?.kind === "bytes") isFine = this.#inbox.put(frame.sequence, frame.bytes, message.length);
    else if (frame?.kind === "bye") {
      this.#end();
      this.#closeLanes();
    }
    if (frame?.kind === "text" || frame?.kind === "bytes") {
      lane.arrived++;
      lane.untoldBytes += message.length;
      if (this.#lanes.size > 1 && lane.untoldBytes >= LANE_ACK_BYTES) this.#acknowledgeOver(lane);
    }
    this.#acknowledgeSoon();
    this.#wake();
    return isFine;
  }

  #acknowledgeSoon(): void {
    if (!this.#open) return;
    const bytes = this.#inbox.untoldBytes;
    if (bytes >= ACK_BYTES) this.#acknowledge();
    else if (bytes > 0) this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ACK_MS);
  }

  /** Tells all lanes what came over them, and one of them what is done with. */
  #acknowledge(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    const lanes = [...this.#lanes].sort((a, b) => a.channel.bufferedAmount - b.channel.bufferedAmount);
    for (const [index, lane] of lanes.entries()) {
      if (index === 0 || lane.untoldBytes > 0) this.#acknowledgeOver(lane);
    }
  }

  #acknowledgeOver(lane: Lane): void {
    if (!this.#open) return;
    this.#inbox.told();
    lane.untoldBytes = 0;
    const frame = formatAck(this.#inbox.consumed, this.#inbox.received, lane.arrived);
    lane.channel.send(frame).catch(() => this.#lose(lane));
  }

  #end(): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#patience);
    clearTimeout(this.#ackTimer);
    this.#sharing.stop();
    for (const { watch } of this.#lanes) watch.stop();
    this.#wake();
    this.#resolveClosed();
  }

  #closeLanes(): void {
    for (const { channel } of this.#lanes) channel.close();
  }
}

function isFarewell(message: string | Uint8Array): boolean {
  return typeof message !== "string" && parseFrame(message)?.kind === "bye";
}

/** The worker does not know a link, or no longer: it was started again, or has given it up. */
export class LinkUnknownError extends ConnectionError {
  static override readonly code: ErrorCode = "LINK_UNKNOWN";

  constructor() {
    super("the worker does not know this session any more");
  }
}
