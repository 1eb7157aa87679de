import type { QueuedJob } from "../protocol/queue.ts";
import type { Clock } from "./queue_clock.ts";
import type { Job } from "./queue_job.ts";
import { History, isFree, type QueueWorker, type WorkerFacts, workerFacts } from "./queue_worker.ts";
import type { RegisteredPeer } from "./room.ts";
import { couldDo, type Standing } from "./score.ts";

/** Workers whose measures are kept when they have left. */
const MAX_HISTORIES = 512;
/** A job that takes longer than those before it is thought to take this part of their time more. */
const LEAST_LEFT = 0.1;

/** How workers stand to jobs at a moment. */
export interface Standings {
  /** Whether one that is free could do it: the first question, asked for many jobs. */
  isForFree: (job: Job) => boolean;
  /** All that could do it. */
  of: (job: Job) => Standing[];
}

/** The workers of a room. */
export class QueueWorkers {
  readonly #clock: Clock;
  readonly #workers = new Map<string, QueueWorker>();
  /** By worker; also of those that have left for a moment. */
  readonly #histories = new Map<string, { history: History; running: Set<Job> }>();

  /** Jobs that workers were asked for before a restart, and have not answered; by worker. */
  readonly #asked = new Map<string, Job>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(id: string): QueueWorker | undefined {
    return this.#workers.get(id);
  }

  /** What all of them tell of themselves. */
  facts(): WorkerFacts[] {
    return [...this.#workers.values()].map(({ facts }) => facts);
  }

  /** Those that could do a job, sooner or later. */
  could(job: QueuedJob): QueueWorker[] {
    return [...this.#workers.values()].filter(({ facts }) => couldDo(job, facts));
  }

  /** How they stand, worked out once for each wish; undefined when nobody is free. */
  standings(now: number): Standings | undefined {
    const free = [...this.#workers.values()].filter((worker) => isFree(worker, now));
    if (free.length === 0) return undefined;
    const able = new Map<string, boolean>();
    const known = new Map<string, Standing[]>();
    return {
      isForFree: ({ wish, record: { job } }) => {
        const found = able.get(wish) ?? free.some(({ facts }) => couldDo(job, facts));
        able.set(wish, found);
        return found;
      },
      of: ({ wish, record: { job } }) => {
        const found = known.get(wish) ?? this.could(job).map((worker) => standing(worker, now));
        known.set(wish, found);
        return found;
      },
    };
  }

  /** Takes in a worker, or one that is there again; the job that it was asked for over a socket that is gone. */
  join(peer: RegisteredPeer, isNewSocket: boolean): Job | undefined {
    const { peerId } = peer;
    const before = this.#workers.get(peerId);
    if (before && !isNewSocket) {
      this.change(before, peer);
      return undefined;
    }
    const asked = this.leave(peerId);
    const kept = this.#histories.get(peerId) ?? { history: new History(), running: new Set() };
    this.#keep(peerId, kept);
    this.#workers.set(peerId, {
      peer,
      facts: workerFacts(peer),
      ...kept,
      offer: this.#offerOf(peerId),
      given: undefined,
      restsUntil: 0,
    });
    return asked;
  }

  /** Its worker was asked before a restart: until that answers it is asked for nothing else. */
  askedBefore(job: Job): void {
    const { worker: id = "" } = job.record;
    this.#asked.set(id, job);
    const worker = this.#workers.get(id);
    if (worker) worker.offer = this.#offerOf(id);
  }

  /** Whether a worker was asked for a job since the start. */
  isAsked(job: Job): boolean {
    const { worker: id = "" } = job.record;
    return this.#workers.get(id)?.offer?.job === job && this.#asked.get(id) !== job;
  }

  #offerOf(id: string): QueueWorker["offer"] {
    const job = this.#asked.get(id);
    return job && { job, forget: (): void => {} };
  }

  /** It tells something new of itself. */
  change(worker: QueueWorker, peer: RegisteredPeer): void {
    worker.peer = peer;
    worker.facts = workerFacts(peer);
    worker.restsUntil = 0;
    const { given } = worker;
    if (!given) return;
    if (worker.facts.status !== "available") given.isSeen = true;
    else if (given.isSeen) given.forget();
  }

  /** It is gone; the job that it was asked for. */
  leave(id: string): Job | undefined {
    const worker = this.#workers.get(id);
    if (!worker) return undefined;
    this.#workers.delete(id);
    worker.given?.forget();
    const job = worker.offer?.job;
    if (job) this.#unask(worker);
    return job;
  }

  /** A worker that knows no offers gets a job; `over` when it is free again, or did not begin within `holdMs`. */
  give(worker: QueueWorker, job: Job, holdMs: number, over: () => void): void {
    const end = (): void => {
      stop();
      if (worker.given?.job !== job) return;
      worker.given = undefined;
      over();
    };
    const stop = this.#clock.after(holdMs, () => {
      if (!worker.given?.isSeen) end();
    });
    worker.given = { job, isSeen: false, forget: end };
  }

  /** Its worker is not asked any more, nor runs it. */
  answered(job: Job): void {
    const { worker: id = "" } = job.record;
    if (this.#asked.get(id) === job) this.#asked.delete(id);
    const worker = this.#workers.get(id);
    if (worker?.offer?.job === job) this.#unask(worker);
    this.#histories.get(id)?.running.delete(job);
  }

  /** Forgets all timers. */
  stop(): void {
    for (const worker of this.#workers.values()) {
      worker.offer?.forget();
      worker.given?.forget();
    }
  }

  #unask(worker: QueueWorker): void {
    worker.offer?.forget();
    worker.offer = undefined;
  }

  #keep(id: string, kept: { history: History; running: Set<Job> }): void {
    this.#histories.delete(id);
    this.#histories.set(id, kept);
    for (const oldest of this.#histories.keys()) {
      if (this.#histories.size <= MAX_HISTORIES) return;
      if (!this.#workers.has(oldest)) this.#histories.delete(oldest);
    }
  }
}

function standing(worker: QueueWorker, now: number): Standing {
  const { facts, history } = worker;
  return { facts, rate: history.rate, wait: isFree(worker, now) ? 0 : secondsLeft(worker, now) };
}

/** Seconds until one of its jobs has ended, judged by those before; undefined when nothing is known. */
function secondsLeft(
  { history: { duration }, running, offer }: QueueWorker,
  now: number,
): number | undefined {
  // Who is asked will have one more.
  if (duration === undefined || running.size === 0 || offer) return undefined;
  const left = [...running].map(({ record }) => duration - (now - (record.began ?? now)));
  return Math.max(LEAST_LEFT * duration, Math.min(...left)) / 1000;
}
