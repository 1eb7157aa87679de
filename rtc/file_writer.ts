import { createHash, type Hash } from "node:crypto";
import type { IncomingFolder } from "../storage/incoming.ts";
import { GatheredWrites } from "./gathered_writes.ts";

/** Writes a file that comes in chunks, and hashes it on the way. */
export class FileWriter {
  readonly #file: Deno.FsFile;
  readonly #hash: Hash;
  readonly #writes: GatheredWrites;
  #position: number;

  private constructor(file: Deno.FsFile, hash: Hash, position: number) {
    this.#file = file;
    this.#writes = new GatheredWrites(file);
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
    await this.#writes.write(bytes);
  }

  /** Ends the file; returns its SHA-256 in hex. `durable`: it survives a crash of the machine. */
  async finish(durable: boolean): Promise<string> {
    try {
      await this.#writes.finish();
      if (durable) await this.#file.sync();
    } finally {
      this.#file.close();
    }
    return this.#hash.digest("hex");
  }

  /** Ends early; what came is on disk. Throws Deno's file errors. */
  async close(): Promise<void> {
    try {
      await this.#writes.finish();
    } finally {
      try {
        this.#file.close();
      } catch {
        // It was closed by a failed end.
      }
    }
  }
}
