import { getLogger } from "@logtape/logtape";
import { reasonOf } from "../config/user_error.ts";
import type { QueuedJob } from "../protocol/queue.ts";
import type { Clock } from "./queue_clock.ts";
import { charsOf, hasEnded, type Job, jobRecordSchema, makeJob, shortened, wishOf } from "./queue_job.ts";
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

/** Jobs that have not ended, and their characters as JSON. */
interface Load {
  jobs: number;
  chars: number;
}

/** All jobs that the queue knows, each change kept before anybody is told of it. */
export class JobBook {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #limits: BookLimits;
  readonly #jobs = new Map<string, Job>();
  /** By key, in the order in which they ended. */
  readonly #ended = new Map<string, Job>();
  /** The last write on its way, by key. */
  readonly #writes = new Map<string, Promise<void>>();
  readonly #load: Load = { jobs: 0, chars: 0 };
  readonly #loads = new Map<string, Load>();
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

  /** Whether a room gets no further job of so many characters: none may have more than it leaves to the others. */
  isFull(room: string, chars: number): boolean {
    return this.#loadOf(room).jobs >= this.#limits.open - this.#load.jobs || this.isTooMuch(room, chars);
  }

  /** Whether a room's jobs may not grow by so many characters. */
  isTooMuch(room: string, chars: number): boolean {
    return chars > 0 && this.#loadOf(room).chars + chars > this.#limits.chars - this.#load.chars;
  }

  /** What is wished for instead, under the same id; kept with the next change. */
  replace(job: Job, wanted: QueuedJob): void {
    const before = job.chars;
    job.record = { ...job.record, job: wanted };
    job.wish = wishOf(wanted);
    job.chars = charsOf(wanted);
    this.#weigh(job, 0, job.chars - before);
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
      if (!this.#ended.delete(job.key)) this.#weigh(job, -1, -job.chars);
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
    while (this.#writes.size > 0) await Promise.all(this.#writes.values());
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
    else this.#weigh(job, 1, job.chars);
  }

  #close(job: Job): void {
    this.#weigh(job, -1, -job.chars);
    job.record = shortened(job.record);
    job.wish = wishOf(job.record.job);
    job.refusals.clear();
    this.#ended.set(job.key, job);
    this.sweep();
  }

  #loadOf(room: string): Readonly<Load> {
    return this.#loads.get(room) ?? { jobs: 0, chars: 0 };
  }

  #weigh({ record: { room } }: Job, jobs: number, chars: number): void {
    this.#load.jobs += jobs;
    this.#load.chars += chars;
    const before = this.#loadOf(room);
    if (before.jobs + jobs === 0) this.#loads.delete(room);
    else this.#loads.set(room, { jobs: before.jobs + jobs, chars: before.chars + chars });
  }

  #write(job: Job, write: () => Promise<void>, then: () => void): void {
    const { key } = job;
    // By key: a job that was forgotten may still be on its way to the store when its like comes.
    const before = this.#writes.get(key) ?? Promise.resolve();
    const work = before.then(() => this.#persist(key, write)).then((isKept) => {
      if (isKept && !this.#isClosed) then();
    }).catch((error: unknown) => logger.error("{reason}", reasonOf(error))).finally(() => {
      if (this.#writes.get(key) === work) this.#writes.delete(key);
    });
    this.#writes.set(key, work);
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
