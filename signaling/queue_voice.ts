import type { JobStateMessage } from "../protocol/queue.ts";
import type { FairOrder } from "./fair_order.ts";
import type { Clock } from "./queue_clock.ts";
import { hasEnded, type Job } from "./queue_job.ts";
import type { QueueWorkers } from "./queue_workers.ts";
import { send } from "./reply.ts";
import type { RegisteredPeer } from "./room.ts";
import { oneLine } from "./score.ts";

/** The first so many are told of their places as they change. */
const FIRST = 10;
/** Changes within so many milliseconds are told at once. */
const SOON_MS = 100;

/** Tells the clients of a room how their jobs stand. */
export class QueueVoice {
  readonly #order: FairOrder;
  readonly #peers: ReadonlyMap<string, RegisteredPeer>;
  readonly #workers: QueueWorkers;
  readonly #clock: Clock;
  readonly #isBackExpected: () => boolean;
  /** Why jobs wait though a worker is free. */
  readonly #waits = new WeakMap<Job, string>();
  #soon: (() => void) | undefined;
  /** Jobs whose worker has just been asked, and what keeps their clients from being told. */
  readonly #asked = new Map<Job, () => void>();

  constructor(
    order: FairOrder,
    peers: ReadonlyMap<string, RegisteredPeer>,
    workers: QueueWorkers,
    clock: Clock,
    isBackExpected: () => boolean,
  ) {
    this.#order = order;
    this.#peers = peers;
    this.#workers = workers;
    this.#clock = clock;
    this.#isBackExpected = isBackExpected;
  }

  /** Tells the client of a job how it stands; one that is away asks when it is back. */
  tell(job: Job): void {
    const { client, job: { id }, state, worker, reason } = job.record;
    const peer = this.#peers.get(client);
    if (!peer) return;
    if (state === "queued" || state === "offered") return this.#tellPlace(job, peer);
    const message: JobStateMessage = { type: "job_state", job: id, state, reason };
    if (worker !== undefined && !hasEnded(job.record)) message.worker = worker;
    send(peer.connection, message);
  }

  /**
   * Tells that a worker is asked, unless it answers at once: two short messages in a row would hold the second back
   * until the first is acknowledged (Nagle's algorithm, RFC 896), tens of milliseconds.
   */
  tellAsked(job: Job): void {
    this.#asked.get(job)?.();
    const forget = this.#clock.after(SOON_MS, () => {
      this.#asked.delete(job);
      if (job.record.state === "offered") this.tell(job);
    });
    this.#asked.set(job, forget);
  }

  /** It waits for a busy worker, for this reason. */
  waits(job: Job, reason: string): void {
    this.#waits.set(job, reason);
  }

  /** Why a job is with nobody, in words. */
  busyReason({ record }: Job): string {
    const count = this.#workers.could(record.job).length;
    if (count === 0) {
      const hope = this.#isBackExpected() ? "; the server has just started, and workers may come back" : "";
      return `no worker that suits is there now${hope}`;
    }
    return count === 1 ? "the one worker that suits is busy" : `the ${count} workers that suit are busy`;
  }

  /** Tells the first in line of their places, in a moment. */
  tellSoon(): void {
    if (this.#soon || this.#order.size === 0) return;
    this.#soon = this.#clock.after(SOON_MS, () => {
      this.#soon = undefined;
      this.#tellChanged(this.#order.inOrder(FIRST));
    });
  }

  /** Tells everybody of their places. */
  tellAll(): void {
    this.#tellChanged(this.#order.inOrder());
  }

  stop(): void {
    this.#soon?.();
    for (const forget of this.#asked.values()) forget();
  }

  #tellChanged(jobs: readonly Job[]): void {
    jobs.forEach((job, index) => {
      const peer = this.#peers.get(job.record.client);
      // Who was not told yet is told when the job is kept.
      const isNews = job.toldPosition !== undefined && job.toldPosition !== index + 1;
      if (peer && isNews) this.#tellPlace(job, peer, index + 1);
    });
  }

  #tellPlace(job: Job, { connection }: RegisteredPeer, place?: number): void {
    const { state, job: { id }, worker = "" } = job.record;
    const position = place ?? (state === "queued" ? this.#order.positionOf(job) : 1);
    job.toldPosition = position;
    const reason = state === "offered" ? `worker ${worker} is asked` : this.#reason(job, position);
    send(connection, { type: "job_state", job: id, state: "queued", reason: oneLine(reason), position });
  }

  #reason(job: Job, position: number): string {
    const waits = this.#waits.get(job);
    if (waits !== undefined && position === 1) return waits;
    const ahead = position === 1 ? "" : `; ${position - 1} ahead`;
    return `${this.busyReason(job)}${ahead}`;
  }
}
