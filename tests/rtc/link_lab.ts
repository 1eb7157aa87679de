/** Two links of one process over lanes that a test makes, cuts, holds up and falsifies. */
import { Channel } from "../../rtc/channel.ts";
import { readHello } from "../../rtc/hello.ts";
import { Link, type LinkOptions, newLinkId } from "../../rtc/link.ts";
import { FakeNative } from "./fake_native.ts";

/** A carrier that keeps nothing of what it sends, and delivers a burst at a time. */
export class Wire extends FakeNative {
  /** Nothing leaves while this is set; {@link release} lets it go. */
  isHeld = false;
  /** What becomes of a message on its way. */
  alter: (message: string | Uint8Array) => string | Uint8Array = (message) => message;
  #queue: (string | Uint8Array)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  override sendMessageBinary(message: string | Uint8Array): boolean {
    if (this.broken || this.closed) throw new Error("closed");
    this.#queue.push(this.alter(typeof message === "string" ? message : message.slice()));
    this.buffered += message.length;
    this.#leave();
    return true;
  }

  /** What was held up leaves. */
  release(): void {
    this.isHeld = false;
    this.#leave();
  }

  #leave(): void {
    if (this.isHeld) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.isHeld) return;
      for (const message of this.#queue.splice(0)) if (!this.other?.closed) this.other?.deliver(message);
      this.drain();
    });
  }

  override close(): void {
    if (this.closed) return;
    this.closed = true;
    this.end();
    // The other side hears of it after what was sent before.
    setTimeout(() => this.other?.close());
  }

  /** Ends it at once; what is on its way is lost. */
  cut(): void {
    this.closed = true;
    this.#queue = [];
    this.end();
  }
}

/** One lane, from both sides. */
export interface LabLane {
  client: Wire;
  worker: Wire;
  /** Loses it, with all that is on its way. */
  cut(): void;
}

/** Both ends of a new channel. */
export function wires(): LabLane & { near: Channel; far: Channel } {
  const [client, worker] = [new Wire(), new Wire()];
  [client.other, worker.other] = [worker, client];
  const cut = (): void => {
    client.cut();
    worker.cut();
  };
  return { client, worker, near: client.channel(), far: worker.channel(), cut };
}

/** Both ends of a link. */
export class LinkLab {
  readonly client: Link;
  readonly worker: Link;

  constructor(options: Partial<LinkOptions> = {}) {
    const all = { id: newLinkId(), patienceMs: 60_000, ...options };
    [this.client, this.worker] = [new Link(all), new Link(all)];
  }

  /** Another lane, in use on both sides. Throws `ConnectionError` when it is lost before. */
  async attach(lane: ReturnType<typeof wires> = wires()): Promise<LabLane> {
    const joining = this.client.join(lane.near);
    joining.catch(() => {});
    await this.worker.welcome(lane.far, await readHello(lane.far));
    await joining;
    return lane;
  }

  async close(): Promise<void> {
    await Promise.all([this.client.close(), this.worker.close()]);
  }
}

/** Runs a test with a link of so many lanes, and ends it afterwards. */
export async function withLink(
  test: (lab: LinkLab, lanes: readonly LabLane[]) => Promise<void>,
  count = 1,
  options: Partial<LinkOptions> = {},
): Promise<void> {
  const lab = new LinkLab(options);
  const lanes: LabLane[] = [];
  try {
    for (let each = 0; each < count; each++) lanes.push(await lab.attach());
    await test(lab, lanes);
  } finally {
    await lab.close();
  }
}

/** A link whose other side is a test: what it sends is kept, and the test delivers what it likes. */
export async function hostileLink(): Promise<{ link: Link; native: FakeNative }> {
  const native = new FakeNative();
  const link = new Link({ id: newLinkId(), patienceMs: 60_000 });
  await link.welcome(new Channel(native), { id: link.id, received: 0 });
  return { link, native };
}

/** Settles when everything that is due has been done: timers without delay, and what follows from them. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** The next `count` messages. */
export async function takeFrom(link: Link, count: number): Promise<(string | Uint8Array | undefined)[]> {
  const messages: (string | Uint8Array | undefined)[] = [];
  while (messages.length < count) messages.push(await link.receive());
  return messages;
}
