import { getLogger } from "@logtape/logtape";
import { UserError } from "../config/user_error.ts";
import { FileReceiver } from "../rtc/receive.ts";
import { createInside } from "../storage/containment.ts";

const logger = getLogger(["sleap-rtc", "worker", "incoming"]);

/** A file that arrived whole; the folder is its own and goes with it. */
export interface ArrivedFile {
  /** True path. */
  path: string;
  folder: string;
}

/** The file that a client announces and sends over the channel, one at a time (PROTOCOL.md section 11.3). */
export class IncomingFile {
  readonly #scratch: string;
  #announced: { name: string; size: number } | undefined;
  #begun: { receiver: FileReceiver; folder: string } | undefined;
  /** It was refused: what still comes of it is passed over without a word. */
  #refused = false;

  /** `scratch`: an existing private folder. */
  constructor(scratch: string) {
    this.#scratch = scratch;
  }

  /** A new announcement takes the place of the earlier, finished or not. */
  async announce(name: string, size: number): Promise<void> {
    await this.discard();
    this.#refused = false;
    this.#announced = { name, size };
  }

  /** Takes bytes to disk. Throws once when they cannot be taken, and passes over the rest of that file. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#refused) return;
    await this.#orRefuse(async () => {
      this.#begun ??= await this.#begin();
      await this.#begun.receiver.write(bytes);
    });
  }

  /** The file, whole; undefined when it was refused before. Throws `TransferError` when bytes are missing. */
  async end(): Promise<ArrivedFile | undefined> {
    if (this.#refused) {
      this.#refused = false;
      return undefined;
    }
    return await this.#orRefuse(async () => {
      const { receiver, folder } = this.#begun ?? await this.#begin();
      this.#begun ??= { receiver, folder };
      const path = await receiver.finish();
      this.#begun = undefined;
      this.#announced = undefined;
      return { path, folder };
    }, false);
  }

  /** Refuses what comes of the announced file. */
  async refuse(): Promise<void> {
    this.#refused = true;
    await this.discard();
  }

  /** Leaves nothing behind. */
  async discard(): Promise<void> {
    const begun = this.#begun;
    this.#begun = undefined;
    this.#announced = undefined;
    if (!begun) return;
    await begun.receiver.discard();
    await Deno.remove(begun.folder, { recursive: true });
  }

  async #orRefuse<T>(work: () => Promise<T>, passOver = true): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await this.refuse();
      this.#refused = passOver;
      throw error;
    }
  }

  async #begin(): Promise<{ receiver: FileReceiver; folder: string }> {
    if (!this.#announced) {
      throw new UserError("file data came before any FILE_META", { code: "INVALID_MESSAGE" });
    }
    const { name, size } = this.#announced;
    const folder = await Deno.makeTempDir({ dir: this.#scratch, prefix: "received-" });
    try {
      const target = await createInside(folder, name, { durable: false });
      logger.info("receiving {name}, {mb} MB, over the data channel", { name, mb: (size / 1e6).toFixed(1) });
      return { receiver: new FileReceiver(name, size, target), folder };
    } catch (error) {
      await Deno.remove(folder, { recursive: true });
      throw error;
    }
  }
}
