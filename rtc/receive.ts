import type { NewFile } from "../storage/containment.ts";
import { GatheredWrites } from "./gathered_writes.ts";
import { release } from "./pipe.ts";
import { TransferError } from "./transfer_error.ts";

/**
 * Takes the bytes of one announced file to disk. It becomes visible only when it is whole.
 * Source: PROTOCOL.md section 11.3; the size is compared here, which the Python peers do not do.
 */
export class FileReceiver {
  readonly name: string;
  /** Announced bytes. */
  readonly size: number;
  readonly #target: NewFile;
  readonly #writes: GatheredWrites;
  #received = 0;

  constructor(name: string, size: number, target: NewFile) {
    this.name = name;
    this.size = size;
    this.#target = target;
    this.#writes = new GatheredWrites(target.file);
  }

  /** Bytes so far. */
  get received(): number {
    return this.#received;
  }

  /**
   * Takes one binary message, which is empty afterwards. Throws {@link TransferError} past the announced size, and
   * Deno's file errors.
   */
  async write(bytes: Uint8Array): Promise<void> {
    this.#received += bytes.length;
    if (this.#received > this.size) {
      throw new TransferError(`${this.name}: more bytes came than the ${this.size} that were announced`);
    }
    await this.#writes.write(bytes);
    release(bytes);
  }

  /** Ends the file and gives it its name; returns its true path. Throws {@link TransferError} when bytes are missing. */
  async finish(): Promise<string> {
    if (this.#received !== this.size) {
      throw new TransferError(`${this.name}: ${this.#received} bytes came, ${this.size} were announced`);
    }
    await this.#writes.finish();
    await this.#target.commit();
    return this.#target.path;
  }

  /** Leaves nothing behind. Harmless after {@link finish}. */
  async discard(): Promise<void> {
    // Nothing is to be written once it is gone.
    await this.#writes.finish().catch(() => {});
    await this.#target.discard();
  }
}
