/** Where something lies on shared storage, in words that hold on every machine that has the backend. */
import type { Config } from "../config/load.ts";
import { StorageConfig } from "../storage/backend.ts";
import { StorageResolver } from "../storage/resolver.ts";

/** A place in a storage backend. */
export interface StoredAt {
  backend: string;
  /** Below the backend's base path, with `/`; `.` for that itself. */
  path: string;
}

/** Where an absolute path lies in a backend of this machine; null when in none, or when it cannot be told. */
export async function storedAt(path: string, config: Pick<Config, "storage">): Promise<StoredAt | null> {
  const resolver = new StorageResolver(StorageConfig.fromConfig(config));
  const found = await resolver.locate(path).catch(() => undefined);
  if (!found) return null;
  const { backend, userSubdir, relativePath } = found;
  return { backend, path: [userSubdir, relativePath].filter((part) => part !== "").join("/") || "." };
}
