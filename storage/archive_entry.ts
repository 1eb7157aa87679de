/** The bytes of one file of an archive, unpacked and checked. */
import { Buffer } from "node:buffer";
import { pipeline } from "node:stream/promises";
import { crc32, createInflateRaw, inflateRawSync } from "node:zlib";
import { type ArchiveFile, checkPlace } from "./archive_check.ts";

/** Read, and unpacked, at a time. */
const PIECE = 2 ** 18;
/** From the ZIP format. */
const LOCAL_HEADER = 0x04034b50;
const LOCAL_HEADER_BYTES = 30;

/** Bytes of room behind those of a small file: a full buffer would get a second one. */
export const SPARE = 1;

/** Takes a piece, which is there until it is done. */
export type Sink = (bytes: Uint8Array) => Promise<void>;

/**
 * Reads files out of an archive, best in the order in which they lie there: small ones share one reading. One call
 * at a time.
 */
export class EntryReader {
  readonly #file: Deno.FsFile;
  /**
   * Used in turn, over and over: the memory of new ones would come together until it is collected. The stream that
   * inflates reads ahead, though not so far.
   */
  readonly #buffers = Array.from({ length: 8 }, () => new Uint8Array(PIECE));
  #turn = 0;
  /** Small files are found in this one, and what of the archive lies in it. */
  readonly #window = new Uint8Array(PIECE);
  #start = 0;
  #end = 0;

  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Whether a file is so small that {@link whole} may hold it. */
  static isSmall({ packedSize, size, method }: ArchiveFile): boolean {
    return Math.max(packedSize, size) <= PIECE && typeof method === "string";
  }

  /** A small file's bytes. Throws for what is not as the archive says. */
  async whole(file: ArchiveFile): Promise<Uint8Array> {
    const packed = await this.#view(await this.begin(file), file.packedSize);
    const bytes = file.method === "stored" ? packed.slice() : inflateRawSync(packed, {
      chunkSize: Math.max(64, file.size + SPARE),
      maxOutputLength: Math.max(1, file.size),
    });
    check(file, bytes.length, crc32(bytes));
    return bytes;
  }

  /** Hands a file's bytes on, piece by piece. Throws for what is not as the archive says, what the sink throws. */
  async stream(file: ArchiveFile, sink: Sink, signal: AbortSignal): Promise<void> {
    let [size, crc] = [0, 0];
    const take = async (bytes: Uint8Array): Promise<void> => {
      size += bytes.length;
      if (size > file.size) throw new Error(`${JSON.stringify(file.name)} is larger than it says`);
      crc = crc32(bytes, crc);
      await sink(bytes);
    };
    if (file.method === "stored") await this.#copy(file, take, signal);
    else if (file.method === "deflated") await this.#inflate(file, take, signal);
    else await file.method.getData(new WritableStream({ write: take }), { signal });
    check(file, size, crc);
  }

  /** Reads the next piece while the sink has the last. */
  async #copy(file: ArchiveFile, sink: Sink, signal: AbortSignal): Promise<void> {
    let taken = Promise.resolve();
    try {
      for await (const piece of this.#pieces(file)) {
        signal.throwIfAborted();
        await taken;
        taken = sink(piece);
        // What it throws is thrown when it is waited for.
        taken.catch(() => {});
      }
    } finally {
      await taken;
    }
  }

  async #inflate(file: ArchiveFile, sink: Sink, signal: AbortSignal): Promise<void> {
    const takeAll = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
      for await (const piece of pieces) {
        await sink(piece);
        release(piece);
      }
    };
    await pipeline(this.#pieces(file), createInflateRaw({ chunkSize: PIECE }), takeAll, { signal });
  }

  async *#pieces(file: ArchiveFile): AsyncGenerator<Uint8Array> {
    const start = await this.begin(file);
    const end = start + file.packedSize;
    for (let at = start; at < end; at += PIECE) {
      const buffer = this.#buffers[this.#turn++ % this.#buffers.length]!;
      yield await this.#read(at, buffer.subarray(0, end - at));
    }
  }

  /** Where a file's bytes begin in the archive. Throws for what is not as the archive says. */
  async begin(file: ArchiveFile): Promise<number> {
    const header = await this.#view(file.offset, LOCAL_HEADER_BYTES);
    const fields = new DataView(header.buffer, header.byteOffset, header.length);
    if (fields.getUint32(0, true) !== LOCAL_HEADER) {
      throw new Error(`${JSON.stringify(file.name)} is not where its list of entries says`);
    }
    const names = fields.getUint16(26, true) + fields.getUint16(28, true);
    const start = file.offset + LOCAL_HEADER_BYTES + names;
    checkPlace(file, start);
    return start;
  }

  /** Some bytes, at most a piece; they are there until the next call. */
  async #view(at: number, length: number): Promise<Uint8Array> {
    if (at < this.#start || at + length > this.#end) {
      this.#end = 0;
      const { length: read } = await this.#read(at, this.#window, length);
      [this.#start, this.#end] = [at, at + read];
    }
    return this.#window.subarray(at - this.#start, at - this.#start + length);
  }

  /** Fills a buffer, or at least `needed` bytes of it where the archive ends earlier. */
  async #read(at: number, buffer: Uint8Array, needed = buffer.length): Promise<Uint8Array> {
    // Synchronous, so that nothing comes between it and the reading; it moves no byte.
    this.#file.seekSync(at, Deno.SeekMode.Start);
    let filled = 0;
    while (filled < buffer.length) {
      const read = await this.#file.read(buffer.subarray(filled));
      if (read === null) break;
      filled += read;
    }
    if (filled < needed) throw new Error(`it ends at byte ${at + filled}, in the midst of a file`);
    return buffer.subarray(0, filled);
  }
}

/**
 * Gives the memory of bytes back without waiting for the collector, which lets 64 MiB come together. Only when they
 * have a buffer to themselves: not one that other small ones share, nor one that still has more than `spare` bytes of
 * room for further ones, and those before were taken.
 */
export function release({ buffer, byteOffset, byteLength }: Uint8Array, spare = 0): void {
  const isWhole = buffer.byteLength > Buffer.poolSize && byteOffset + byteLength + spare >= buffer.byteLength;
  if (isWhole && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

function check({ name, size, crc }: ArchiveFile, foundSize: number, foundCrc: number): void {
  if (foundSize !== size) throw new Error(`${JSON.stringify(name)} has ${foundSize} bytes, expected ${size}`);
  if (foundCrc !== crc) throw new Error(`${JSON.stringify(name)} fails its checksum`);
}
