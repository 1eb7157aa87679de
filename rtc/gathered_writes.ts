import { writeAll } from "../storage/write_all.ts";

/** Small pieces are gathered into writes of so many bytes: a longer one keeps the connection's threads from running. */
const WRITE_BYTES = 256 * 1024;

/** Writes to a file what comes in small pieces; one write is under way while the next is gathered. */
export class GatheredWrites {
  readonly #file: Deno.FsFile;
  #buffer = new Uint8Array(WRITE_BYTES);
  #spare = new Uint8Array(WRITE_BYTES);
  #filled = 0;
  #writing: Promise<void> = Promise.resolve();

  /** The file stays its giver's, to close. */
  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Takes bytes; they may change afterwards. Throws Deno's file errors, also those of earlier writes. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let taken = 0; taken < bytes.length;) {
      const part = bytes.subarray(taken, taken + WRITE_BYTES - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === WRITE_BYTES) await this.#begin();
    }
  }

  /** Resolves when all that came is written. Throws Deno's file errors. */
  async finish(): Promise<void> {
    await this.#begin();
    await this.#writing;
  }

  async #begin(): Promise<void> {
    await this.#writing;
    const full = this.#buffer.subarray(0, this.#filled);
    [this.#buffer, this.#spare] = [this.#spare, this.#buffer];
    this.#filled = 0;
    this.#writing = writeAll(this.#file, full);
    // Whoever writes next hears of it.
    this.#writing.catch(() => {});
  }
}
