import type { QueuedJob, ReportedState } from "../protocol/queue.ts";
import { charsOf, hasEnded, type Job, jobKey, type JobRecord, makeJob } from "./queue_job.ts";
import { Returning } from "./queue_returning.ts";
import { QueueRouter } from "./queue_router.ts";
import type { QueueSettings } from "./queue_settings.ts";
import type { QueueWorker } from "./queue_worker.ts";
import { send } from "./reply.ts";
import { RoomJobs } from "./room_jobs.ts";
import type { RegisteredPeer } from "./room.ts";
import { explainMissing, oneLine } from "./score.ts";

/** What a worker that was thought lost may still say. */
const ENDS: ReadonlySet<ReportedState> = new Set(["done", "failed", "cancelled"]);
/** After a restart a worker that was asked has so long to come back and answer, in milliseconds. */
const RETURN_MS = 15_000;

const FULL = "the server holds as many jobs as it can, or as one room may have; try later";

/** The queue of one room: its jobs, its workers, and which job goes where. */
export class QueueRoom {
  readonly id: string;
  readonly #settings: QueueSettings;
  readonly #jobs: RoomJobs;
  readonly #router: QueueRouter;
  readonly #workersBack: Returning;
  /** Clients that are away, with their jobs: when their time is over. */
  readonly #away = new Map<string, () => void>();
  /** Waits for the workers that were asked before a restart. */
  #returning: (() => void) | undefined;

  constructor(id: string, settings: QueueSettings) {
    this.id = id;
    this.#settings = settings;
    this.#workersBack = new Returning(id, settings);
    this.#jobs = new RoomJobs(settings, () => this.#workersBack.isExpected);
    this.#router = new QueueRouter(settings, this.#jobs);
  }

  /** Whether there is nothing to be remembered of it. */
  get isEmpty(): boolean {
    return this.#jobs.peers.size === 0 && this.#jobs.open.size === 0;
  }

  /** Takes in a job from before a restart. */
  restore(job: Job): void {
    const { client, state } = job.record;
    this.#jobs.hold(job);
    if (!this.#jobs.peers.has(client)) this.#expectBack(client);
    if (state === "queued") this.#jobs.enqueue(job);
    if (state === "running") this.#jobs.activate(job, true);
    if (state !== "offered") return;
    this.#jobs.workers.askedBefore(job);
    this.#returning ??= this.#settings.clock.after(RETURN_MS, () => this.#askAnew());
  }

  /** A peer is there, or there again. */
  join(peer: RegisteredPeer): void {
    const before = this.#jobs.peers.get(peer.peerId);
    this.#jobs.peers.set(peer.peerId, peer);
    this.#away.get(peer.peerId)?.();
    this.#away.delete(peer.peerId);
    if (peer.role === "worker") {
      const isNewSocket = before?.connection !== peer.connection;
      const lost = this.#jobs.workers.join(peer, isNewSocket);
      if (lost) this.#router.requeue(lost, "its worker connected anew");
    } else this.#leaveAsWorker(peer.peerId);
    for (const job of this.#jobs.open.get(peer.peerId) ?? []) {
      if (job.record.state === "queued") this.#jobs.enqueue(job);
    }
    this.#router.route();
  }

  /** A peer tells something new of itself. */
  change(peer: RegisteredPeer): void {
    const worker = this.#jobs.workers.get(peer.peerId);
    if (!worker || this.#jobs.peers.get(peer.peerId)?.connection !== peer.connection) return;
    this.#jobs.workers.change(worker, peer);
    this.#router.route();
  }

  /** A peer is gone, perhaps for a moment. */
  leave({ peerId, connection }: RegisteredPeer): void {
    if (this.#jobs.peers.get(peerId)?.connection !== connection) return;
    this.#jobs.peers.delete(peerId);
    this.#leaveAsWorker(peerId);
    const jobs = this.#jobs.open.get(peerId);
    if (!jobs) return;
    for (const job of jobs) this.#jobs.order.remove(job);
    this.#expectBack(peerId);
    this.#router.route();
  }

  #leaveAsWorker(peerId: string): void {
    const asked = this.#jobs.workers.leave(peerId);
    if (asked) this.#router.requeue(asked, "its worker left");
  }

  /** A client wants a job done, or asks again for one that is there. */
  submit(peer: RegisteredPeer, wanted: QueuedJob): void {
    const { book, clock } = this.#settings;
    const known = book.get(jobKey(this.id, wanted.id));
    if (known) return this.#submitAgain(peer, known, wanted);
    const missing = this.#missing(wanted);
    const isHopeless = missing !== undefined && !this.#workersBack.isExpected;
    if (isHopeless) return this.#jobs.refuse(peer, wanted.id, "NO_MATCHING_WORKER", missing);
    if (book.isFull(this.id, charsOf(wanted))) {
      return this.#jobs.refuse(peer, wanted.id, "QUEUE_FULL", FULL);
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
    if (missing !== undefined) this.#workersBack.wait(job);
    this.#jobs.hold(job);
    this.#jobs.enqueue(job);
    this.#jobs.change(job, {});
    this.#router.routeOrRefuse(job);
  }

  /** A client wants a job no more. */
  withdraw(peer: RegisteredPeer, id: string): void {
    const job = this.#settings.book.get(jobKey(this.id, id));
    if (!job) return this.#jobs.refuse(peer, id, "INVALID_JOB", "the server knows no such job");
    if (job.record.client !== peer.peerId) return this.#jobs.refuseForeign(peer, id);
    if (hasEnded(job.record) || job.record.state === "running") return this.#tellAgain(job);
    this.#jobs.releaseWorker(job);
    this.#jobs.end(job, "cancelled", "its client withdrew it");
    this.#router.route();
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
    if (isAccepted) return this.#router.accept(job);
    this.#router.declined(job, worker, "declined", reason === "" ? "it declined" : reason);
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
    book.after(job, noted);
    this.#router.route();
  }

  /** To be called every second or so: what has waited too long is refused. */
  tick(isThorough: boolean): void {
    for (const job of this.#workersBack.late()) this.#refuseUnfit(job);
    for (const jobs of this.#jobs.open.values()) {
      for (const job of jobs) {
        if (job.record.state === "queued") this.#router.refuseLate(job);
        else if (isThorough) this.#jobs.endLost(job);
      }
    }
    this.#router.route();
    if (isThorough) this.#jobs.voice.tellAll();
  }

  /** Forgets all timers. */
  stop(): void {
    this.#returning?.();
    this.#jobs.voice.stop();
    this.#jobs.workers.stop();
    for (const forget of this.#away.values()) forget();
  }

  /** The worker of a peer. */
  worker(peerId: string): QueueWorker | undefined {
    return this.#jobs.workers.get(peerId);
  }

  /** Whether a worker may say this of a job: it has it, or had it and runs it all the same. */
  #isConcerned({ record }: Job, { facts: { id } }: QueueWorker, state: ReportedState): boolean {
    if (hasEnded(record)) return record.isAssumed === true && record.worker === id && ENDS.has(state);
    if (record.worker === id) return true;
    return state === "running" && record.state !== "running" && record.past.includes(id);
  }

  #take(job: Job, worker: QueueWorker, state: ReportedState, reason: string): void {
    const { record } = job;
    const { id } = worker.facts;
    switch (state) {
      case "held":
        if (record.state === "offered") this.#router.accept(job);
        // Of one from before a restart nobody knew whether it is still wanted.
        else this.#jobs.activate(job, record.state === "assigned");
        return;
      case "running":
        if (record.state === "running") return;
        this.#runs(job, worker);
        return;
      case "released":
        if (record.state === "running") return;
        this.#settings.watch.decided("released");
        return this.#router.released(
          job,
          `worker ${id} kept a place in vain${reason === "" ? "" : `: ${reason}`}`,
        );
      default:
        if (record.began !== undefined) worker.history.took(this.#settings.clock.now() - record.began);
        return this.#jobs.end(job, state, reason === "" ? `worker ${id} has ended it` : reason);
    }
  }

  #runs(job: Job, worker: QueueWorker): void {
    const { id } = worker.facts;
    // Another that was to have it meanwhile must not begin it as well.
    if (job.record.worker !== id) this.#jobs.releaseWorker(job);
    this.#jobs.workers.answered(job);
    this.#jobs.order.remove(job);
    worker.running.add(job);
    const now = this.#settings.clock.now();
    this.#jobs.change(job, { state: "running", worker: id, began: now, reason: `runs at worker ${id}` });
  }

  #submitAgain(peer: RegisteredPeer, job: Job, wanted: QueuedJob): void {
    const { record } = job;
    if (record.client !== peer.peerId) return this.#jobs.refuseForeign(peer, wanted.id);
    if (hasEnded(record)) {
      const reason = `it has ended: ${record.state}: ${record.reason}`;
      return this.#settings.book.after(job, () => this.#jobs.refuse(peer, wanted.id, "JOB_ENDED", reason));
    }
    const isAvoided = record.worker !== undefined && wanted.avoid.includes(record.worker);
    if (record.state === "running" || (record.worker !== undefined && !isAvoided)) {
      return this.#tellAgain(job);
    }
    const { book } = this.#settings;
    if (book.isTooMuch(this.id, charsOf(wanted) - job.chars)) {
      this.#jobs.releaseWorker(job);
      return this.#jobs.drop(job, "QUEUE_FULL", FULL);
    }
    const missing = isAvoided ? this.#missing(wanted) : undefined;
    this.#jobs.order.remove(job);
    // Before its owner may become another.
    this.#jobs.activate(job, false);
    book.replace(job, wanted);
    if (isAvoided) this.#jobs.releaseWorker(job);
    if (missing !== undefined) {
      if (!this.#workersBack.isExpected) return this.#jobs.drop(job, "NO_MATCHING_WORKER", missing);
      this.#workersBack.wait(job);
    }
    if (isAvoided) return this.#router.requeue(job, `worker ${record.worker} did not work out`);
    this.#jobs.enqueue(job);
    this.#jobs.change(job, {});
    this.#router.routeOrRefuse(job);
  }

  #tellAgain(job: Job): void {
    this.#settings.book.after(job, () => this.#jobs.voice.tell(job));
  }

  /** Why nobody could ever do a job; undefined when somebody could. */
  #missing(job: QueuedJob): string | undefined {
    const facts = this.#jobs.workers.facts();
    return this.#jobs.workers.could(job).length > 0 ? undefined : explainMissing(job, facts);
  }

  /** The workers that were waited for are back, or will not come. */
  #refuseUnfit(job: Job): void {
    const missing = job.record.state === "queued" ? this.#missing(job.record.job) : undefined;
    if (missing !== undefined) this.#jobs.drop(job, "NO_MATCHING_WORKER", missing);
  }

  /** A client that is away: its jobs wait a while for it, and are refused then. */
  #expectBack(client: string): void {
    if (this.#away.has(client)) return;
    const { clock, graceMs } = this.#settings;
    const refuse = (): void => {
      this.#away.delete(client);
      for (const job of [...this.#jobs.open.get(client) ?? []]) {
        const { state } = job.record;
        if (state === "offered") this.#jobs.releaseWorker(job);
        if (state === "queued" || state === "offered") {
          this.#jobs.drop(job, "QUEUE_TIMEOUT", "its client did not come back");
        }
      }
      this.#router.route();
    };
    this.#away.set(client, clock.after(graceMs, refuse));
  }

  /** Nobody answered what was asked before a restart. */
  #askAnew(): void {
    const open = [...this.#jobs.open.values()].flatMap((jobs) => [...jobs]);
    for (const job of open) {
      if (job.record.state === "offered" && !this.#jobs.workers.isAsked(job)) {
        this.#router.requeue(job, "the server was restarted");
      }
    }
  }
}
