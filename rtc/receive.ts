import type { NewFile } from "../storage/containment.ts";
import { TransferError } from "./transfer_error.ts";

/** Small messages are gathered into writes of this many bytes. */
const WRITE_BYTES = 1024 * 1024;

/**
 * Takes the bytes of one announced file to disk. It becomes visible only when it is whole.
 * Source: PROTOCOL.md section 11.3; the size is compared here, which the Python peers do not do.
 */
export class FileReceiver {
  readonly name: string;
  /** Announced bytes. */
  readonly size: number;
  readonly #target: NewFile;
  readonly #buffer = new Uint8Array(WRITE_BYTES);
  #filled = 0;
  #received = 0;

  constructor(name: string, size: number, target: NewFile) {
    this.name = name;
    this.size = size;
    this.#target = target;
  }

  /** Bytes so far. */
  get received(): number {
    return this.#received;
  }

  /** Takes one binary message. Throws {@link TransferError} past the announced size, and Deno's file errors. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#received += bytes.length;
    if (this.#received > this.size) {
      throw new TransferError(`${this.name}: more bytes came than the ${this.size} that were announced`);
    }
    for (let taken = 0; taken < bytes.length;) {
      const part = bytes.subarray(taken, taken + WRITE_BYTES - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === WRITE_BYTES) await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    for (let done = 0; done < this.#filled;) {
      done += await this.#target.file.write(this.#buffer.subarray(done, this.#filled));
    }
    this.#filled = 0;
  }

  /** Ends the file and gives it its name; returns its true path. Throws {@link TransferError} when bytes are missing. */
  async finish(): Promise<string> {
    if (this.#received !== this.size) {
      throw new TransferError(`${this.name}: ${this.#received} bytes came, ${this.size} were announced`);
    }
    await this.#flush();
    await this.#target.commit();
    return this.#target.path;
  }

  /** Leaves nothing behind. Harmless after {@link finish}. */
  discard(): Promise<void> {
    return this.#target.discard();
  }
}
