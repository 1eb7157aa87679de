import { dirname } from "node:path";
import { fault, faultOf } from "../faults.ts";
import { FilesystemError } from "../filesystem.ts";
import { flushEntries, setMode } from "../local/disk.ts";
import { writeAll } from "../write_all.ts";
import type { S3Access, S3Head } from "./access.ts";
import { ObjectBody } from "./body.ts";
import { crcOf, crcText, joinCrc } from "./checksum.ts";
import { hasCrc, Journal } from "./journal.ts";
import { inParallel } from "./parallel.ts";

/** Bytes collected before they are written. */
const BLOCK_BYTES = 2 ** 20;
/** How often one range is asked for when the connection breaks. */
const ATTEMPTS = 3;

/** How a download is followed and ended. */
export interface DownloadOptions {
  signal?: AbortSignal;
  /** Bytes on disk, and in all; what an earlier attempt left counts once it was verified. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * Downloads an object to an absolute path in an existing folder, in ranges side by side. The bytes go to
 * `TARGET.partial`, and `TARGET.partial.json` notes which ranges are complete, with their checksums. When the storage
 * goes away both stay, and the next download of the same object (by its ETag) goes on with the ranges whose bytes on
 * disk still have their checksum; after an abort or any other error both are removed. The target appears when it is
 * whole, its CRC-32 compared with the service's where that keeps one of the whole object, and flushed.
 * Throws {@link FilesystemError} (`corrupt` when the checksum differs) and the abort reason.
 */
export async function download(
  access: S3Access,
  path: string,
  target: string,
  options: DownloadOptions,
): Promise<void> {
  const head = await access.head(path, options.signal);
  const partial = `${target}.partial`;
  try {
    await new Download(access, path, head, options).run(partial);
    await setAttributes(partial, head);
    options.signal?.throwIfAborted();
    await Deno.rename(partial, target);
    await Deno.remove(`${partial}.json`).catch(ignoreMissing);
    await flushEntries(dirname(target));
  } catch (error) {
    const gone = error instanceof FilesystemError && error.fault === "gone";
    if (!gone) {
      for (const left of [partial, `${partial}.json`]) await Deno.remove(left).catch(ignoreMissing);
    }
    // What remains without a fault of its own went wrong on this machine's disk.
    const kind = error instanceof FilesystemError ? undefined : faultOf(error);
    throw kind && error !== options.signal?.reason ? fault(kind, target, error) : error;
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/** Opens the file of an earlier attempt, or a new one; a link that somebody put there is not followed. */
async function openPartial(path: string, isNew: boolean): Promise<Deno.FsFile> {
  if (isNew) {
    await Deno.remove(path).catch(ignoreMissing);
    return await Deno.open(path, { read: true, write: true, createNew: true });
  }
  // Without `createNew` nothing but a file that is there is opened; a link is found out below.
  const file = await Deno.open(path, { read: true, write: true });
  const [opened, seen] = [await file.stat(), await Deno.lstat(path)];
  if (seen.isFile && opened.ino === seen.ino && opened.dev === seen.dev) return file;
  file.close();
  return await openPartial(path, true);
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, (error: unknown) => {
    ignoreMissing(error);
    return false;
  });
}

async function setAttributes(path: string, { modified, mode }: S3Head): Promise<void> {
  using file = await Deno.open(path, { read: true, write: true });
  if (modified) await file.utime(modified, modified);
  if (mode !== undefined) await setMode(path, await file.stat(), mode);
  await file.sync();
}

/** One attempt. */
class Download {
  readonly #access: S3Access;
  readonly #path: string;
  readonly #head: S3Head;
  readonly #options: DownloadOptions;
  #done = 0;

  constructor(access: S3Access, path: string, head: S3Head, options: DownloadOptions) {
    this.#access = access;
    this.#path = path;
    this.#head = head;
    this.#options = options;
  }

  /** Fills the partial file and verifies it. */
  async run(partial: string): Promise<void> {
    const { etag, size } = this.#head;
    const rangeBytes = this.#access.partBytes;
    const journal = await Journal.open(`${partial}.json`, { etag, size, rangeBytes });
    (await openPartial(partial, journal.isEmpty || !await isThere(partial))).close();
    const crcs: number[] = [];
    const count = Math.ceil(size / rangeBytes);
    await inParallel(count, this.#access.parallel, this.#options.signal, async (index, stop) => {
      const range = [index * rangeBytes, Math.min(size, (index + 1) * rangeBytes)] as const;
      using file = await openPartial(partial, false);
      crcs[index] = await this.#kept(file, journal, index, range) ??
        await this.#fetch(file, range, stop);
      await journal.note(index, crcs[index]);
    });
    const whole = crcs.reduce((crc, next, index) => {
      return joinCrc(crc, next, Math.min(rangeBytes, size - index * rangeBytes));
    }, 0);
    if (this.#head.crc !== undefined && this.#head.crc !== crcText(whole)) {
      throw fault("corrupt", this.#path, undefined, "checksum differs");
    }
  }

  #advance(bytes: number): void {
    this.#done += bytes;
    this.#options.onProgress?.(this.#done, this.#head.size);
  }

  /** The checksum of a range that is on disk already, if it is what was noted. */
  async #kept(
    file: Deno.FsFile,
    journal: Journal,
    index: number,
    [offset, end]: readonly [number, number],
  ): Promise<number | undefined> {
    const crc = journal.crcOf(index);
    if (crc === undefined || !await hasCrc(file, offset, end, crc)) return undefined;
    this.#advance(end - offset);
    return crc;
  }

  /** Fetches a range into its place; from its begin again when the connection breaks. Returns its checksum. */
  async #fetch(file: Deno.FsFile, range: readonly [number, number], stop: AbortSignal): Promise<number> {
    for (let attempt = 1;; attempt++) {
      await file.seek(range[0], Deno.SeekMode.Start);
      const before = this.#done;
      try {
        return await this.#fetchOnce(file, range, stop);
      } catch (error) {
        const gone = error instanceof FilesystemError && error.fault === "gone";
        if (!gone || attempt === ATTEMPTS) throw error;
        this.#done = Math.min(this.#done, before);
      }
    }
  }

  async #fetchOnce(file: Deno.FsFile, range: readonly [number, number], stop: AbortSignal): Promise<number> {
    const body = await ObjectBody.open(this.#access, this.#path, this.#head, range, stop);
    const block = new Uint8Array(Math.min(BLOCK_BYTES, range[1] - range[0]));
    let [filled, crc] = [0, 0];
    const write = async (): Promise<void> => {
      const bytes = block.subarray(0, filled);
      crc = crcOf(bytes, crc);
      await writeAll(file, bytes);
      filled = 0;
    };
    try {
      for (let chunk = await body.next(); chunk; chunk = await body.next()) {
        for (let used = 0; used < chunk.length;) {
          const piece = chunk.subarray(used, used + block.length - filled);
          block.set(piece, filled);
          [filled, used] = [filled + piece.length, used + piece.length];
          if (filled === block.length) await write();
        }
      }
      await write();
    } finally {
      body.close();
    }
    this.#advance(range[1] - range[0]);
    return crc;
  }
}
