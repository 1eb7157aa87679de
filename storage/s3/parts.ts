import { unlessAborted } from "../deadline.ts";
import { crcOf } from "./checksum.ts";

/** A piece of a stream. */
export interface Part {
  /** From 1. */
  number: number;
  bytes: Uint8Array;
  /** CRC-32 of the bytes. */
  crc: number;
  /** Whether the stream ends with it. */
  last: boolean;
  /** Gives its memory back, for the parts that follow. */
  release(): void;
}

/** So many buffers and no more: who wants another waits until one comes back. */
class Buffers {
  readonly #bytes: number;
  readonly #free: Uint8Array[] = [];
  readonly #waiting: ((buffer: Uint8Array) => void)[] = [];
  #left: number;

  constructor(count: number, bytes: number) {
    this.#left = count;
    this.#bytes = bytes;
  }

  take(): Promise<Uint8Array> {
    const buffer = this.#free.pop();
    if (buffer) return Promise.resolve(buffer);
    if (this.#left === 0) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#left--;
    return Promise.resolve(new Uint8Array(this.#bytes));
  }

  give(buffer: Uint8Array): void {
    const next = this.#waiting.shift();
    if (next) next(buffer);
    else this.#free.push(buffer);
  }
}

/**
 * Cuts a stream into parts of equal size, the last one shorter; an empty stream is one empty part. At most `parallel`
 * parts are in memory: the next is read when one was released. Throws the stream's error and the abort reason.
 */
export async function* partsOf(
  chunks: AsyncIterable<Uint8Array>,
  { bytes, parallel, signal }: { bytes: number; parallel: number; signal: AbortSignal },
): AsyncGenerator<Part, void, void> {
  const buffers = new Buffers(parallel, bytes);
  let [number, filled, buffer] = [1, 0, await buffers.take()];
  const part = (last: boolean): Part => {
    const [whole, content] = [buffer, buffer.subarray(0, filled)];
    return { number, bytes: content, crc: crcOf(content), last, release: () => buffers.give(whole) };
  };
  for await (const chunk of chunks) {
    for (let used = 0; used < chunk.length;) {
      // Only now is it known that the full one is not the last.
      if (filled === buffer.length) {
        yield part(false);
        buffer = await unlessAborted(buffers.take(), signal);
        [number, filled] = [number + 1, 0];
      }
      const piece = chunk.subarray(used, used + buffer.length - filled);
      buffer.set(piece, filled);
      filled += piece.length;
      used += piece.length;
    }
  }
  yield part(true);
}
