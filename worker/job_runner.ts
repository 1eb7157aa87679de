import { getLogger } from "@logtape/logtape";
import { basename, dirname, join } from "node:path";
import { errorText } from "../config/user_error.ts";
import type { FilesMessageType } from "../protocol/message.ts";
import { Link } from "../rtc/link.ts";
import type { Pipe } from "../rtc/pipe.ts";
import { sendFile } from "../rtc/send.ts";
import { FilesSender, type OutgoingEntry } from "../rtc/send_files.ts";
import { TransferError } from "../rtc/transfer_error.ts";
import { packFolder } from "../storage/archive.ts";
import { isInside } from "../storage/containment.ts";
import { listFiles } from "../storage/tree.ts";
import {
  type JobInput,
  type JobProgress,
  type JobResult,
  type JobSettings,
  MODELS,
  runJob,
  type Say,
} from "./job.ts";

const logger = getLogger(["sleap-rtc", "worker", "job"]);

/** What running a job needs of its session. */
export interface JobRunnerOptions {
  /** A private folder, absolute; each job gets a folder of its own in it. */
  scratch: string;
  job: JobSettings;
  pipe: Pipe;
  say: Say;
  signal: AbortSignal;
}

/** Runs jobs and sees to it that no result is lost on its way to the client. */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  #sender: FilesSender | undefined;

  constructor(options: JobRunnerOptions) {
    this.#options = options;
  }

  /**
   * Runs a job in a scratch folder of its own and delivers its results. When they cannot be delivered, or the job is
   * cut off after runs that succeeded, they are kept on the worker (the log says where) and, while there is a client,
   * sent over the channel. Throws what {@link runJob} and `deliver` throw.
   */
  async run<T>(
    input: JobInput,
    deliver: (result: JobResult, scratch: string) => Promise<T>,
  ): Promise<[JobResult, T]> {
    const { scratch, job, say, signal } = this.#options;
    const folder = await Deno.makeTempDir({ dir: scratch, prefix: "job-" });
    const progress: JobProgress = { folder: undefined, succeeded: 0 };
    try {
      const result = await runJob(input, folder, job, say, progress, signal);
      return [result, await deliver(result, folder)];
    } catch (error) {
      await this.#rescue(progress, folder, input.stem, error).catch((failure: unknown) => {
        logger.error("the results are lost: {reason}", { reason: errorText(failure) });
      });
      throw error;
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }

  /** Takes what the client says of results on their way. */
  take(message: { type: FilesMessageType; json: string }): void {
    this.#sender?.take(message);
  }

  /** Results on their way home: file by file over a link, as the Python worker sends them over a channel. */
  async sendResults(result: JobResult, stem: string, scratch: string): Promise<void> {
    const { pipe } = this.#options;
    if (pipe instanceof Link) await this.#sendFiles(pipe, result);
    else await this.#sendArchive(result, stem, scratch);
  }

  /** The files of `models/` below that name, then each predictions file; none is packed first. */
  async #sendFiles(link: Link, { models, predictions }: JobResult): Promise<void> {
    const inModels = models === undefined ? [] : await listFiles(models, "inside");
    const files = [
      ...inModels.map(({ name, path, size }) => outgoing(`${MODELS}/${name}`, path, size)),
      ...await Array.fromAsync(predictions, async (path) => {
        return outgoing(basename(path), path, (await Deno.stat(path)).size);
      }),
    ];
    if (files.length === 0) return;
    this.#sender = new FilesSender(link, { purpose: "results", key: null, files });
    await this.#sender.run(this.#options.signal);
    logger.info("the client has {files} files of results, {mb} MB", {
      files: files.length,
      mb: (this.#sender.size / 1e6).toFixed(1),
    });
  }

  /** The contents of `models/` as `trained_{name}.zip`, then each predictions file (PROTOCOL.md section 11.3). */
  async #sendArchive({ models, predictions }: JobResult, stem: string, scratch: string): Promise<void> {
    if (models !== undefined) {
      const packed = join(await Deno.makeTempDir({ dir: scratch, prefix: "send-" }), `trained_${stem}.zip`);
      await packFolder(models, packed, this.#options.signal);
      await this.#send(packed);
    }
    for (const path of predictions) await this.#send(path);
    await this.#options.pipe.flush(this.#options.signal);
  }

  async #send(path: string): Promise<void> {
    const { pipe, signal } = this.#options;
    using file = await Deno.open(path, { read: true });
    const { size } = await file.stat();
    await sendFile(pipe, { name: basename(path), size, hint: MODELS, file }, { signal });
  }

  /** Keeps what a cut-off or undelivered job has made; runs that ended well are days of work. */
  async #rescue(
    { folder, succeeded }: JobProgress,
    scratch: string,
    stem: string,
    cause: unknown,
  ): Promise<void> {
    if (folder === undefined || succeeded === 0) return;
    // A package that lay unpacked on the storage has its results there, where nobody takes them away.
    if (!isInside(folder, this.#options.scratch)) {
      return logger.warn("what the runs made lies in {folder}", { folder });
    }
    const kept = join(this.#options.scratch, `kept-${crypto.randomUUID()}`);
    await Deno.mkdir(kept);
    const entries = await Array.fromAsync(Deno.readDir(folder));
    for (const { name, isFile } of entries) {
      const isResult = name === MODELS || (isFile && name.endsWith(".slp"));
      if (isResult) await Deno.rename(join(folder, name), join(kept, name));
    }
    logger.error("the results could not be delivered; they are kept in {kept}", { kept });
    // A client that did not take them does not take them again.
    if (cause instanceof TransferError || !this.#options.pipe.isOpen || this.#options.signal.aborted) return;
    const hasModels = entries.some(({ name }) => name === MODELS);
    if (!hasModels) return;
    const models = join(kept, MODELS);
    await this.sendResults(
      { kind: "train", models, predictions: [], failed: [], runs: succeeded },
      stem,
      scratch,
    );
  }
}

function outgoing(name: string, path: string, size: number): OutgoingEntry {
  return { name, size, open: () => Deno.open(path, { read: true }) };
}

/** File name without `.zip`. */
export function stemOf(path: string): string {
  return basename(path).replace(/\.zip$/i, "");
}

/** The folder that an unpacked package lies in: the path itself, or that of the file. */
export async function unpackedFolder(path: string): Promise<string> {
  return (await Deno.stat(path)).isDirectory ? path : dirname(path);
}
