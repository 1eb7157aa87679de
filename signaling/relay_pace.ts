import type { Connection } from "./room.ts";

/** Lets each connection relay so much a second and no more, by making it wait. */
export class RelayPace {
  readonly #bytesPerSecond: number;
  /** When a connection has waited enough for what it relayed, on the clock of `performance.now`. */
  readonly #due = new WeakMap<Connection, number>();

  /** Bytes a second for each connection; 0 to refuse. */
  constructor(bytesPerSecond: number = Infinity) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Whether nothing is relayed at all. */
  get refuses(): boolean {
    return this.#bytesPerSecond === 0;
  }

  /** Resolves when a connection may relay its next message, of so many bytes. */
  async wait(connection: Connection, bytes: number): Promise<void> {
    // Who has left must not wait: its place in the room is freed behind its messages.
    if (this.#bytesPerSecond === Infinity || !connection.isOpen) return;
    const now = performance.now();
    const start = Math.max(now, this.#due.get(connection) ?? now);
    this.#due.set(connection, start + bytes / this.#bytesPerSecond * 1000);
    if (start > now) await new Promise((resolve) => setTimeout(resolve, start - now));
  }
}
