import { getLogger } from "@logtape/logtape";
import type { QueuedJob, QueueRefusal, ReportedState } from "../protocol/queue.ts";
import { FairOrder } from "./fair_order.ts";
import type { JobBook } from "./job_book.ts";
import type { Clock } from "./queue_clock.ts";
import { charsOf, hasEnded, type Job, jobKey, type JobRecord, makeJob } from "./queue_job.ts";
import { QueueVoice } from "./queue_voice.ts";
import type { QueueWorker } from "./queue_worker.ts";
import { QueueWorkers } from "./queue_workers.ts";
import { send } from "./reply.ts";
import type { RegisteredPeer } from "./room.ts";
import { choose, explainMissing, LONGEST_PATIENCE_S, oneLine, type Standing } from "./score.ts";

const logger = getLogger(["sleap-rtc", "signaling", "queue"]);

/** A worker that did not take a job is not asked for the same one for so long, then twice as long; milliseconds. */
const FIRST_PAUSE_MS = 5_000;
const LAST_PAUSE_MS = 300_000;
/** Nor for any other for so long, in milliseconds. */
const REST_MS = 1_000;
/** A job for which so many workers kept a place in vain is not wanted any more. */
const MAX_RELEASES = 5;
/** A job that no worker has said anything of for so long has failed, in milliseconds: three days. */
const LOST_MS = 3 * 24 * 3600_000;
/** After a restart a worker that was asked has so long to come back and answer, in milliseconds. */
const RETURN_MS = 15_000;

/** What a queue counts; see {@link QueueSettings}. */
export interface QueueWatch {
  /** A worker took a job so many seconds after its submission. */
  waited(seconds: number): void;
  /** How a job was led. */
  decided(decision: Decision): void;
}

/** What became of a job in one step. */
export type Decision =
  | "offered"
  | "accepted"
  | "declined"
  | "unanswered"
  | "unasked"
  | "waits"
  | "refused"
  | "released";

/** What the rooms of a queue have in common. */
export interface QueueSettings {
  readonly book: JobBook;
  readonly clock: Clock;
  readonly watch: QueueWatch;
  /** Seconds. */
  readonly answerS: number;
  /** Seconds. */
  readonly holdS: number;
  /** A client that is away keeps its places for so long, in milliseconds. */
  readonly graceMs: number;
}

/** The queue of one room: its jobs, its workers, and which job goes where. */
export class QueueRoom {
  readonly id: string;
  readonly #settings: QueueSettings;
  readonly #order = new FairOrder();
  readonly #peers = new Map<string, RegisteredPeer>();
  readonly #workers: QueueWorkers;
  readonly #voice: QueueVoice;
  /** Jobs that have not ended, by their client. */
  readonly #open = new Map<string, Set<Job>>();
  /** Clients that are away, with their jobs: when their time is over. */
  readonly #away = new Map<string, () => void>();

  constructor(id: string, settings: QueueSettings) {
    this.id = id;
    this.#settings = settings;
    this.#workers = new QueueWorkers(settings.clock);
    this.#voice = new QueueVoice(this.#order, this.#peers, this.#workers, settings.clock);
  }

  /** Whether there is nothing to be remembered of it. */
  get isEmpty(): boolean {
    return this.#peers.size === 0 && this.#open.size === 0;
  }

  /** Takes in a job from before a restart. */
  restore(job: Job): void {
    const { client, state } = job.record;
    this.#hold(job);
    if (!this.#peers.has(client)) this.#expectBack(client);
    if (state === "queued") this.#enqueue(job);
    if (state === "running") this.#activate(job, true);
    if (state !== "offered") return;
    this.#settings.clock.after(RETURN_MS, () => {
      if (job.record.state === "offered" && !this.#asked(job)) this.#requeue(job, "the server was restarted");
    });
  }

  /** A peer is there, or there again. */
  join(peer: RegisteredPeer): void {
    const before = this.#peers.get(peer.peerId);
    this.#peers.set(peer.peerId, peer);
    this.#away.get(peer.peerId)?.();
    this.#away.delete(peer.peerId);
    if (peer.role === "worker") {
      const isNewSocket = before?.connection !== peer.connection;
      const lost = this.#workers.join(peer, isNewSocket);
      if (lost) this.#requeue(lost, "its worker connected anew");
    }
    for (const job of this.#open.get(peer.peerId) ?? []) {
      if (job.record.state === "queued") this.#enqueue(job);
    }
    this.route();
  }

  /** A peer tells something new of itself. */
  change(peer: RegisteredPeer): void {
    const worker = this.#workers.get(peer.peerId);
    if (!worker || this.#peers.get(peer.peerId)?.connection !== peer.connection) return;
    this.#workers.change(worker, peer);
    this.route();
  }

  /** A peer is gone, perhaps for a moment. */
  leave({ peerId, connection }: RegisteredPeer): void {
    if (this.#peers.get(peerId)?.connection !== connection) return;
    this.#peers.delete(peerId);
    const asked = this.#workers.leave(peerId);
    if (asked) this.#requeue(asked, "its worker left");
    const jobs = this.#open.get(peerId);
    if (!jobs) return;
    for (const job of jobs) this.#order.remove(job);
    this.#expectBack(peerId);
    this.route();
  }

  /** A client wants a job done, or asks again for one that is there. */
  submit(peer: RegisteredPeer, wanted: QueuedJob): void {
    const { book, clock } = this.#settings;
    const known = book.get(jobKey(this.id, wanted.id));
    if (known) return this.#submitAgain(peer, known, wanted);
    const missing = this.#missing(wanted);
    if (missing !== undefined) return this.#refuse(peer, wanted.id, "NO_MATCHING_WORKER", missing);
    if (book.isFull(charsOf(wanted))) {
      return this.#refuse(
        peer,
        wanted.id,
        "QUEUE_FULL",
        "the server holds as many jobs as it can; try later",
      );
    }
    const now = clock.now();
    const record: JobRecord = {
      job: wanted,
      room: this.id,
      client: peer.peerId,
      state: "queued",
      place: book.nextPlace(),
      submitted: now,
      queued: now,
      past: [],
      releases: 0,
      reason: "submitted",
    };
    const job = makeJob(record);
    this.#hold(job);
    this.#enqueue(job);
    this.#change(job, {});
    this.#routeOrRefuse(job);
  }

  /** A client wants a job no more. */
  withdraw(peer: RegisteredPeer, id: string): void {
    const job = this.#settings.book.get(jobKey(this.id, id));
    if (!job) return this.#refuse(peer, id, "INVALID_JOB", "the server knows no such job");
    if (job.record.client !== peer.peerId) return this.#refuseForeign(peer, id);
    if (hasEnded(job.record) || job.record.state === "running") return this.#voice.tell(job);
    this.#releaseWorker(job);
    this.#end(job, "cancelled", "its client withdrew it");
    this.route();
  }

  /** A worker answers an offer. */
  answer(worker: QueueWorker, id: string, isAccepted: boolean, reason = ""): void {
    const job = this.#settings.book.get(jobKey(this.id, id));
    const { id: workerId } = worker.facts;
    const isIts = job?.record.worker === workerId;
    if (!job || !isIts || job.record.state !== "offered") {
      // Too late: another has it, or nobody wants it any more.
      if (isAccepted && !(isIts && !hasEnded(job.record))) {
        send(worker.peer.connection, { type: "job_release", job: id });
      }
      return;
    }
    if (isAccepted) return this.#accept(job);
    this.#declined(job, worker, "declined", reason === "" ? "it declined" : reason);
  }

  /** A worker tells how a job stands. */
  report(
    worker: QueueWorker,
    { job: id, state, reason = "", received }: {
      job: string;
      state: ReportedState;
      reason?: string | undefined;
      received?: { bytes: number; seconds: number } | undefined;
    },
  ): void {
    const { book } = this.#settings;
    if (received && state === "running") worker.history.received(received);
    const job = book.get(jobKey(this.id, id));
    const noted = (): void => send(worker.peer.connection, { type: "job_noted", job: id, state });
    if (!job || !this.#isConcerned(job, worker, state)) {
      if (state === "held") send(worker.peer.connection, { type: "job_release", job: id });
      return noted();
    }
    this.#take(job, worker, state, oneLine(reason));
    // Behind what was kept of it just now.
    book.keep(job, noted);
    this.route();
  }

  /** To be called every second or so: what has waited too long is refused. */
  tick(isThorough: boolean): void {
    for (const jobs of this.#open.values()) {
      for (const job of jobs) {
        if (job.record.state === "queued") this.#refuseLate(job);
        else if (isThorough) this.#endLost(job);
      }
    }
    this.route();
    if (isThorough) this.#voice.tellAll();
  }

  /** Forgets all timers. */
  stop(): void {
    this.#voice.stop();
    this.#workers.stop();
    for (const forget of this.#away.values()) forget();
  }

  /** The worker of a peer. */
  worker(peerId: string): QueueWorker | undefined {
    return this.#workers.get(peerId);
  }

  /** Gives jobs to free workers for as long as there is one that suits. */
  route(): void {
    while (this.#order.size > 0 && this.#routeOne());
    this.#voice.tellSoon();
  }

  #routeOne(): boolean {
    const now = this.#settings.clock.now();
    const standings = this.#workers.standings(now);
    if (!standings) return false;
    const choice = this.#order.first((job) => standings(job).some(({ wait }) => wait === 0), (job) => {
      const open = standings(job).filter((each) => !this.#isRefused(job, each, now));
      const patience = LONGEST_PATIENCE_S - (now - job.record.queued) / 1000;
      const picked = choose(job.record.job, open, patience);
      if (!picked) return undefined;
      if ("worker" in picked) return { job, ...picked };
      this.#settings.watch.decided("waits");
      this.#voice.waits(job, picked.reason);
      return undefined;
    });
    const worker = choice && this.#workers.get(choice.worker.id);
    if (!choice || !worker) return false;
    this.#give(choice.job, worker, choice.reason);
    return true;
  }

  #isRefused({ refusals }: Job, { facts, wait }: Standing, now: number): boolean {
    return wait === 0 && (refusals.get(facts.id)?.until ?? 0) > now;
  }

  #give(job: Job, worker: QueueWorker, reason: string): void {
    const { clock, answerS, holdS, watch } = this.#settings;
    this.#order.remove(job);
    const { id } = worker.facts;
    logger.info("job {job}: {reason}", { job: job.record.job.id, reason });
    if (!worker.facts.takesOffers) {
      watch.decided("unasked");
      this.#workers.give(worker, job, holdS * 1000, () => {
        this.#activate(job, false);
        this.route();
      });
      job.record = { ...job.record, worker: id, reason };
      return this.#accept(job);
    }
    watch.decided("offered");
    const unanswered = (): void => this.#declined(job, worker, "unanswered", "it did not answer");
    worker.offer = { job, forget: clock.after(answerS * 1000, unanswered) };
    this.#change(job, { state: "offered", worker: id, reason }, () => {
      if (worker.offer?.job !== job) return;
      const { job: wanted, client } = job.record;
      const isSent = worker.peer.connection.send(
        JSON.stringify({ type: "job_offer", job: wanted, client, answer_s: answerS, hold_s: holdS }),
      );
      if (!isSent) this.#declined(job, worker, "unanswered", "it cannot be reached");
    });
  }

  #declined(job: Job, worker: QueueWorker, decision: "declined" | "unanswered", why: string): void {
    const { clock, watch } = this.#settings;
    watch.decided(decision);
    const now = clock.now();
    const pauseMs = Math.min(
      LAST_PAUSE_MS,
      2 * (job.refusals.get(worker.facts.id)?.pauseMs ?? FIRST_PAUSE_MS / 2),
    );
    job.refusals.set(worker.facts.id, { until: now + pauseMs, pauseMs });
    worker.restsUntil = now + REST_MS;
    this.#requeue(job, oneLine(`worker ${worker.facts.id} was asked: ${why}`));
  }

  #accept(job: Job): void {
    const { clock, watch } = this.#settings;
    const now = clock.now();
    watch.decided("accepted");
    watch.waited((now - job.record.submitted) / 1000);
    this.#workers.answered(job);
    this.#order.served(job, now);
    this.#change(job, { state: "assigned", assigned: now });
    this.route();
  }

  /** Whether a worker may say this of a job: it has it, or had it and runs it all the same. */
  #isConcerned({ record }: Job, { facts: { id } }: QueueWorker, state: ReportedState): boolean {
    if (hasEnded(record)) return false;
    if (record.worker === id) return true;
    return state === "running" && record.state !== "running" && record.past.includes(id);
  }

  #take(job: Job, worker: QueueWorker, state: ReportedState, reason: string): void {
    const { record } = job;
    const { id } = worker.facts;
    switch (state) {
      case "held":
        if (record.state === "offered") this.#accept(job);
        return;
      case "running":
        if (record.state === "running") return;
        this.#runs(job, worker);
        return;
      case "released":
        if (record.state === "running") return;
        this.#settings.watch.decided("released");
        return this.#released(job, `worker ${id} kept a place in vain${reason === "" ? "" : `: ${reason}`}`);
      default:
        if (record.began !== undefined) worker.history.took(this.#settings.clock.now() - record.began);
        return this.#end(job, state, reason === "" ? `worker ${id} has ended it` : reason);
    }
  }

  #runs(job: Job, worker: QueueWorker): void {
    const { id } = worker.facts;
    // Another that was to have it meanwhile must not begin it as well.
    if (job.record.worker !== id) this.#releaseWorker(job);
    this.#workers.answered(job);
    this.#order.remove(job);
    worker.running.add(job);
    const now = this.#settings.clock.now();
    this.#change(job, { state: "running", worker: id, began: now, reason: `runs at worker ${id}` });
  }

  #released(job: Job, reason: string): void {
    const releases = job.record.releases + 1;
    job.record = { ...job.record, releases };
    if (releases >= MAX_RELEASES) return this.#drop(job, "QUEUE_TIMEOUT", `${releases} times a ${reason}`);
    this.#requeue(job, reason);
  }

  /** Back into the queue, at its place; nothing when it is in it. */
  #requeue(job: Job, reason: string): void {
    const { worker, past, state, queued } = job.record;
    if (state === "queued" || hasEnded(job.record)) return;
    this.#workers.answered(job);
    const hadIt = state === "assigned" && worker !== undefined && !past.includes(worker);
    this.#change(job, {
      state: "queued",
      worker: undefined,
      past: hadIt ? [...past, worker].slice(-256) : past,
      // Only who had a worker begins to wait anew.
      queued: state === "offered" ? queued : this.#settings.clock.now(),
      reason,
    });
    this.#enqueue(job);
    this.#routeOrRefuse(job);
  }

  #submitAgain(peer: RegisteredPeer, job: Job, wanted: QueuedJob): void {
    const { record } = job;
    if (record.client !== peer.peerId) return this.#refuseForeign(peer, wanted.id);
    if (hasEnded(record)) {
      return this.#refuse(peer, wanted.id, "JOB_ENDED", `it has ended: ${record.state}: ${record.reason}`);
    }
    const isAvoided = record.worker !== undefined && wanted.avoid.includes(record.worker);
    if (record.state === "running" || (record.worker !== undefined && !isAvoided)) {
      return this.#voice.tell(job);
    }
    const missing = isAvoided ? this.#missing(wanted) : undefined;
    this.#order.remove(job);
    this.#settings.book.replace(job, wanted);
    if (isAvoided) this.#releaseWorker(job);
    if (missing !== undefined) return this.#drop(job, "NO_MATCHING_WORKER", missing);
    if (isAvoided) return this.#requeue(job, `worker ${record.worker} did not work out`);
    this.#enqueue(job);
    this.#change(job, {});
    this.#routeOrRefuse(job);
  }

  /** Why nobody could ever do a job; undefined when somebody could. */
  #missing(job: QueuedJob): string | undefined {
    const facts = this.#workers.facts();
    return this.#workers.could(job).length > 0 ? undefined : explainMissing(job, facts);
  }

  #routeOrRefuse(job: Job): void {
    this.route();
    if (job.record.state === "queued") this.#refuseLate(job);
  }

  #refuseLate(job: Job): void {
    const { queued, job: { wait_s } } = job.record;
    if (this.#settings.clock.now() < queued + wait_s * 1000) return;
    const why = wait_s === 0 ? "it does not wait" : `it waited for ${wait_s} s`;
    this.#drop(job, "QUEUE_TIMEOUT", `${this.#voice.busyReason(job)}, and ${why}`);
  }

  #endLost(job: Job): void {
    const { state, worker = "", assigned = 0 } = job.record;
    const now = this.#settings.clock.now();
    if (this.#workers.get(worker)) job.lostSince = undefined;
    else job.lostSince ??= now;
    const since = state === "assigned" ? assigned : job.lostSince ?? now;
    if (state === "offered" || now < since + LOST_MS) return;
    this.#end(job, "failed", `nothing was heard of it from worker ${worker} for three days`);
  }

  /** A client that is away: its jobs wait a while for it, and are refused then. */
  #expectBack(client: string): void {
    if (this.#away.has(client)) return;
    const { clock, graceMs } = this.#settings;
    const refuse = (): void => {
      this.#away.delete(client);
      for (const job of [...this.#open.get(client) ?? []]) {
        const { state } = job.record;
        if (state === "offered") this.#releaseWorker(job);
        if (state === "queued" || state === "offered") {
          this.#drop(job, "QUEUE_TIMEOUT", "its client did not come back");
        }
      }
      this.route();
    };
    this.#away.set(client, clock.after(graceMs, refuse));
  }

  /** Into the order of turns, if its client is there to be told. */
  #enqueue(job: Job): void {
    if (job.record.state !== "queued" || !this.#peers.has(job.record.client)) return;
    this.#order.remove(job);
    this.#order.add(job);
  }

  #change(job: Job, change: Partial<JobRecord>, then: () => void = () => {}): void {
    job.record = { ...job.record, ...change };
    const { state } = job.record;
    this.#activate(job, state === "offered" || state === "assigned" || state === "running");
    if (state !== "queued") job.toldPosition = undefined;
    this.#settings.book.keep(job, () => {
      then();
      const { state: now } = job.record;
      if (now === state ? state !== "offered" : state === "queued" && now === "offered") {
        this.#voice.tell(job);
      }
    });
  }

  #end(job: Job, state: "done" | "failed" | "cancelled", reason: string): void {
    this.#leaveQueue(job);
    this.#change(job, { state, reason, ended: this.#settings.clock.now() });
  }

  /** Refuses a job that never began, and forgets it: it may be submitted anew. */
  #drop(job: Job, code: QueueRefusal, reason: string): void {
    const { client, job: { id } } = job.record;
    this.#leaveQueue(job);
    this.#activate(job, false);
    job.record = { ...job.record, state: "cancelled" };
    this.#settings.book.forget(job, () => {
      const peer = this.#peers.get(client);
      if (peer) this.#refuse(peer, id, code, reason);
    });
  }

  #leaveQueue(job: Job): void {
    const { client } = job.record;
    this.#order.remove(job);
    this.#workers.answered(job);
    const jobs = this.#open.get(client);
    jobs?.delete(job);
    if (jobs?.size === 0) this.#open.delete(client);
  }

  #hold(job: Job): void {
    const { client } = job.record;
    this.#open.set(client, (this.#open.get(client) ?? new Set()).add(job));
  }

  #activate(job: Job, isActive: boolean): void {
    if (job.isActive !== isActive) this.#order.count(job, isActive ? 1 : -1);
    job.isActive = isActive;
  }

  /** Whether its worker is asked at this moment. */
  #asked(job: Job): boolean {
    return this.#workers.get(job.record.worker ?? "")?.offer?.job === job;
  }

  #releaseWorker({ record }: Job): void {
    const worker = this.#workers.get(record.worker ?? "");
    if (worker?.facts.takesOffers) send(worker.peer.connection, { type: "job_release", job: record.job.id });
  }

  #refuse(peer: RegisteredPeer, id: string, code: QueueRefusal, reason: string): void {
    this.#settings.watch.decided("refused");
    send(peer.connection, { type: "job_state", job: id, state: "refused", code, reason: oneLine(reason) });
  }

  #refuseForeign(peer: RegisteredPeer, id: string): void {
    this.#refuse(peer, id, "INVALID_JOB", "another client has a job with this id");
  }
}
