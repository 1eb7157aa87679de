import type { QueueRefusal } from "../protocol/queue.ts";
import { FairOrder } from "./fair_order.ts";
import type { Job, JobRecord } from "./queue_job.ts";
import type { QueueSettings } from "./queue_settings.ts";
import { QueueVoice } from "./queue_voice.ts";
import { QueueWorkers } from "./queue_workers.ts";
import { send } from "./reply.ts";
import type { RegisteredPeer } from "./room.ts";
import { oneLine } from "./score.ts";

/** A job that no worker has said anything of for so long has failed, in milliseconds: three days. */
const SILENT_MS = 3 * 24 * 3600_000;
/** So has one whose worker is away for so long, unless it comes back and says otherwise; milliseconds. */
const ABSENT_MS = 15 * 60_000;
/** The jobs of a room and how they change; nothing here decides. */
export class RoomJobs {
  readonly #settings: QueueSettings;
  /** Those that wait, and whose turn it is. */
  readonly order = new FairOrder();
  /** Those that have not ended, by their client. */
  readonly open = new Map<string, Set<Job>>();
  /** All that are registered, by id. */
  readonly peers = new Map<string, RegisteredPeer>();
  readonly workers: QueueWorkers;
  readonly voice: QueueVoice;

  /** `isBackExpected`: whether workers may still be on their way back. */
  constructor(settings: QueueSettings, isBackExpected: () => boolean) {
    this.#settings = settings;
    this.workers = new QueueWorkers(settings.clock);
    this.voice = new QueueVoice(this.order, this.peers, this.workers, settings.clock, isBackExpected);
  }

  /** Into the order of turns, if its client is there to be told. */
  enqueue(job: Job): void {
    if (job.record.state !== "queued" || !this.peers.has(job.record.client)) return;
    this.order.remove(job);
    this.order.add(job);
  }

  /** Changes a job, and calls back and tells its client when that is kept. */
  change(job: Job, change: Partial<JobRecord>, then: () => void = () => {}): void {
    job.record = { ...job.record, ...change };
    const { state } = job.record;
    this.activate(job, state === "offered" || state === "assigned" || state === "running");
    if (state !== "queued") job.toldPosition = undefined;
    this.#settings.book.keep(job, () => {
      then();
      const { state: now } = job.record;
      if (state === "queued" && now === "offered") this.voice.tellAsked(job);
      else if (state === now && now !== "offered") this.voice.tell(job);
    });
  }

  /** It has ended, at a worker or because nobody wants it; `isAssumed`: its worker may know better. */
  end(job: Job, state: "done" | "failed" | "cancelled", reason: string, isAssumed = false): void {
    this.#leaveQueue(job);
    this.change(job, { state, reason, isAssumed, ended: this.#settings.clock.now() });
  }

  /** Ends a job whose worker seems to be dead. */
  endLost(job: Job): void {
    const { state, worker = "", assigned = 0 } = job.record;
    if (state === "offered") return;
    const now = this.#settings.clock.now();
    if (this.workers.get(worker)) job.lostSince = undefined;
    else job.lostSince ??= now;
    if (now >= (job.lostSince ?? now) + ABSENT_MS) {
      return this.end(job, "failed", `worker ${worker} is gone, and has not come back`, true);
    }
    if (state !== "assigned" || now < assigned + SILENT_MS) return;
    this.end(job, "failed", `nothing was heard of it from worker ${worker} for three days`, true);
  }

  /** Refuses a job that never began, and forgets it: it may be submitted anew. */
  drop(job: Job, code: QueueRefusal, reason: string): void {
    const { client, job: { id } } = job.record;
    this.#leaveQueue(job);
    this.activate(job, false);
    job.record = { ...job.record, state: "cancelled" };
    this.#settings.book.forget(job, () => {
      const peer = this.peers.get(client);
      if (peer) this.refuse(peer, id, code, reason);
    });
  }

  /** It is open no more. */
  #leaveQueue(job: Job): void {
    const { client } = job.record;
    this.order.remove(job);
    this.workers.answered(job);
    const jobs = this.open.get(client);
    jobs?.delete(job);
    if (jobs?.size === 0) this.open.delete(client);
  }

  /** Takes in a job that has not ended. */
  hold(job: Job): void {
    const { client } = job.record;
    this.open.set(client, (this.open.get(client) ?? new Set()).add(job));
  }

  /** Whether its owner has it at a worker. */
  activate(job: Job, isActive: boolean): void {
    if (job.isActive !== isActive) this.order.count(job, isActive ? 1 : -1);
    job.isActive = isActive;
  }

  /** Tells its worker that no place is needed. */
  releaseWorker({ record }: Job): void {
    const worker = this.workers.get(record.worker ?? "");
    if (worker?.facts.takesOffers) send(worker.peer.connection, { type: "job_release", job: record.job.id });
  }

  /** Tells a client that a job does not go on. */
  refuse(peer: RegisteredPeer, id: string, code: QueueRefusal, reason: string): void {
    this.#settings.watch.decided("refused");
    send(peer.connection, { type: "job_state", job: id, state: "refused", code, reason: oneLine(reason) });
  }

  /** The id belongs to another client. */
  refuseForeign(peer: RegisteredPeer, id: string): void {
    this.refuse(peer, id, "INVALID_JOB", "another client has a job with this id");
  }
}
