import { isS3Path } from "../config/schema.ts";
import type { Filesystem } from "./filesystem.ts";
import { LocalFilesystem } from "./local.ts";
import { withStore } from "./object_store.ts";

/** One for each root: it bounds how many calls may hang on a mount that does not answer. */
const local = new Map<string, LocalFilesystem>();

function localFilesystem(root: string): LocalFilesystem {
  const known = local.get(root) ?? new LocalFilesystem(root);
  local.set(root, known);
  return known;
}

/**
 * Runs something with a backend's storage, whatever its kind. Throws what `work` throws, and `ConfigError` for an
 * object store that is not configured.
 */
export async function withFilesystem<Result>(
  backend: { basePath: string },
  work: (filesystem: Filesystem) => Promise<Result>,
): Promise<Result> {
  if (isS3Path(backend.basePath)) return await withStore(backend, work);
  return await work(localFilesystem(backend.basePath));
}
