/** A storage in memory whose troubles can be set: slow, full, read-only, gone. */
import { checkRelativePath } from "../../storage/containment.ts";
import { chunksOf, unlessAborted } from "../../storage/deadline.ts";
import { boundsOf, checkSize, fault } from "../../storage/faults.ts";
import type { ByteRange, FileStat, Filesystem, FolderEntry, WriteOptions } from "../../storage/filesystem.ts";

interface FakeFile {
  content: Uint8Array;
  modified: Date;
  mode: number;
}

/** Bytes of one chunk that is read. */
const CHUNK_BYTES = 65_536;

/** A storage in memory; its fields may be changed at any moment, also while a transfer is under way. */
export class FakeFilesystem implements Filesystem {
  /** Milliseconds before every answer and every chunk; `Infinity` never answers (only the signal ends the wait). */
  latencyMs = 0;
  /** Bytes that files may take in all; the write that goes over it fails with `full`. */
  capacity = Infinity;
  /** Every change fails with `read-only`. */
  readOnly = false;
  /** Everything fails with `gone`. */
  gone = false;
  /** Bytes after which it is gone, read and written together; then {@link gone} is set. */
  goneAfterBytes = Infinity;

  /** A file by its path, or "folder". The root is not in it. */
  readonly #entries = new Map<string, FakeFile | "folder">();

  async exists(path: string, signal?: AbortSignal): Promise<boolean> {
    return (await this.#find(path, signal)).entry !== undefined;
  }

  async stat(path: string, signal?: AbortSignal): Promise<FileStat> {
    const { entry } = await this.#find(path, signal);
    if (!entry) throw fault("missing", path);
    if (entry === "folder") {
      return { isFile: false, isFolder: true, size: 0, modified: undefined, mode: undefined };
    }
    const { content, modified, mode } = entry;
    return { isFile: true, isFolder: false, size: content.length, modified, mode };
  }

  async *list(path: string, signal?: AbortSignal): AsyncGenerator<FolderEntry, void, void> {
    const { key, entry } = await this.#find(path, signal);
    if (!entry) throw fault("missing", path);
    if (entry !== "folder") throw fault("not a folder", path);
    const prefix = key === "" ? "" : `${key}/`;
    for (const [name, found] of [...this.#entries]) {
      const rest = name.slice(prefix.length);
      if (!name.startsWith(prefix) || rest.includes("/")) continue;
      await this.#answer(path, signal);
      yield { name: rest, isFile: found !== "folder", isFolder: found === "folder" };
    }
  }

  async read(path: string, range?: ByteRange, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { offset, length } = boundsOf(range);
    const { content } = await this.#file(path, signal);
    const end = Math.min(content.length, offset + length);
    let at = offset;
    return new ReadableStream<Uint8Array>({
      pull: async (controller): Promise<void> => {
        await this.#answer(path, signal);
        if (at >= end) return controller.close();
        const chunk = content.slice(at, Math.min(end, at + CHUNK_BYTES));
        this.#count(path, chunk.length);
        at += chunk.length;
        controller.enqueue(chunk);
      },
    }, { highWaterMark: 0 });
  }

  async write(
    path: string,
    content: ReadableStream<Uint8Array>,
    options: WriteOptions = {},
    signal?: AbortSignal,
  ): Promise<void> {
    let key: string;
    try {
      key = await this.#target(path, signal);
    } catch (error) {
      await content.cancel(error).catch(() => {});
      throw error;
    }
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of chunksOf(content, signal)) {
      await this.#answer(path, signal);
      this.#count(path, chunk.length);
      size += chunk.length;
      if (this.#used() + size > this.capacity) throw fault("full", path);
      chunks.push(chunk.slice());
    }
    checkSize(path, size, options.size);
    await this.#answer(path, signal);
    if (this.readOnly) throw fault("read-only", path);
    const whole = new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    const { modified = new Date(), mode = 0o644 } = options;
    this.#entries.set(key, { content: whole, modified, mode: mode & 0o777 });
  }

  async makeFolder(path: string, signal?: AbortSignal): Promise<void> {
    await this.#answer(path, signal);
    this.#makeFolders(path, checkRelativePath(path));
  }

  async copy(from: string, to: string, signal?: AbortSignal): Promise<void> {
    const source = await this.#file(from, signal);
    const target = await this.#target(to, signal);
    if (this.#used() + source.content.length > this.capacity) throw fault("full", to);
    this.#entries.set(target, { ...source });
  }

  async move(from: string, to: string, signal?: AbortSignal): Promise<void> {
    const source = await this.#file(from, signal);
    const target = await this.#target(to, signal);
    this.#entries.delete(checkRelativePath(from).join("/"));
    this.#entries.set(target, source);
  }

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    await this.#answer(path, signal);
    const key = checkRelativePath(path).join("/");
    if (key === "") throw fault("denied", path);
    if (this.readOnly) throw fault("read-only", path);
    for (const name of [...this.#entries.keys()]) {
      if (name === key || name.startsWith(`${key}/`)) this.#entries.delete(name);
    }
  }

  async freeSpace(signal?: AbortSignal): Promise<number | undefined> {
    await this.#answer("", signal);
    return this.capacity === Infinity ? undefined : Math.max(0, this.capacity - this.#used());
  }

  async flush(path: string, signal?: AbortSignal): Promise<void> {
    await this.stat(path, signal);
  }

  /** Waits for the latency. Throws when it is gone, and the abort reason. */
  async #answer(path: string, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      if (this.latencyMs > 0) {
        const answered = new Promise<void>((resolve) => {
          if (this.latencyMs < Infinity) timer = setTimeout(resolve, this.latencyMs);
        });
        await unlessAborted(answered, signal);
      } else await Promise.resolve();
    } finally {
      clearTimeout(timer);
    }
    if (this.gone) throw fault("gone", path);
  }

  #count(path: string, bytes: number): void {
    this.goneAfterBytes -= bytes;
    if (this.goneAfterBytes >= 0) return;
    this.gone = true;
    throw fault("gone", path);
  }

  #used(): number {
    let bytes = 0;
    for (const entry of this.#entries.values()) bytes += entry === "folder" ? 0 : entry.content.length;
    return bytes;
  }

  async #find(
    path: string,
    signal: AbortSignal | undefined,
  ): Promise<{ key: string; entry: FakeFile | "folder" | undefined }> {
    const key = checkRelativePath(path).join("/");
    await this.#answer(path, signal);
    return { key, entry: key === "" ? "folder" : this.#entries.get(key) };
  }

  async #file(path: string, signal: AbortSignal | undefined): Promise<FakeFile> {
    const { entry } = await this.#find(path, signal);
    if (!entry) throw fault("missing", path);
    if (entry === "folder") throw fault("not a file", path);
    return entry;
  }

  /** The key of a file to be written, its folders made. */
  async #target(path: string, signal: AbortSignal | undefined): Promise<string> {
    const { key, entry } = await this.#find(path, signal);
    if (entry === "folder") throw fault("not a file", path);
    this.#makeFolders(path, checkRelativePath(path).slice(0, -1));
    return key;
  }

  #makeFolders(path: string, components: readonly string[]): void {
    if (this.readOnly) throw fault("read-only", path);
    for (let depth = 1; depth <= components.length; depth++) {
      const key = components.slice(0, depth).join("/");
      const entry = this.#entries.get(key);
      if (entry && entry !== "folder") throw fault("not a folder", path);
      this.#entries.set(key, "folder");
    }
  }
}
