/** Moves the bytes of one open file to another, chunk by chunk, in bounded memory. */
import { readAhead } from "./read_ahead.ts";
import type { Watch } from "./supervise.ts";
import { writeAll } from "./write_all.ts";

/**
 * Bytes per read and write. Two of these stay in a core's cache between reading and writing, and the page cache takes
 * them in small blocks, which are at hand; 4 MiB are slower for both reasons.
 */
const CHUNK_BYTES = 256 * 1024;
/** The first flush comes after so many bytes, and measures the storage. */
const FIRST_FLUSH_BYTES = 64 * 1024 * 1024;
/** Each later one after as much as the storage takes in so many seconds: no flush then lasts much longer. */
const FLUSH_SECONDS = 10;

/**
 * Copies from an offset up to `size` bytes, or the end, and flushes; returns where it ended. Reading the next chunk
 * overlaps with writing the last. Throws what the watch and `onDone` throw, Deno's file errors; both files are idle
 * then.
 */
export async function copyBytes(
  from: Deno.FsFile,
  to: Deno.FsFile,
  { offset, size }: { offset: number; size: number },
  watch: Watch,
  onDone: (done: number) => void,
): Promise<number> {
  await Promise.all([from, to].map((file) => file.seek(offset, Deno.SeekMode.Start)));
  const flusher = new Flusher(to, offset);
  let done = offset;
  for await (const chunk of readAhead(from, size - offset, CHUNK_BYTES)) {
    await writeAll(to, chunk);
    done += chunk.length;
    watch.check();
    watch.advance(done - flusher.flushed);
    onDone(done);
    await flusher.at(done);
  }
  await to.sync();
  return done;
}

/**
 * Flushes a file now and then while it is written, so that a slow storage is seen to advance, and no last flush of
 * gigabytes looks like a dead one. A fast disk is flushed once: flushing beside the writing costs half its speed.
 */
class Flusher {
  /** Bytes up to here are on the disk. */
  flushed: number;
  #interval = FIRST_FLUSH_BYTES;

  constructor(private readonly file: Deno.FsFile, offset: number) {
    this.flushed = offset;
  }

  /** Flushes when enough was written since the last time. */
  async at(done: number): Promise<void> {
    const bytes = done - this.flushed;
    if (bytes < this.#interval) return;
    const began = performance.now();
    await this.file.syncData();
    const perSecond = bytes / Math.max(0.001, (performance.now() - began) / 1000);
    this.#interval = Math.max(FIRST_FLUSH_BYTES, perSecond * FLUSH_SECONDS);
    this.flushed = done;
  }
}
