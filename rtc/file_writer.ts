import { createHash, type Hash } from "node:crypto";
import type { IncomingFolder } from "../storage/incoming.ts";

/** Small chunks are gathered into writes of this many bytes. */
const WRITE_BYTES = 1024 * 1024;

/** Writes a file that comes in chunks, and hashes it on the way. One write is under way while the next is gathered. */
export class FileWriter {
  readonly #file: Deno.FsFile;
  readonly #hash: Hash;
  #position: number;
  #buffer = new Uint8Array(WRITE_BYTES);
  #spare = new Uint8Array(WRITE_BYTES);
  #filled = 0;
  #writing: Promise<void> = Promise.resolve();

  private constructor(file: Deno.FsFile, hash: Hash, position: number) {
    this.#file = file;
    this.#hash = hash;
    this.#position = position;
  }

  /** Begins a file of a transfer. Throws Deno's file errors, `PathValidationError`. */
  static async begin(folder: IncomingFolder, number: number): Promise<FileWriter> {
    return new FileWriter(await folder.write(number, 0), createHash("sha256"), 0);
  }

  /** Goes on with a file from `offset` on; `hash` is that of the bytes before. Throws as {@link begin}. */
  static async goOn(
    folder: IncomingFolder,
    number: number,
    offset: number,
    hash: Hash,
  ): Promise<FileWriter> {
    return new FileWriter(await folder.write(number, offset), hash, offset);
  }

  /** Bytes so far. */
  get position(): number {
    return this.#position;
  }

  /** Throws Deno's file errors, also those of earlier writes. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.#position += bytes.length;
    for (let taken = 0; taken < bytes.length;) {
      const part = bytes.subarray(taken, taken + WRITE_BYTES - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === WRITE_BYTES) await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    await this.#writing;
    const full = this.#buffer.subarray(0, this.#filled);
    [this.#buffer, this.#spare] = [this.#spare, this.#buffer];
    this.#filled = 0;
    this.#writing = writeAll(this.#file, full);
    // Whoever writes next hears of it.
    this.#writing.catch(() => {});
  }

  /** Ends the file; returns its SHA-256 in hex. `durable`: it survives a crash of the machine. */
  async finish(durable: boolean): Promise<string> {
    try {
      await this.#flush();
      await this.#writing;
      if (durable) await this.#file.sync();
    } finally {
      this.#file.close();
    }
    return this.#hash.digest("hex");
  }

  /** Ends early; what came is on disk. Throws Deno's file errors. */
  async close(): Promise<void> {
    try {
      await this.#flush();
      await this.#writing;
    } finally {
      try {
        this.#file.close();
      } catch {
        // It was closed by a failed end.
      }
    }
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}
