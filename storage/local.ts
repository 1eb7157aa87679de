import { dirname } from "node:path";
import {
  checkRelativePath,
  createInside,
  makeFolderInside,
  type NewFile,
  openInside,
  resolveExisting,
} from "./containment.ts";
import { freeSpace } from "./copy.ts";
import { chunksOf, type Deadlines } from "./deadline.ts";
import { boundsOf, checkSize, fault } from "./faults.ts";
import {
  type ByteRange,
  type FileStat,
  type Filesystem,
  FilesystemError,
  type FolderEntry,
  type WriteOptions,
} from "./filesystem.ts";
import { LocalAccess } from "./local/access.ts";
import { flushEntries, flushUpwards, isNameable, renamed, setMode } from "./local/disk.ts";

/** Bytes of one chunk that is read. */
const CHUNK_BYTES = 4 * 2 ** 20;
/** Slowest disk to which a file is flushed, in bytes per millisecond. */
const FLUSH_BYTES_PER_MS = 20_000;
/** How long a failed write waits for its temporary file to be removed; later it is removed unwatched. */
const CLEANUP_MS = 1_000;

/**
 * A folder of this machine: local disk, NFS, FUSE. What was written is durable when the call returns. A mount that
 * does not answer within its deadline, and a root that is not there, are {@link FilesystemError} `gone`. A path that
 * is not acceptable, or leads out of the root, throws `PathValidationError`. An operation that was abandoned may
 * still come to its end when the mount comes back: whole, never half.
 */
export class LocalFilesystem implements Filesystem {
  readonly #access: LocalAccess;

  /** `root` is absolute; it may be a link. */
  constructor(root: string, deadlines: Deadlines = {}) {
    this.#access = new LocalAccess(root, deadlines);
  }

  async exists(path: string, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.stat(path, signal);
      return true;
    } catch (error) {
      if (error instanceof FilesystemError && error.fault === "missing") return false;
      throw error;
    }
  }

  async stat(path: string, signal?: AbortSignal): Promise<FileStat> {
    const info = await this.#access.ask(path, signal, async () => {
      return await Deno.lstat(await resolveExisting(this.#access.root, path));
    });
    return {
      isFile: info.isFile,
      isFolder: info.isDirectory,
      size: info.isFile ? info.size : 0,
      modified: info.mtime ?? undefined,
      mode: info.mode === null ? undefined : info.mode & 0o777,
    };
  }

  async *list(path: string, signal?: AbortSignal): AsyncGenerator<FolderEntry, void, void> {
    const { root, chunkDeadline: ms } = this.#access;
    const entries = await this.#access.ask(path, signal, async () => {
      const folder = await resolveExisting(root, path);
      if (!(await Deno.lstat(folder)).isDirectory) throw fault("not a folder", path);
      return Deno.readDir(folder)[Symbol.asyncIterator]();
    });
    for (;;) {
      // The first answer takes as long as reading the whole folder.
      const next = await this.#access.ask(path, signal, () => entries.next(), { ms });
      if (next.done) return;
      if (isNameable(next.value.name)) yield await this.#entry(path, next.value, signal);
    }
  }

  /** What a name stands for; a link for what it leads to, or for nothing when that is outside or missing. */
  async #entry(folder: string, found: Deno.DirEntry, signal: AbortSignal | undefined): Promise<FolderEntry> {
    const { name, isFile, isDirectory, isSymlink } = found;
    if (!isSymlink) return { name, isFile, isFolder: isDirectory };
    const path = [...checkRelativePath(folder), name].join("/");
    const target = await this.#access.ask(path, signal, async () => {
      const real = await resolveExisting(this.#access.root, path).catch(() => undefined);
      return real === undefined ? undefined : await Deno.lstat(real);
    });
    return { name, isFile: target?.isFile ?? false, isFolder: target?.isDirectory ?? false };
  }

  async read(path: string, range?: ByteRange, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { offset, length } = boundsOf(range);
    const file = await this.#access.ask(path, signal, async () => {
      const opened = await openInside(this.#access.root, path);
      if (offset > 0) await opened.file.seek(offset, Deno.SeekMode.Start);
      return opened.file;
    }, { late: (late) => late.close() });
    return this.#stream(file, path, length, signal);
  }

  /** At most so many bytes of an open file, which is closed with the stream, or when the signal is aborted. */
  #stream(
    file: Deno.FsFile,
    path: string,
    length: number,
    signal: AbortSignal | undefined,
  ): ReadableStream<Uint8Array> {
    let left = length;
    let fail: (() => void) | undefined;
    const end = (): void => {
      if (!fail) return;
      signal?.removeEventListener("abort", fail);
      fail = undefined;
      file.close();
    };
    return new ReadableStream<Uint8Array>({
      start: (controller): void => {
        fail = (): void => {
          end();
          controller.error(signal?.reason);
        };
        signal?.addEventListener("abort", fail);
      },
      pull: async (controller): Promise<void> => {
        const buffer = new Uint8Array(Math.min(CHUNK_BYTES, left));
        const wait = { ms: this.#access.chunkDeadline };
        const read = left === 0
          ? null
          : await this.#access.ask(path, signal, () => file.read(buffer), wait).catch((error: unknown) => {
            end();
            throw error;
          });
        if (!fail) return;
        if (read === null) {
          end();
          controller.close();
          return;
        }
        left -= read;
        controller.enqueue(buffer.subarray(0, read));
      },
      cancel: end,
    }, { highWaterMark: 0 });
  }

  async write(
    path: string,
    content: ReadableStream<Uint8Array>,
    options: WriteOptions = {},
    signal?: AbortSignal,
  ): Promise<void> {
    const mode = (options.mode ?? 0o644) & 0o777;
    const created = await this.#access.ask(
      path,
      signal,
      () => createInside(this.#access.root, path, { mode }),
      {
        late: (late) => void late.discard().catch(() => {}),
      },
    ).catch((error: unknown) => {
      void content.cancel(error).catch(() => {});
      throw error;
    });
    try {
      const size = await this.#fill(created, path, content, signal);
      checkSize(path, size, options.size);
      await this.#publish(created, path, size, options, signal);
    } catch (error) {
      // Without the signal, which may be aborted; a failure here would hide the one that matters.
      await this.#access.ask(path, undefined, () => created.discard(), { ms: CLEANUP_MS }).catch(() => {});
      closeAnyway(created.file);
      throw error;
    }
  }

  async #fill(
    { file }: NewFile,
    path: string,
    content: ReadableStream<Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const wait = { ms: this.#access.chunkDeadline };
    let size = 0;
    for await (const chunk of chunksOf(content, signal)) {
      for (let done = 0; done < chunk.length;) {
        done += await this.#access.ask(path, signal, () => file.write(chunk.subarray(done)), wait);
      }
      size += chunk.length;
    }
    return size;
  }

  /** Flushes a file that is complete and gives it its name, times and mode. */
  async #publish(
    created: NewFile,
    path: string,
    size: number,
    { modified, mode }: WriteOptions,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const wait = { ms: this.#access.chunkDeadline + size / FLUSH_BYTES_PER_MS };
    await this.#access.ask(path, signal, () => created.file.sync(), wait);
    const made = await this.#access.ask(path, signal, async () => {
      if (modified) await created.file.utime(modified, modified);
      return await created.file.stat();
    });
    await this.#access.ask(path, signal, () => created.commit(), wait);
    await this.#access.ask(path, signal, async () => {
      if (mode !== undefined) await setMode(created.path, made, mode & 0o777);
      await flushUpwards(dirname(created.path), this.#access.root);
    }, wait);
  }

  async makeFolder(path: string, signal?: AbortSignal): Promise<void> {
    const { root } = this.#access;
    await this.#access.ask(path, signal, async () => flushUpwards(await makeFolderInside(root, path), root));
  }

  async copy(from: string, to: string, signal?: AbortSignal): Promise<void> {
    const { modified, mode, size } = await this.stat(from, signal);
    const options: WriteOptions = { size };
    if (modified) options.modified = modified;
    if (mode !== undefined) options.mode = mode;
    await this.write(to, await this.read(from, undefined, signal), options, signal);
  }

  async move(from: string, to: string, signal?: AbortSignal): Promise<void> {
    await this.#access.ask(from, signal, async () => {
      const { isFile } = await Deno.lstat(await resolveExisting(this.#access.root, from));
      if (!isFile) throw fault("not a file", from);
    });
    const moved = await this.#access.ask(to, signal, async () => {
      const source = await this.#access.ownPath(from);
      // A link is copied: at another place it would lead elsewhere.
      if ((await Deno.lstat(source)).isSymlink) return false;
      const target = await this.#access.targetPath(to);
      if (!await renamed(source, target)) return false;
      await flushUpwards(dirname(target), this.#access.root);
      await flushEntries(dirname(source));
      return true;
    }, { ms: this.#access.chunkDeadline });
    if (moved) return;
    await this.copy(from, to, signal);
    await this.remove(from, signal);
  }

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.#access.ask(path, signal, async () => {
        await Deno.remove(await this.#access.ownPath(path), { recursive: true });
        // A folder with many files takes its time, on a share more so.
      }, { ms: this.#access.chunkDeadline });
    } catch (error) {
      const nothing = error instanceof FilesystemError &&
        (error.fault === "missing" || error.fault === "not a folder");
      if (!nothing) throw error;
    }
  }

  freeSpace(signal?: AbortSignal): Promise<number> {
    return this.#access.ask("", signal, () => freeSpace(this.#access.root));
  }

  /** Flushes a folder's entries; files are flushed when they are written. */
  async flush(path: string, signal?: AbortSignal): Promise<void> {
    await this.#access.ask(path, signal, async () => {
      const found = await resolveExisting(this.#access.root, path);
      await flushUpwards((await Deno.lstat(found)).isDirectory ? found : dirname(found), this.#access.root);
    }, { ms: this.#access.chunkDeadline });
  }
}

/** On a dead mount a file could not be discarded; its handle must not stay all the same. */
function closeAnyway(file: Deno.FsFile): void {
  try {
    file.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
