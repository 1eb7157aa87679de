import { homedir } from "node:os";
import { withoutCredentials } from "../config/mistake.ts";
import { ConfigError } from "../config/user_error.ts";
import { RedisLink } from "./redis_link.ts";
import { RedisStore } from "./redis_store.ts";
import { SqliteStore } from "./sqlite_store.ts";
import { MemoryStore, type Store } from "./store.ts";

/** Where a server remembers unless told otherwise. */
export const DEFAULT_STORE = "sqlite:~/.sleap-rtc/signaling.db";

/**
 * The store that `--store` names: `memory`, `sqlite:PATH` or `redis://…`. Throws {@link ConfigError} for anything else,
 * {@link UserError} when it cannot be used.
 */
export async function openStore(text: string): Promise<Store> {
  if (text === "memory") return new MemoryStore();
  const path = /^sqlite:(.+)$/s.exec(text)?.[1];
  if (path !== undefined) return await SqliteStore.open(path.replace(/^~(?=\/)/, () => homedir()));
  if (/^rediss?:\/\//.test(text) && URL.canParse(text)) return new RedisStore(await RedisLink.open(text));
  throw new ConfigError(`--store: "${withoutCredentials(text)}" is no store`, {
    hint:
      "write memory, sqlite:PATH or redis://HOST:PORT/DB, for example sqlite:/var/lib/sleap-rtc/signaling.db",
  });
}
