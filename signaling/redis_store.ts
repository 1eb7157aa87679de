import { PREFIX, type RedisLink } from "./redis_link.ts";
import type { Kind, Store } from "./store.ts";

/** Puts a value while a key has the value that it should have; tells whether it did. */
const PUT_GUARDED = `
if redis.call('get', KEYS[2]) ~= ARGV[3] then return 0 end
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
return 1`;

/** A key of Redis, and what it must hold for a put to count. */
export interface Guard {
  key: string;
  value: string;
}

/** A store that several servers share: one hash for each kind. What it survives is up to Redis' own settings. */
export class RedisStore implements Store {
  readonly link: RedisLink;
  /** Without one, this server may not put jobs: another leads the queue. Undefined: every put counts. */
  jobGuard: (() => Guard | undefined) | undefined;

  constructor(link: RedisLink) {
    this.link = link;
  }

  async all(kind: Kind): Promise<Map<string, unknown>> {
    const values = await this.link.client.hGetAll(PREFIX + kind);
    return new Map(Object.entries(values).map(([key, text]) => [key, JSON.parse(text)]));
  }

  /** One value; undefined when there is none. */
  async get(kind: Kind, key: string): Promise<unknown> {
    const text = await this.link.client.hGet(PREFIX + kind, key);
    return text === null ? undefined : JSON.parse(text);
  }

  async put(kind: Kind, key: string, value: unknown): Promise<void> {
    const text = JSON.stringify(value);
    if (kind === "job" && this.jobGuard) return await this.#putGuarded(key, text, this.jobGuard());
    await this.link.client.hSet(PREFIX + kind, key, text);
  }

  async delete(kind: Kind, key: string): Promise<void> {
    await this.link.client.hDel(PREFIX + kind, key);
  }

  close(): Promise<void> {
    this.link.close();
    return Promise.resolve();
  }

  async #putGuarded(key: string, text: string, guard: Guard | undefined): Promise<void> {
    const done = guard && await this.link.client.eval(PUT_GUARDED, {
      keys: [`${PREFIX}job`, guard.key],
      arguments: [key, text, guard.value],
    });
    if (done !== 1) throw new Error("another server leads the queue now");
  }
}
