import { getLogger } from "@logtape/logtape";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import type { FilesMessageType } from "../protocol/message.ts";
import { Link } from "../rtc/link.ts";
import type { Pipe } from "../rtc/pipe.ts";
import { sendFile } from "../rtc/send.ts";
import { FilesSender, type OutgoingEntry } from "../rtc/send_files.ts";
import { packFolder } from "../storage/archive.ts";
import { listFiles } from "../storage/tree.ts";
import { type JobResult, MODELS } from "./job.ts";

const logger = getLogger(["sleap-rtc", "worker", "results"]);

/** Results of a job. */
export type Results = Pick<JobResult, "models" | "predictions">;

/** Sends results to a client: file by file over a link, as the Python worker sends them over a channel. */
export class ResultsSender {
  readonly #pipe: Pipe;
  readonly #scratch: string;
  #sender: FilesSender | undefined;

  /** `scratch`: an existing private folder. */
  constructor(pipe: Pipe, scratch: string) {
    this.#pipe = pipe;
    this.#scratch = scratch;
  }

  /** Takes what the client says of results on their way. */
  take(message: { type: FilesMessageType; json: string }): void {
    this.#sender?.take(message);
  }

  /** Returns when the client has them. Throws `TransferError`, `ConnectionError`, the abort reason. */
  async send(
    results: Results,
    { stem, job }: { stem: string; job: { id: string; began: string } },
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#pipe instanceof Link) await this.#sendFiles(this.#pipe, results, job, signal);
    else await this.#sendArchive(results, stem, signal);
  }

  /** The files of `models/` below that name, then each predictions file; none is packed first. */
  async #sendFiles(
    link: Link,
    { models, predictions }: Results,
    { id, began }: { id: string; began: string },
    signal: AbortSignal,
  ): Promise<void> {
    const inModels = models === undefined ? [] : await listFiles(models, "inside");
    const files = [
      ...inModels.map(({ name, path, size }) => outgoing(`${MODELS}/${name}`, path, size)),
      ...await Array.fromAsync(predictions, async (path) => {
        return outgoing(basename(path), path, (await Deno.stat(path)).size);
      }),
    ];
    if (files.length === 0) return;
    // Who was interrupted and comes again goes on with what came.
    const key = createHash("sha256").update(JSON.stringify([id, began])).digest("hex");
    this.#sender = new FilesSender(link, { purpose: "results", key, files });
    await this.#sender.run(signal);
    logger.info("the client has {files} files of results, {mb} MB", {
      files: files.length,
      mb: (this.#sender.size / 1e6).toFixed(1),
    });
  }

  /** The contents of `models/` as `trained_{name}.zip`, then each predictions file (PROTOCOL.md section 11.3). */
  async #sendArchive({ models, predictions }: Results, stem: string, signal: AbortSignal): Promise<void> {
    if (models !== undefined) {
      const folder = await Deno.makeTempDir({ dir: this.#scratch, prefix: "send-" });
      try {
        const packed = join(folder, `trained_${stem}.zip`);
        await packFolder(models, packed, signal);
        await this.#sendOne(packed, signal);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    }
    for (const path of predictions) await this.#sendOne(path, signal);
    await this.#pipe.flush(signal);
  }

  async #sendOne(path: string, signal: AbortSignal): Promise<void> {
    using file = await Deno.open(path, { read: true });
    const { size } = await file.stat();
    await sendFile(this.#pipe, { name: basename(path), size, hint: MODELS, file }, { signal });
  }
}

function outgoing(name: string, path: string, size: number): OutgoingEntry {
  return { name, size, open: () => Deno.open(path, { read: true }) };
}
