/** Two ends of a relay in one process, without a server; loads nothing native. */
import { RelayCarrier, type RelayPath } from "../../rtc/relay_carrier.ts";
import { RelayKeyPair, type RelayKeys } from "../../rtc/relay_keys.ts";

/** The keys of both sides of a connection. */
export function agreedKeys(): { client: RelayKeys; worker: RelayKeys } {
  const [client, worker] = [new RelayKeyPair(), new RelayKeyPair()];
  return {
    client: client.agree("client", worker.publicKey),
    worker: worker.agree("worker", client.publicKey),
  };
}

/** One end of a way that hands texts over soon, in order, as a test wants them. */
export class FakePath implements RelayPath {
  other: FakePath | undefined;
  /** What becomes of a text on its way to the other end: what arrives of it. */
  change: (data: string) => string[] = (data) => [data];
  isConnected = true;
  readonly sent: string[] = [];
  readonly #data = new Set<(data: string) => void>();
  readonly #lost = new Set<(reason: string) => void>();

  /** Callbacks that were not taken back. */
  get listeners(): number {
    return this.#data.size + this.#lost.size;
  }

  send(data: string): boolean {
    if (!this.isConnected) return false;
    this.sent.push(data);
    for (const each of this.change(data)) queueMicrotask(() => this.other?.deliver(each));
    return true;
  }

  /** A text from the other end. */
  deliver(data: string): void {
    for (const callback of [...this.#data]) callback(data);
  }

  /** The way tells that something is lost. */
  lose(reason: string): void {
    for (const callback of [...this.#lost]) callback(reason);
  }

  onData(callback: (data: string) => void): () => void {
    this.#data.add(callback);
    return () => this.#data.delete(callback);
  }

  onLost(callback: (reason: string) => void): () => void {
    this.#lost.add(callback);
    return () => this.#lost.delete(callback);
  }
}

/** Both ends of a way. */
export function linkedPaths(): { near: FakePath; far: FakePath } {
  const [near, far] = [new FakePath(), new FakePath()];
  near.other = far;
  far.other = near;
  return { near, far };
}

/** A client's and a worker's carrier, open; the client's is at the near end. */
export async function openCarriers(): Promise<
  { client: RelayCarrier; worker: RelayCarrier; near: FakePath; far: FakePath }
> {
  const keys = agreedKeys();
  const { near, far } = linkedPaths();
  const worker = new RelayCarrier(far, keys.worker);
  const client = new RelayCarrier(near, keys.client);
  await Promise.all([client.opened, worker.opened]);
  return { client, worker, near, far };
}
