import { getLogger } from "@logtape/logtape";
import { hasEnded, type Job } from "./queue_job.ts";
import type { QueueSettings } from "./queue_settings.ts";
import type { QueueWorker } from "./queue_worker.ts";
import type { RoomJobs } from "./room_jobs.ts";
import { choose, LONGEST_PATIENCE_S, oneLine, type Standing } from "./score.ts";

const logger = getLogger(["sleap-rtc", "signaling", "queue"]);

/** A worker that did not take a job is not asked for the same one for so long, then twice as long; milliseconds. */
const FIRST_PAUSE_MS = 5_000;
const LAST_PAUSE_MS = 300_000;
/** Nor for any other for so long, in milliseconds. */
const REST_MS = 1_000;
/** A job for which so many workers kept a place in vain is not wanted any more. */
const MAX_RELEASES = 5;

/** Leads the waiting jobs of a room to its workers. */
export class QueueRouter {
  readonly #settings: QueueSettings;
  readonly #jobs: RoomJobs;

  constructor(settings: QueueSettings, jobs: RoomJobs) {
    this.#settings = settings;
    this.#jobs = jobs;
  }

  /** Gives jobs to free workers for as long as there is one that suits. */
  route(): void {
    while (this.#jobs.order.size > 0 && this.#routeOne());
    this.#jobs.voice.tellSoon();
  }

  #routeOne(): boolean {
    const now = this.#settings.clock.now();
    const standings = this.#jobs.workers.standings(now);
    if (!standings) return false;
    const choice = this.#jobs.order.first(standings.isForFree, (job) => {
      const open = standings.of(job).filter((each) => !this.#isRefused(job, each, now));
      const patience = LONGEST_PATIENCE_S - (now - job.record.queued) / 1000;
      const picked = choose(job.record.job, open, patience);
      if (!picked) return undefined;
      if ("worker" in picked) return { job, ...picked };
      this.#settings.watch.decided("waits");
      this.#jobs.voice.waits(job, picked.reason);
      return undefined;
    });
    const worker = choice && this.#jobs.workers.get(choice.worker.id);
    if (!choice || !worker) return false;
    this.#give(choice.job, worker, choice.reason);
    return true;
  }

  #isRefused({ refusals }: Job, { facts, wait }: Standing, now: number): boolean {
    return wait === 0 && (refusals.get(facts.id)?.until ?? 0) > now;
  }

  #give(job: Job, worker: QueueWorker, reason: string): void {
    const { clock, answerS, holdS, watch } = this.#settings;
    this.#jobs.order.remove(job);
    const { id } = worker.facts;
    logger.info("job {job}: {reason}", { job: job.record.job.id, reason });
    if (!worker.facts.takesOffers) {
      watch.decided("unasked");
      this.#jobs.workers.give(worker, job, holdS * 1000, () => {
        this.#jobs.activate(job, false);
        this.route();
      });
      job.record = { ...job.record, worker: id, reason };
      return this.accept(job);
    }
    watch.decided("offered");
    const unanswered = (): void => this.declined(job, worker, "unanswered", "it did not answer");
    worker.offer = { job, forget: clock.after(answerS * 1000, unanswered) };
    this.#jobs.change(job, { state: "offered", worker: id, reason }, () => {
      if (worker.offer?.job !== job) return;
      const { job: wanted, client } = job.record;
      const isSent = worker.peer.connection.send(
        JSON.stringify({ type: "job_offer", job: wanted, client, answer_s: answerS, hold_s: holdS }),
      );
      if (!isSent) this.declined(job, worker, "unanswered", "it cannot be reached");
    });
  }

  /** A worker did not take what it was asked for. */
  declined(job: Job, worker: QueueWorker, decision: "declined" | "unanswered", why: string): void {
    const { clock, watch } = this.#settings;
    watch.decided(decision);
    const now = clock.now();
    const pauseMs = Math.min(
      LAST_PAUSE_MS,
      2 * (job.refusals.get(worker.facts.id)?.pauseMs ?? FIRST_PAUSE_MS / 2),
    );
    job.refusals.set(worker.facts.id, { until: now + pauseMs, pauseMs });
    worker.restsUntil = now + REST_MS;
    this.requeue(job, oneLine(`worker ${worker.facts.id} was asked: ${why}`));
  }

  /** Its worker takes it. */
  accept(job: Job): void {
    const { clock, watch } = this.#settings;
    const now = clock.now();
    watch.decided("accepted");
    watch.waited((now - job.record.submitted) / 1000);
    this.#jobs.workers.answered(job);
    this.#jobs.order.served(job, now);
    this.#jobs.change(job, { state: "assigned", assigned: now });
    this.route();
  }

  /** A worker kept a place in vain. */
  released(job: Job, reason: string): void {
    const releases = job.record.releases + 1;
    job.record = { ...job.record, releases };
    if (releases >= MAX_RELEASES) {
      return this.#jobs.drop(job, "QUEUE_TIMEOUT", `${releases} times a ${reason}`);
    }
    this.requeue(job, reason);
  }

  /** Back into the queue, at its place; nothing when it is in it. */
  requeue(job: Job, reason: string): void {
    const { worker, past, state, queued } = job.record;
    if (state === "queued" || hasEnded(job.record)) return;
    this.#jobs.workers.answered(job);
    const hadIt = state === "assigned" && worker !== undefined && !past.includes(worker);
    this.#jobs.change(job, {
      state: "queued",
      worker: undefined,
      past: hadIt ? [...past, worker].slice(-256) : past,
      // Only who had a worker begins to wait anew.
      queued: state === "offered" ? queued : this.#settings.clock.now(),
      reason,
    });
    this.#jobs.enqueue(job);
    this.routeOrRefuse(job);
  }

  /** Routes, and refuses a job that does not wait any longer. */
  routeOrRefuse(job: Job): void {
    this.route();
    if (job.record.state === "queued") this.refuseLate(job);
  }

  /** Refuses a waiting job whose time is over. */
  refuseLate(job: Job): void {
    const { queued, job: { wait_s } } = job.record;
    if (this.#settings.clock.now() < queued + wait_s * 1000) return;
    const why = wait_s === 0 ? "the job does not wait" : `the job waited for ${wait_s} s`;
    this.#jobs.drop(job, "QUEUE_TIMEOUT", `${this.#jobs.voice.busyReason(job)}, and ${why}`);
  }
}
