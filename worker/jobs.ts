import { getLogger } from "@logtape/logtape";
import { basename, join } from "node:path";
import { UserError } from "../config/user_error.ts";
import type { JobEndState, JobFacts } from "../protocol/jobs.ts";
import { MAX_LOG_BYTES, type Message } from "../protocol/message.ts";
import { lockFolder, removeAll, removeLocked, unlockFolder } from "../storage/folder_lock.ts";
import type { JobSettings } from "./job.ts";
import { Journal } from "./journal.ts";
import { WorkerJob } from "./worker_job.ts";

const logger = getLogger(["sleap-rtc", "worker", "job"]);

/** Begin of the name of a job's folder in the worker's scratch folder; it is gone when the job has ended. */
export const JOB_PREFIX = "job-";
/** Name of a job's journal in its folder. */
export const JOURNAL = "journal.jsonl";

/** What stands for a job id that never came (PROTOCOL.md section 12.5). */
export const NO_ID = "None";

/** An ended job, with the results that nobody took, is forgotten after so long, in milliseconds: three days. */
const KEPT_MS = 3 * 24 * 3600_000;

/** Whether a job ended so long ago that nobody will come back for it. */
export function isForgotten({ end }: Journal): boolean {
  return end !== undefined && Date.now() - Date.parse(end.at) > KEPT_MS;
}

/** What a worker's jobs have in common. */
export interface JobsOptions {
  /** Absolute, private to this user, on the file system of `scratch`; outlives this process. */
  folder: string;
  /** Absolute, private to this worker; each job gets a folder of its own in it. */
  scratch: string;
  settings: JobSettings;
  /** Those of the machine, as `CUDA_VISIBLE_DEVICES` names them; a job sees one when there are several. */
  gpus: readonly string[];
  /** Jobs are ended after so many milliseconds; undefined for no limit. */
  timeLimitMs?: number | undefined;
  /** Called when a job has begun or ended. */
  onChange: () => void;
}

/** A job to be begun. */
export interface JobSpec {
  id: string;
  /** File name of the package. */
  name: string;
  /** Room of the client. */
  room: string;
  /** Whether the client has a window for the trainer's reports. */
  hasMonitor?: boolean;
  /** Runs it, and returns what the client is told of its end. */
  run: (job: WorkerJob) => Promise<{ end: JobEndState; message: Message }>;
}

/** The jobs of a worker: those that run, and those that have ended and are remembered. */
export class Jobs {
  readonly #options: JobsOptions;
  /** By id, in the order in which they began. */
  readonly #jobs = new Map<string, WorkerJob>();
  /** Places of jobs that are taken; each has a GPU of its own where there are several. */
  readonly #places = new Set<number>();
  /** Ids of jobs that are about to begin. */
  readonly #starting = new Set<string>();
  #isClosed = false;

  constructor(options: JobsOptions) {
    this.#options = options;
  }

  /** Reads what is there of jobs that have ended; those of other workers that run are left alone. */
  async load(): Promise<void> {
    const { folder, settings } = this.#options;
    const found: WorkerJob[] = [];
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (!isDirectory) continue;
      const path = join(folder, name);
      // The journal of a job that runs belongs to its worker.
      const lock = await lockFolder(path);
      if (!lock) continue;
      const journal = await Journal.open(join(path, JOURNAL)).catch(() => undefined);
      await journal?.close();
      await unlockFolder(path, lock);
      if (!journal?.end) continue;
      const job = new WorkerJob(journal, path, settings, undefined);
      await job.results();
      found.push(job);
    }
    found.sort((a, b) => a.journal.header.began < b.journal.header.began ? -1 : 1);
    for (const job of found) this.#remember(job);
  }

  get(id: string): WorkerJob | undefined {
    return this.#jobs.get(id);
  }

  /** Those that run. */
  get running(): WorkerJob[] {
    return [...this.#jobs.values()].filter(({ isRunning }) => isRunning);
  }

  /** What is told of the jobs of a room, the newest first: as many as fit into a message. */
  list(room: string): JobFacts[] {
    const facts: JobFacts[] = [];
    let left = MAX_LOG_BYTES;
    for (const job of [...this.#jobs.values()].reverse()) {
      if (job.journal.header.room !== room) continue;
      left -= new TextEncoder().encode(JSON.stringify(job.facts)).length + 1;
      if (left < 0) break;
      facts.push(job.facts);
    }
    return facts;
  }

  /**
   * Begins a job; it goes on whoever leaves. Throws `UserError` when one with this id runs, Deno's file errors.
   */
  async start(spec: JobSpec): Promise<WorkerJob> {
    const { id } = spec;
    this.#checkOpen();
    if (this.#starting.has(id) || this.#jobs.get(id)?.isRunning) {
      throw new UserError("a job with this id is running", { code: "JOB_RUNNING" });
    }
    if (id !== NO_ID) this.#starting.add(id);
    try {
      return await this.#start(spec);
    } finally {
      this.#starting.delete(id);
    }
  }

  #checkOpen(): void {
    if (this.#isClosed) {
      throw new UserError("the worker is stopping: it begins no job any more", { code: "WORKER_STOPPING" });
    }
  }

  async #start({ id, name, room, hasMonitor = false, run }: JobSpec): Promise<WorkerJob> {
    const { onChange, timeLimitMs } = this.#options;
    await this.#forget();
    const place = this.#takePlace();
    const job = await this.#make({ id, name, room }, this.#settingsFor(place)).catch((error: unknown) => {
      this.#places.delete(place);
      throw error;
    });
    job.hasMonitor = hasMonitor;
    this.#remember(job);
    const timer = timeLimitMs === undefined ? undefined : setTimeout(() => {
      job.cancel(`the time limit of ${timeLimitMs / 1000} s has passed`, "failed");
    }, timeLimitMs);
    onChange();
    void job.run(run).then(() => {
      clearTimeout(timer);
      this.#places.delete(place);
      onChange();
    });
    return job;
  }

  /** A job's folders and journal, or nothing of them. */
  async #make(header: Pick<JobSpec, "id" | "name" | "room">, settings: JobSettings): Promise<WorkerJob> {
    const folder = join(this.#options.folder, crypto.randomUUID());
    const lock = await lockFolder(folder);
    if (!lock) throw new UserError("the worker cannot keep a job's journal", { code: "JOURNAL_FAILED" });
    let own: string | undefined;
    try {
      await Deno.mkdir(folder, { mode: 0o700 });
      own = await Deno.makeTempDir({ dir: this.#options.scratch, prefix: JOB_PREFIX });
      const began = new Date().toISOString();
      const journal = await Journal.create(join(folder, JOURNAL), { ...header, began, folder: own });
      // It may have been closed meanwhile.
      this.#checkOpen();
      return new WorkerJob(journal, folder, settings, lock);
    } catch (error) {
      if (own !== undefined) await removeAll(own);
      await removeLocked(folder, lock);
      throw error;
    }
  }

  /** By its id; one that ended with the same id, or has none, stays for its time under a name of its own. */
  #remember(job: WorkerJob): void {
    const old = this.#jobs.get(job.id);
    if (old) this.#jobs.set(basename(old.folder), old);
    // The order of the map is that in which jobs began.
    this.#jobs.delete(job.id);
    this.#jobs.set(job.id === NO_ID ? basename(job.folder) : job.id, job);
  }

  /** A worker may run for months. */
  async #forget(): Promise<void> {
    for (const [id, job] of this.#jobs) {
      if (job.isRunning || !isForgotten(job.journal)) continue;
      // Who has it locked is taking its results.
      const lock = await lockFolder(job.folder);
      if (!lock) continue;
      this.#jobs.delete(id);
      await removeLocked(job.folder, lock);
    }
  }

  /** The first that is free, for a job that is about to begin: another may begin meanwhile. */
  #takePlace(): number {
    let place = 0;
    while (this.#places.has(place)) place++;
    this.#places.add(place);
    return place;
  }

  #settingsFor(place: number): JobSettings {
    const { settings, gpus } = this.#options;
    if (gpus.length < 2) return settings;
    const gpu = gpus[place % gpus.length]!;
    return { ...settings, environment: { ...settings.environment, CUDA_VISIBLE_DEVICES: gpu } };
  }

  /** Begins no job any more. */
  close(): void {
    this.#isClosed = true;
  }

  /** Ends all that run, and waits until they have. */
  async stop(reason: string): Promise<void> {
    this.close();
    const { running } = this;
    if (running.length > 0) logger.info("ending {count} job(s): {reason}", { count: running.length, reason });
    for (const job of running) job.cancel(reason, "interrupted");
    await Promise.all(running.map(({ ended }) => ended));
  }

  /** Waits until no job runs. */
  async idle(): Promise<void> {
    for (let { running } = this; running.length > 0; { running } = this) {
      await Promise.race(running.map(({ ended }) => ended));
    }
  }
}
