import { getLogger } from "@logtape/logtape";
import { basename, dirname, join } from "node:path";
import { errorText } from "../config/user_error.ts";
import type { Channel } from "../rtc/channel.ts";
import { sendFile } from "../rtc/send.ts";
import { packFolder } from "../storage/archive.ts";
import { isInside } from "../storage/containment.ts";
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
  channel: Channel;
  say: Say;
  signal: AbortSignal;
}

/** Runs jobs and sees to it that no result is lost on its way to the client. */
export class JobRunner {
  readonly #options: JobRunnerOptions;

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
      await this.#rescue(progress, folder, input.stem).catch((failure: unknown) => {
        logger.error("the results are lost: {reason}", { reason: errorText(failure) });
      });
      throw error;
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }

  /** The contents of `models/` as `trained_{name}.zip`, then each predictions file, over the channel. */
  async sendResults({ models, predictions }: JobResult, stem: string, scratch: string): Promise<void> {
    if (models !== undefined) {
      const packed = join(await Deno.makeTempDir({ dir: scratch, prefix: "send-" }), `trained_${stem}.zip`);
      await packFolder(models, packed, this.#options.signal);
      await this.#send(packed);
    }
    for (const path of predictions) await this.#send(path);
    await this.#options.channel.flush(this.#options.signal);
  }

  async #send(path: string): Promise<void> {
    const { channel, signal } = this.#options;
    using file = await Deno.open(path, { read: true });
    const { size } = await file.stat();
    await sendFile(channel, { name: basename(path), size, hint: MODELS, file }, { signal });
  }

  /** Keeps what a cut-off or undelivered job has made; runs that ended well are days of work. */
  async #rescue({ folder, succeeded }: JobProgress, scratch: string, stem: string): Promise<void> {
    if (folder === undefined || succeeded === 0) return;
    // A package that lay unpacked on the storage has its results there, where nobody takes them away.
    if (!isInside(folder, scratch)) return logger.warn("what the runs made lies in {folder}", { folder });
    const kept = join(this.#options.scratch, `kept-${crypto.randomUUID()}`);
    await Deno.mkdir(kept);
    const entries = await Array.fromAsync(Deno.readDir(folder));
    for (const { name, isFile } of entries) {
      const isResult = name === MODELS || (isFile && name.endsWith(".slp"));
      if (isResult) await Deno.rename(join(folder, name), join(kept, name));
    }
    logger.error("the results could not be delivered; they are kept in {kept}", { kept });
    if (!this.#options.channel.isOpen || this.#options.signal.aborted) return;
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

/** File name without `.zip`. */
export function stemOf(path: string): string {
  return basename(path).replace(/\.zip$/i, "");
}

/** The folder that an unpacked package lies in: the path itself, or that of the file. */
export async function unpackedFolder(path: string): Promise<string> {
  return (await Deno.stat(path)).isDirectory ? path : dirname(path);
}
