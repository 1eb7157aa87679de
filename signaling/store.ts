/** What a signaling server remembers beyond its process. */

/** What is remembered, each under a key: rooms by id, jobs by id, revoked tokens by id, and settings by name. */
export type Kind = "room" | "job" | "revoked" | "setting";

/** Keeps JSON values; whoever reads parses them. */
export interface Store {
  /** Everything of a kind. */
  all(kind: Kind): Promise<Map<string, unknown>>;
  /** Kept, when it returns, even if the process is killed. */
  put(kind: Kind, key: string, value: unknown): Promise<void>;
  /** No error when there is none. */
  delete(kind: Kind, key: string): Promise<void>;
  close(): Promise<void>;
}

/** Forgets everything with its process. */
export class MemoryStore implements Store {
  readonly #values = new Map<Kind, Map<string, unknown>>();

  all(kind: Kind): Promise<Map<string, unknown>> {
    return Promise.resolve(new Map(this.#values.get(kind)));
  }

  put(kind: Kind, key: string, value: unknown): Promise<void> {
    const values = this.#values.get(kind) ?? new Map<string, unknown>();
    this.#values.set(kind, values.set(key, structuredClone(value)));
    return Promise.resolve();
  }

  delete(kind: Kind, key: string): Promise<void> {
    this.#values.get(kind)?.delete(key);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
