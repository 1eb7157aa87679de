/** Where a storage job finds its package and leaves its results: in a folder, or in an object store. */
import { basename, dirname, join } from "node:path";
import type { StorageBackend } from "../storage/backend.ts";
import { checkRelativePath, PathValidationError } from "../storage/containment.ts";
import { flushUpwards } from "../storage/local/disk.ts";
import { uploadTree, withStore } from "../storage/object_store.ts";
import type { StorageResolver } from "../storage/resolver.ts";
import { type JobInput, type JobResult, MODELS } from "./job.ts";
import type { Made } from "./manifest.ts";
import { type Delivered, publishResults } from "./results.ts";

/** Where a storage job reads and writes; each call checks the paths again. */
export interface StoragePlaces {
  /** The input path as the client sent it. */
  received: string;
  /** The output path as the client sent it. */
  outputReceived: string;
  /**
   * Opens the package, or names the folder that an unpacked one lies in; one in an object store is fetched into
   * `scratch` first. Throws `PathValidationError`, `FilesystemError`.
   */
  open(scratch: string, signal: AbortSignal): Promise<OpenedPackage>;
  /** Puts results where they are wanted. Throws `PathValidationError`, `FilesystemError`, Deno's file errors. */
  deliver(result: JobResult, signal: AbortSignal): Promise<Delivered>;
}

/** A package that is damaged as this worker sees it on shared storage; the client is asked to send it. */
export class DamagedOnStorageError extends PathValidationError {
  /** What travels behind the message. */
  static readonly request = "send it over the data channel (RTC)";

  /** Rethrows an error of a storage job, a damaged package as this one. */
  static rethrow(error: unknown): never {
    if (!(error instanceof PathValidationError) || error.refusal !== "corrupt") throw error;
    throw new DamagedOnStorageError("corrupt", error.received, error.detail, error);
  }
}

/** A package on shared storage, to be closed. */
export interface OpenedPackage {
  /** True path. */
  path: string;
  source: JobInput["source"];
  close(): void;
}

/**
 * Throws `PathValidationError` unless something is there, and is a file that can be read or a folder. A client falls
 * back only while it waits for the answer, so that a file that cannot be read is better found now than in the job.
 */
export async function checkReadable(
  resolver: StorageResolver,
  backend: string,
  subdir: string,
  path: string,
): Promise<void> {
  const found = await resolver.resolve(backend, subdir, path);
  if ((await Deno.stat(found)).isDirectory) return;
  (await resolver.open(backend, subdir, path)).file.close();
}

/** The places of a job on storage that is mounted here. */
export function localPlaces(
  resolver: StorageResolver,
  backend: string,
  subdir: string,
  input: string,
  output: string,
): StoragePlaces {
  return {
    received: input,
    outputReceived: output,
    open: () => openLocal(resolver, backend, subdir, input),
    deliver: async (result, signal) => {
      const folder = await resolver.makeFolder(backend, subdir, output);
      const size = await publishResults(result, folder, signal);
      await flushUpwards(folder, await resolver.resolve(backend, "", ""));
      return size;
    },
  };
}

/** Opens a package that was there when it was checked. Throws `PathValidationError`: `changed` when it is gone now. */
async function openLocal(
  resolver: StorageResolver,
  backend: string,
  subdir: string,
  input: string,
): Promise<OpenedPackage> {
  try {
    const path = await resolver.resolve(backend, subdir, input);
    if (!/\.zip$/i.test(path)) {
      return { path, source: { folder: await unpackedFolder(path) }, close(): void {} };
    }
    const { file, info } = await resolver.open(backend, subdir, input);
    return { path, source: { file, size: info.size }, close: (): void => file.close() };
  } catch (error) {
    if (!(error instanceof PathValidationError) || error.refusal !== "missing") throw error;
    throw new PathValidationError("changed", input, error.detail, error);
  }
}

/** The key of a path below a user's folder. Throws `PathValidationError`. */
export function keyOf(subdir: string, path: string): string {
  return [...checkRelativePath(subdir), ...checkRelativePath(path)].join("/");
}

/** The places of a job in an object store; paths are keys there. */
export function storePlaces(
  store: StorageBackend,
  subdir: string,
  input: string,
  output: string,
): StoragePlaces {
  return {
    received: input,
    outputReceived: output,
    open: async (scratch, signal) => {
      const folder = await Deno.makeTempDir({ dir: scratch, prefix: "fetched-" });
      const path = join(folder, basename(keyOf(subdir, input)));
      const removeFolder = (): void => Deno.removeSync(folder, { recursive: true });
      try {
        await withStore(store, (open) => open.download(keyOf(subdir, input), path, { signal }));
        const file = await Deno.open(path, { read: true });
        const { size } = await file.stat();
        const close = (): void => {
          file.close();
          removeFolder();
        };
        return { path, source: { file, size }, close };
      } catch (error) {
        removeFolder();
        throw error;
      }
    },
    deliver: async ({ models, predictions }, signal) =>
      await withStore(store, async (open) => {
        const size = { files: 0, bytes: 0, made: [] as Made[] };
        const put = async (source: string, name: string): Promise<void> => {
          const added = await uploadTree(open, source, keyOf(subdir, `${output}/${name}`), signal);
          size.made.push({ name, path: source });
          size.files += added.files;
          size.bytes += added.bytes;
        };
        if (models !== undefined) await put(models, MODELS);
        for (const source of predictions) await put(source, basename(source));
        return size;
      }),
  };
}

/** The folder that an unpacked package lies in: the path itself, or that of the file. */
async function unpackedFolder(path: string): Promise<string> {
  return (await Deno.stat(path)).isDirectory ? path : dirname(path);
}
