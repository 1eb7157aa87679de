/** How quick a storage writes and reads. */
import { Buffer } from "node:buffer";
import { UserError } from "../config/user_error.ts";
import { type Filesystem, FilesystemError } from "./filesystem.ts";

/** Begin of the name of the file that is written and removed again. */
export const SPEED_PREFIX = ".sleap-rtc-doctor-";
/** Bytes that are written. */
const TOTAL_BYTES = 64 * 2 ** 20;
/** Bytes of one chunk, all alike: random, so that no storage makes them smaller. */
const CHUNK_BYTES = 4 * 2 ** 20;
/** Removing the file gets this long, in milliseconds. */
const REMOVE_MS = 5_000;

/** What was measured; times in milliseconds, undefined where the time ran out. */
export interface Speed {
  bytes: number;
  /** With the flush to the disk. */
  writeMs: number | undefined;
  /** What was just written may come from the cache. */
  readMs: number | undefined;
  /** The file, when it could not be removed. */
  left: string | undefined;
}

/**
 * Writes a file of 64 MiB into a folder of a storage, reads it back and removes it, each within `limitMs`.
 * Throws `FilesystemError` when it cannot be written or read, {@link UserError} for other bytes than were written, the
 * abort reason.
 */
export async function measureSpeed(
  storage: Filesystem,
  folder: string,
  limitMs: number,
  signal: AbortSignal,
): Promise<Speed> {
  const path = `${folder === "" ? "" : `${folder}/`}${SPEED_PREFIX}${crypto.randomUUID()}`;
  const chunk = randomChunk();
  let [writeMs, readMs]: (number | undefined)[] = [];
  try {
    const options = { size: TOTAL_BYTES };
    writeMs = await timed(limitMs, signal, (inTime) => storage.write(path, content(chunk, inTime), options));
    if (writeMs !== undefined) {
      readMs = await timed(limitMs, signal, (inTime) => readBack(storage, path, chunk, inTime));
    }
  } catch (error) {
    await remove(storage, path);
    throw error;
  }
  return { bytes: TOTAL_BYTES, writeMs, readMs, left: await remove(storage, path) ? undefined : path };
}

async function remove(storage: Filesystem, path: string): Promise<boolean> {
  return await storage.remove(path, AbortSignal.timeout(REMOVE_MS)).then(() => true, () => false);
}

/** Milliseconds that it took; undefined when the time ran out. */
async function timed(
  limitMs: number,
  signal: AbortSignal,
  work: (inTime: AbortSignal) => Promise<void>,
): Promise<number | undefined> {
  const limit = AbortSignal.timeout(limitMs);
  const began = performance.now();
  try {
    await work(AbortSignal.any([signal, limit]));
    return Math.max(1, Math.round(performance.now() - began));
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted && !(error instanceof FilesystemError)) return undefined;
    throw error;
  }
}

function randomChunk(): Uint8Array<ArrayBuffer> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let at = 0; at < CHUNK_BYTES; at += 65_536) crypto.getRandomValues(chunk.subarray(at, at + 65_536));
  return chunk;
}

/**
 * What is written. It fails when the time is over, and the storage then removes what there is before it says so; were
 * the writing itself called off, a file that is just being made would be removed later, if the program still runs.
 */
function content(chunk: Uint8Array, inTime: AbortSignal): ReadableStream<Uint8Array> {
  let left = TOTAL_BYTES;
  return new ReadableStream({
    pull(controller): void {
      if (inTime.aborted) return controller.error(inTime.reason);
      if (left === 0) return controller.close();
      left -= chunk.length;
      controller.enqueue(chunk);
    },
  }, { highWaterMark: 0 });
}

async function readBack(
  storage: Filesystem,
  path: string,
  chunk: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  let at = 0;
  for await (const bytes of await storage.read(path, undefined, signal)) {
    for (let done = 0; done < bytes.length;) {
      const expected = chunk.subarray(at % CHUNK_BYTES);
      const length = Math.min(expected.length, bytes.length - done);
      const isSame = Buffer.compare(bytes.subarray(done, done + length), expected.subarray(0, length)) === 0;
      if (!isSame) {
        throw new UserError("other bytes were read than had been written", { code: "FILE_CORRUPT" });
      }
      done += length;
      at += length;
    }
  }
  if (at !== TOTAL_BYTES) {
    throw new UserError(`${at} bytes were read of ${TOTAL_BYTES} that had been written`, {
      code: "FILE_CORRUPT",
    });
  }
}
