import { getLogger } from "@logtape/logtape";
import { join } from "node:path";
import { ProgressLines, sizeText } from "../config/progress.ts";
import { reasonOf } from "../config/user_error.ts";
import type { FilesMessageType } from "../protocol/message.ts";
import type { Pipe } from "../rtc/pipe.ts";
import { declineFiles, FilesReceiver, parseOffer } from "../rtc/receive_files.ts";
import { TransferError } from "../rtc/transfer_error.ts";

const logger = getLogger(["sleap-rtc", "worker", "incoming"]);

/** A package that arrived whole and verified. */
export interface ArrivedPackage {
  /** Absolute path of the ZIP, or of the folder for a package that came as one. */
  path: string;
  isFolder: boolean;
  /** Absolute; it is the package's own and goes with it. */
  folder: string;
}

/** The package that a client of this program sends over a link, one at a time ("Files" in docs/protocol.md). */
export class IncomingTransfer {
  readonly #pipe: Pipe;
  readonly #scratch: string;
  readonly #incoming: string;
  #receiver: FilesReceiver | undefined;

  /** `scratch` and `incoming`: existing private folders of one file system; the second outlives this process. */
  constructor(pipe: Pipe, scratch: string, incoming: string) {
    this.#pipe = pipe;
    this.#scratch = scratch;
    this.#incoming = incoming;
  }

  /** Takes an offer, in place of an earlier one that is not complete; `refusal` says why none is taken now. */
  async offer(json: string, refusal: string | undefined): Promise<void> {
    const offer = parseOffer(json);
    if (!offer) throw new TransferError("an offer of files breaks the rules", { code: "INVALID_MESSAGE" });
    if (refusal !== undefined) return await declineFiles(this.#pipe, offer, refusal);
    if (offer.purpose === "results" || (offer.purpose === "package" && offer.files !== 1)) {
      return await declineFiles(this.#pipe, offer, "a worker takes one package: one file, or one folder");
    }
    await this.interrupt();
    const [size, files] = [sizeText(offer.bytes), offer.files];
    logger.info("a package of {size} in {files} file(s) comes over the data channel", { size, files });
    const lines = new ProgressLines();
    this.#receiver = new FilesReceiver(this.#pipe, offer, {
      root: this.#incoming,
      durable: false,
      onFound: (bytes) => {
        if (bytes > 0) logger.info("{size} of it are here already", { size: sizeText(bytes) });
      },
      onProgress: (done, total) => {
        const line = lines.line("receiving the package", done, total);
        if (line !== undefined) logger.info("{line}", { line });
      },
    });
    await this.#receiver.start();
  }

  /** Takes a message about the files on their way; the package when all are there. */
  async take(message: { type: FilesMessageType; json: string }): Promise<ArrivedPackage | undefined> {
    const receiver = this.#receiver;
    const arrived = await receiver?.take(message).catch((error: unknown) => {
      // The client has been told, in the words of the transfer.
      logger.error("the package did not arrive: {reason}", reasonOf(error));
      return undefined;
    });
    if (!receiver || !arrived) return undefined;
    this.#receiver = undefined;
    const folder = await Deno.makeTempDir({ dir: this.#scratch, prefix: "received-" });
    const files = join(folder, "package");
    await arrived.moveTo(files);
    if (receiver.offer.purpose === "folder") return { path: files, isFolder: true, folder };
    return { path: join(files, receiver.entries[0]!.name), isFolder: false, folder };
  }

  /** Takes file bytes. */
  async takeChunk(bytes: Uint8Array): Promise<void> {
    await this.#receiver?.takeChunk(bytes).catch((error: unknown) => {
      logger.error("the package did not arrive: {reason}", reasonOf(error));
    });
  }

  /** What came is kept for the client's next attempt. */
  async interrupt(): Promise<void> {
    await this.#receiver?.interrupt();
    this.#receiver = undefined;
  }
}
