import { getLogger } from "@logtape/logtape";
import { basename, join } from "node:path";
import type { ErrorCode } from "../config/error_code.ts";
import { reasonOf, UserError } from "../config/user_error.ts";
import type { JobEndState, JobFacts } from "../protocol/jobs.ts";
import { cutText, formatMessage, MAX_LOG_BYTES, type Message } from "../protocol/message.ts";
import { lockFolder, removeAll, unlockFolder } from "../storage/folder_lock.ts";
import { isFolder, type JobControl, type JobResult, type JobSettings, MODELS } from "./job.ts";
import type { Journal } from "./journal.ts";
import { tellResults } from "./manifest.ts";
import { failureMessage, refusals } from "./failure.ts";

const logger = getLogger(["sleap-rtc", "worker", "job"]);

/** Folder, in a job's own, of results that no client has taken yet. */
export const RESULTS = "results";

/** What SLEAP's own window sends to a trainer that is to stop (PROTOCOL.md section 12.3). */
const STOP_TRAINING = '{"command": "stop"}';

/** Variable by which the programs of a job are found, whatever process group they are in. */
export const JOB_MARK = "SLEAP_RTC_JOB";

/** A job, running or ended, and what is kept of it. */
export class WorkerJob {
  readonly journal: Journal;
  /** Absolute; the job's own, and kept for days. */
  readonly folder: string;
  readonly #settings: JobSettings;
  readonly #abort = new AbortController();
  /** Held while the job runs, and while a client takes its results. */
  #lock: Deno.FsFile | undefined;
  #isRunning: boolean;
  /** Clients that take its results. */
  #holders = 0;
  /** Leader of the process group that runs now. */
  #group: number | undefined;
  #stopping = false;
  #hasResults = false;
  /** Tells the trainer that runs now something, as soon as it listens; returns whether it does. */
  #tellTrainer: ((text: string) => boolean) | undefined;
  /** Whether its client has a window for the trainer's reports. */
  hasMonitor = false;
  #resolveEnded!: () => void;
  /** Settles when the job has ended and nothing of it runs any more. */
  readonly ended: Promise<void> = new Promise((resolve) => this.#resolveEnded = resolve);

  /** `lock` is undefined for a job that ended before. */
  constructor(journal: Journal, folder: string, settings: JobSettings, lock: Deno.FsFile | undefined) {
    this.journal = journal;
    this.folder = folder;
    this.#settings = settings;
    this.#lock = lock;
    this.#isRunning = lock !== undefined;
    if (!lock) this.#resolveEnded();
  }

  get id(): string {
    return this.journal.header.id;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Whether it ends early: the run that is under way was asked to end, and none is begun any more. */
  get isStopping(): boolean {
    return this.#stopping;
  }

  /** Ends the job, by its reason. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Absolute folder in which it is unpacked and runs. */
  get scratch(): string {
    return this.journal.header.folder;
  }

  /** What is told of it. */
  get facts(): JobFacts {
    const { id, name, began } = this.journal.header;
    const { end, events } = this.journal;
    return {
      id,
      name,
      began,
      state: end?.end ?? "running",
      ...(end && { ended: end.at }),
      events,
      results: this.#hasResults,
    };
  }

  /** The worker's settings, for this job's programs. */
  get settings(): JobControl["settings"] {
    const { environment, killMarked, onGroup } = this.#settings;
    const mark = basename(this.folder);
    return {
      ...this.#settings,
      environment: { ...environment, [JOB_MARK]: mark },
      killStrays: () => killMarked?.(mark),
      onGroup: (pid, isRunning) => {
        this.#group = isRunning ? pid : undefined;
        // It was asked to end in the moment in which it began.
        if (isRunning && this.#stopping) this.#settings.killGroup(pid, "SIGINT");
        onGroup?.(pid, isRunning);
      },
    };
  }

  /** What the client is to know. Never throws: a job does not end because its journal cannot be written. */
  readonly say = async (text: string): Promise<void> => {
    const [kept = ""] = cutText(text, MAX_LOG_BYTES);
    await this.journal.append(kept).catch((error: unknown) => {
      logger.error("the journal of {id} cannot be written: {reason}", {
        id: this.id,
        ...reasonOf(error),
      });
    });
  };

  /** Remembers the way to the trainer that runs; undefined when none does. */
  readonly holdTrainer = (tell: ((text: string) => boolean) | undefined): void => {
    this.#tellTrainer = tell;
  };

  /** Passes on what the client says to the trainer that runs. */
  control(text: string): void {
    const isHeard = this.#tellTrainer?.(text);
    const facts = { text: text.slice(0, 200) };
    if (isHeard === undefined) logger.warn("no trainer runs that could be told {text}", facts);
    else if (isHeard) logger.info("the trainer is told {text}", facts);
    else logger.info("the trainer is told {text} when it listens", facts);
  }

  /**
   * Asks the run that is under way to end: a trainer that listens is told so, any other program gets what Ctrl-C sends.
   * What was made by then are the results.
   */
  stopEarly(): void {
    if (!this.isRunning) return;
    logger.info("job {id} is to end early", { id: this.id });
    const isFirst = !this.#stopping;
    this.#stopping = true;
    // Asked a second time, also one that was told and goes on gets the signal.
    if (isFirst && this.#tellTrainer?.(STOP_TRAINING)) return;
    if (this.#group !== undefined) this.#settings.killGroup(this.#group, "SIGINT");
  }

  /** Whether it was ended by the worker, for its own reasons, and not by a client. */
  get isCutOff(): boolean {
    return this.signal.reason instanceof JobEnded && this.signal.reason.end !== "cancelled";
  }

  /** Ends the job and all its programs. */
  cancel(reason: string, end: JobEndState): void {
    if (this.isRunning) this.#abort.abort(new JobEnded(reason, end));
  }

  /** Runs the job: `body` returns what the client is told of its end. Never throws. */
  async run(body: (job: WorkerJob) => Promise<{ end: JobEndState; message: Message }>): Promise<void> {
    const { id } = this;
    logger.info("job {id} begins", { id });
    try {
      const { end, message } = await body(this);
      await this.#end(end, message);
    } catch (error) {
      await this.#fail(error);
    } finally {
      this.#settings.killMarked?.(basename(this.folder));
      await removeAll(this.scratch).catch((error: unknown) => {
        logger.error("{folder} cannot be removed: {reason}", {
          folder: this.scratch,
          ...reasonOf(error),
        });
      });
      await this.journal.close();
      this.#isRunning = false;
      await this.#letGo();
      this.#resolveEnded();
    }
  }

  async #fail(error: unknown): Promise<void> {
    const { id } = this;
    const cause: unknown = this.signal.aborted ? this.signal.reason : error;
    if (cause instanceof JobEnded) {
      logger.warn("job {id} was stopped: {reason}", { id, reason: cause.message });
      return await this.#end(cause.end, { type: "JOB_FAILED", id, text: cause.message });
    }
    logger.error("{reason}", reasonOf(error));
    for (const message of refusals(error)) await this.say(formatMessage(message));
    await this.#end("failed", failureMessage(error, id));
  }

  async #end(end: JobEndState, message: Message): Promise<void> {
    const [text = ""] = cutText(formatMessage(message), MAX_LOG_BYTES);
    await this.journal.append(text, end).catch((error: unknown) => {
      logger.error("the journal of {id} cannot be written: {reason}", {
        id: this.id,
        ...reasonOf(error),
      });
    });
    logger.info("job {id}: {end}", { id: this.id, end });
  }

  /** Keeps results for the client to take: the folder of the runs, and files. */
  async keepResults({ models, predictions }: Pick<JobResult, "models" | "predictions">): Promise<void> {
    const results = join(this.folder, RESULTS);
    await Deno.mkdir(results, { recursive: true });
    if (models !== undefined) await Deno.rename(models, join(results, MODELS));
    for (const path of predictions) await Deno.rename(path, join(results, basename(path)));
    this.#hasResults = models !== undefined || predictions.length > 0;
    const names = [...(models === undefined ? [] : [MODELS]), ...predictions.map((path) => basename(path))];
    await tellResults(this.say, "worker", names.map((name) => ({ name, path: join(results, name) })));
  }

  /** Results that wait for a client; undefined when there are none. */
  async results(): Promise<Pick<JobResult, "models" | "predictions"> | undefined> {
    const results = join(this.folder, RESULTS);
    if (!await isFolder(results)) return undefined;
    const names = (await Array.fromAsync(Deno.readDir(results))).filter(({ isFile }) => isFile);
    const models = join(results, MODELS);
    const found = {
      models: await isFolder(models) ? models : undefined,
      predictions: names.map(({ name }) => join(results, name)),
    };
    this.#hasResults = found.models !== undefined || found.predictions.length > 0;
    return this.#hasResults ? found : undefined;
  }

  /** No worker clears the job away, however old it is, while `body` runs. */
  async hold(body: () => Promise<void>): Promise<void> {
    this.#holders++;
    try {
      // While it runs it is locked, and the lock stays as long as anybody holds the job.
      const lock = this.#lock ? undefined : await lockFolder(this.folder);
      if (lock) this.#lock = lock;
      await body();
    } finally {
      this.#holders--;
      await this.#letGo();
    }
  }

  async #letGo(): Promise<void> {
    const lock = this.#lock;
    if (!lock || this.#isRunning || this.#holders > 0) return;
    this.#lock = undefined;
    await unlockFolder(this.folder, lock).catch(() => {});
  }

  /** A client has them, whole and verified. */
  async dropResults(): Promise<void> {
    await removeAll(join(this.folder, RESULTS));
    this.#hasResults = false;
  }
}

/** Why a job was ended from outside, and what that makes of it. */
class JobEnded extends UserError {
  static override readonly code: ErrorCode = "JOB_STOPPED";

  readonly end: JobEndState;

  constructor(reason: string, end: JobEndState) {
    super(reason);
    this.end = end;
  }
}
