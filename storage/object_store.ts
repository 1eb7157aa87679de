/** Files and folders of this machine to and from an object store, whose keys are all that travels. */
import { join } from "node:path";
import { checkRelativePath } from "./containment.ts";
import type { TreeSize } from "./copy.ts";
import type { S3Filesystem } from "./s3.ts";

/** A store that is open. Close it. */
export type ObjectStore = S3Filesystem;

/** Opens a backend's object store. The client library is large and loaded by those only who use it. */
export async function openStore({ basePath }: { basePath: string }): Promise<ObjectStore> {
  const { S3Filesystem } = await import("./s3.ts");
  return new S3Filesystem(basePath);
}

/** Runs something with a backend's object store. */
export async function withStore<Result>(
  backend: { basePath: string },
  work: (store: ObjectStore) => Promise<Result>,
): Promise<Result> {
  const store = await openStore(backend);
  try {
    return await work(store);
  } finally {
    store.close();
  }
}

/** Uploads a file. Throws `FilesystemError`, the abort reason. */
export async function uploadFile(
  store: ObjectStore,
  source: string,
  path: string,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (done: number, total: number) => void } = {},
): Promise<number> {
  const file = await Deno.open(source, { read: true });
  const { size, mtime, mode } = await file.stat();
  let done = 0;
  const counted = file.readable.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller): void {
        done += bytes.length;
        onProgress?.(done, size);
        controller.enqueue(bytes);
      },
    }),
  );
  const options = {
    size,
    ...(mtime ? { modified: mtime } : {}),
    ...(mode === null ? {} : { mode: mode & 0o777 }),
  };
  await store.write(path, counted, options, signal);
  return size;
}

/** Uploads a file, or a folder's files with all below it; links are left out. Throws `FilesystemError`, the abort reason. */
export async function uploadTree(
  store: ObjectStore,
  source: string,
  path: string,
  signal: AbortSignal,
): Promise<TreeSize> {
  const info = await Deno.lstat(source);
  if (info.isFile) return { files: 1, bytes: await uploadFile(store, source, path, { signal }) };
  const size = { files: 0, bytes: 0 };
  if (!info.isDirectory) return size;
  for await (const { name } of Deno.readDir(source)) {
    const inner = await uploadTree(store, join(source, name), `${path}/${name}`, signal);
    size.files += inner.files;
    size.bytes += inner.bytes;
  }
  return size;
}

/**
 * Downloads everything below a path into an existing folder. Names come from outside and pass `containment`.
 * Throws `FilesystemError`, `PathValidationError`, the abort reason.
 */
export async function downloadTree(
  store: ObjectStore,
  path: string,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  for await (const { name, isFolder } of store.list(path, signal)) {
    const local = join(target, ...checkRelativePath(name));
    if (!isFolder) {
      await store.download(`${path}/${name}`, local, { signal });
      continue;
    }
    await Deno.mkdir(local);
    await downloadTree(store, `${path}/${name}`, local, signal);
  }
}
