import type { QueueRefusal } from "../protocol/queue.ts";
import { FairOrder } from "./fair_order.ts";
import type { Job, JobRecord } from "./queue_job.ts";
import type { QueueSettings } from "./queue_settings.ts";
import { QueueVoice } from "./queue_voice.ts";
import { QueueWorkers } from "./queue_workers.ts";
import { send } from "./reply.ts";
import type { RegisteredPeer } from "./room.ts";
import { oneLine } from "./score.ts";

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

  constructor(settings: QueueSettings) {
    this.#settings = settings;
    this.workers = new QueueWorkers(settings.clock);
    this.voice = new QueueVoice(this.order, this.peers, this.workers, settings.clock);
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
      if (now === state ? state !== "offered" : state === "queued" && now === "offered") {
        this.voice.tell(job);
      }
    });
  }

  /** It has ended, at a worker or because nobody wants it. */
  end(job: Job, state: "done" | "failed" | "cancelled", reason: string): void {
    this.#leaveQueue(job);
    this.change(job, { state, reason, ended: this.#settings.clock.now() });
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
