import { getLogger } from "@logtape/logtape";
import { reasonOf } from "../config/user_error.ts";
import type { QueuedJob } from "../protocol/queue.ts";
import type { Clock } from "./queue_clock.ts";
import { charsOf, hasEnded, type Job, jobRecordSchema, makeJob, wishOf } from "./queue_job.ts";
import type { Store } from "./store.ts";

const logger = getLogger(["sleap-rtc", "signaling", "queue"]);

/** Ended jobs are remembered for so long, in milliseconds: three days. */
const KEPT_MS = 3 * 24 * 3600_000;
/** After a failed write, in milliseconds. */
const WRITE_AGAIN_MS = 1_000;

/** How many jobs are remembered. */
export interface BookLimits {
  /** Jobs that have not ended. */
  open: number;
  /** Jobs that have; the oldest are forgotten first. */
  ended: number;
  /** Characters of all that have not ended, as JSON. */
  chars: number;
}

/** What a server takes unless told otherwise: a lab's jobs for weeks, in some hundred MiB. */
export const BOOK_LIMITS: BookLimits = { open: 20_000, ended: 10_000, chars: 64 * 1024 * 1024 };

/** All jobs that the queue knows, each change kept before anybody is told of it. */
export class JobBook {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #limits: BookLimits;
  readonly #jobs = new Map<string, Job>();
  /** By key, in the order in which they ended. */
  readonly #ended = new Map<string, Job>();
  /** Writes on their way. */
  readonly #writes = new Set<Promise<void>>();
  #chars = 0;
  #lastPlace = 0;
  #isClosed = false;

  constructor(store: Store, clock: Clock, limits: BookLimits = BOOK_LIMITS) {
    this.#store = store;
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Reads what is remembered; what is not understood is logged and left out. Returns the jobs that have not ended. */
  async load(): Promise<Job[]> {
    const found: Job[] = [];
    for (const [key, value] of await this.#store.all("job")) {
      const parsed = jobRecordSchema.safeParse(value);
      const job = parsed.success ? makeJob(parsed.data) : undefined;
      if (job?.key === key) found.push(job);
      else {logger.warn("a remembered job was not understood, and is left out: {key}", {
          key: key.slice(0, 100),
        });}
    }
    found.sort((a, b) => (a.record.ended ?? Infinity) - (b.record.ended ?? Infinity) || 0);
    for (const job of found) this.#take(job);
    return found.filter(({ record }) => !hasEnded(record));
  }

  get(key: string): Job | undefined {
    return this.#jobs.get(key);
  }

  /** All of them. */
  values(): Iterable<Job> {
    return this.#jobs.values();
  }

  /** Whether no further job of so many characters is taken. */
  isFull(chars: number): boolean {
    const open = this.#jobs.size - this.#ended.size;
    return open >= this.#limits.open || this.#chars + chars > this.#limits.chars;
  }

  /** What is wished for instead, under the same id; kept with the next change. */
  replace(job: Job, wanted: QueuedJob): void {
    this.#chars -= job.chars;
    job.record = { ...job.record, job: wanted };
    job.wish = wishOf(wanted);
    job.chars = charsOf(wanted);
    this.#chars += job.chars;
  }

  /** The next place in line. */
  nextPlace(): number {
    return ++this.#lastPlace;
  }

  /** Keeps a job as it is now, then calls back; changes of one job are kept and told in their order. */
  keep(job: Job, then: () => void = () => {}): void {
    if (!this.#jobs.has(job.key)) this.#take(job);
    else if (hasEnded(job.record) && !this.#ended.has(job.key)) this.#close(job);
    const record = { ...job.record };
    this.#write(job, () => this.#store.put("job", job.key, record), then);
  }

  /** Calls back when what was changed before is kept and told. */
  after(job: Job, then: () => void): void {
    this.#write(job, () => Promise.resolve(), then);
  }

  /** Forgets a job, then calls back. */
  forget(job: Job, then: () => void = () => {}): void {
    if (this.#jobs.get(job.key) === job) {
      this.#jobs.delete(job.key);
      if (!this.#ended.delete(job.key)) this.#chars -= job.chars;
    }
    this.#write(job, async () => {
      // It may have been submitted anew meanwhile.
      if (!this.#jobs.has(job.key)) await this.#store.delete("job", job.key);
    }, then);
  }

  /** Forgets what ended long ago. */
  sweep(): void {
    const limit = this.#clock.now() - KEPT_MS;
    for (const job of this.#ended.values()) {
      if ((job.record.ended ?? 0) > limit && this.#ended.size <= this.#limits.ended) return;
      this.forget(job);
    }
  }

  /** Settles when all that was to be kept is. */
  async settled(): Promise<void> {
    while (this.#writes.size > 0) await Promise.all(this.#writes);
  }

  /** Writes no more; what is on its way is waited for, and what fails is given up. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.settled();
  }

  #take(job: Job): void {
    this.#jobs.set(job.key, job);
    this.#lastPlace = Math.max(this.#lastPlace, job.record.place);
    if (hasEnded(job.record)) this.#ended.set(job.key, job);
    else this.#chars += job.chars;
  }

  #close(job: Job): void {
    this.#chars -= job.chars;
    this.#ended.set(job.key, job);
    this.sweep();
  }

  #write(job: Job, write: () => Promise<void>, then: () => void): void {
    const work = job.work.then(() => this.#persist(job.key, write)).then((isKept) => {
      if (isKept && !this.#isClosed) then();
    }).catch((error: unknown) => logger.error("{reason}", reasonOf(error)));
    job.work = work;
    this.#writes.add(work);
    void work.then(() => this.#writes.delete(work));
  }

  /** Tries until it works or the book is closed: what is not kept is not told. */
  async #persist(key: string, write: () => Promise<void>): Promise<boolean> {
    for (let isFirst = true;; isFirst = false) {
      try {
        await write();
        return true;
      } catch (error) {
        if (isFirst) logger.error("job {key} cannot be kept: {reason}", { key, ...reasonOf(error) });
      }
      if (this.#isClosed) return false;
      await new Promise<void>((resolve) => this.#clock.after(WRITE_AGAIN_MS, resolve));
    }
  }
}
