import { getLogger } from "@logtape/logtape";
import { z } from "zod";
import {
  jobAnswerSchema,
  jobReportSchema,
  jobSubmitSchema,
  jobWithdrawSchema,
  queueIdSchema,
} from "../protocol/queue.ts";
import { BOOK_LIMITS, type BookLimits, JobBook } from "./job_book.ts";
import { type Clock, SYSTEM_CLOCK } from "./queue_clock.ts";
import type { JobState } from "./queue_job.ts";
import { QueueRoom } from "./queue_room.ts";
import type { QueueSettings, QueueWatch } from "./queue_settings.ts";
import { send, sendError } from "./reply.ts";
import type { RegisteredPeer } from "./room.ts";
import type { Store } from "./store.ts";

const logger = getLogger(["sleap-rtc", "signaling", "queue"]);

/** Seconds within which a worker answers an offer. */
const ANSWER_S = 5;
/** Seconds for which a worker keeps a place. */
const HOLD_S = 60;
/** A client that is away keeps its places for so long, in milliseconds. */
const GRACE_MS = 5 * 60_000;
/** After a start workers come back within so long, as the pauses of their attempts go, in milliseconds. */
const RETURN_MS = 30_000;
const TICK_MS = 1_000;
/** Every so many ticks all are told of their places, and what is lost is looked for. */
const THOROUGH_TICKS = 10;

const messageSchema = z.discriminatedUnion("type", [
  jobSubmitSchema,
  jobWithdrawSchema,
  jobAnswerSchema,
  jobReportSchema,
]);
const brokenSchema = z.object({ job: z.union([queueIdSchema, z.object({ id: queueIdSchema })]) });

/** Types of the messages that {@link Queue.handle} takes. */
export const QUEUE_MESSAGES = ["job_submit", "job_withdraw", "job_answer", "job_report"] as const;

/** Options of {@link Queue}. */
export interface QueueOptions {
  clock?: Clock;
  watch?: QueueWatch;
  limits?: BookLimits;
  /** Seconds within which a worker answers an offer. */
  answerS?: number;
  /** Seconds for which a worker keeps a place. */
  holdS?: number;
  /** A client that is away keeps its places for so long, in milliseconds. */
  graceMs?: number;
}

const UNWATCHED: QueueWatch = { waited: () => {}, decided: () => {} };

/**
 * The jobs that a server leads to workers, room by room. It is told of peers and their messages, and speaks to them
 * through `connection.send` only. Each step is in the store before anybody hears of it. Source: docs/protocol.md.
 */
export class Queue {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #options: QueueOptions;
  readonly #rooms = new Map<string, QueueRoom>();
  #settings: QueueSettings | undefined;
  #tick: (() => void) | undefined;
  #ticks = 0;

  constructor(store: Store, options: QueueOptions = {}) {
    this.#store = store;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#options = options;
  }

  /**
   * Reads what the store remembers and begins; `peers` are there already, others may still come back to `rooms`, which
   * are from before. Throws what the store throws.
   */
  async start(peers: Iterable<RegisteredPeer> = [], rooms: Iterable<string> = []): Promise<void> {
    const { answerS = ANSWER_S, holdS = HOLD_S, graceMs = GRACE_MS, watch = UNWATCHED } = this.#options;
    const book = new JobBook(this.#store, this.#clock, this.#options.limits ?? BOOK_LIMITS);
    const jobs = await book.load();
    const returning = { rooms: new Set(rooms), until: this.#clock.now() + RETURN_MS };
    this.#settings = { book, clock: this.#clock, watch, answerS, holdS, graceMs, returning };
    for (const peer of peers) this.joined(peer);
    for (const job of jobs) this.#room(job.record.room)?.restore(job);
    for (const room of this.#rooms.values()) room.tick(false);
    if (jobs.length > 0) logger.info("{count} job(s) from before go on", { count: jobs.length });
    this.#tickLater();
  }

  /** Stops, and forgets all but what the store has; done when that has everything. */
  async stop(): Promise<void> {
    const settings = this.#settings;
    this.#settings = undefined;
    this.#tick?.();
    for (const room of this.#rooms.values()) room.stop();
    this.#rooms.clear();
    await settings?.book.close();
  }

  /** Settles when all that was decided is kept and told. */
  async settled(): Promise<void> {
    await this.#settings?.book.settled();
  }

  /** A peer has registered, perhaps again. */
  joined(peer: RegisteredPeer): void {
    this.#room(peer.room.id)?.join(peer);
  }

  /** A peer has told something new of itself. */
  changed(peer: RegisteredPeer): void {
    this.#rooms.get(peer.room.id)?.change(peer);
  }

  /** A peer is gone. */
  left(peer: RegisteredPeer): void {
    this.#rooms.get(peer.room.id)?.leave(peer);
  }

  /** A message of one of {@link QUEUE_MESSAGES}, not parsed yet. What is wrong with it is told to the peer. */
  handle(peer: RegisteredPeer, message: unknown): void {
    const parsed = messageSchema.safeParse(message);
    const room = this.#room(peer.room.id);
    if (!room) return sendError(peer.connection, "QUEUE_STOPPED", "The queue is not running here");
    if (!parsed.success) return refuseBroken(peer, message, parsed.error);
    const { data } = parsed;
    if (data.type === "job_submit") return room.submit(peer, data.job);
    if (data.type === "job_withdraw") return room.withdraw(peer, data.job);
    const worker = room.worker(peer.peerId);
    if (!worker) return sendError(peer.connection, "INVALID_MESSAGE", `${data.type} is for workers`);
    if (data.type === "job_answer") return room.answer(worker, data.job, data.accepted, data.reason);
    room.report(worker, data);
  }

  /** How many jobs there are in each state, those included that ended in the last days. */
  states(): Record<JobState, number> {
    const counts = { queued: 0, offered: 0, assigned: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
    for (const { record } of this.#settings?.book.values() ?? []) counts[record.state]++;
    return counts;
  }

  /** Undefined while it is stopped. */
  #room(id: string): QueueRoom | undefined {
    if (!this.#settings) return undefined;
    const room = this.#rooms.get(id) ?? new QueueRoom(id, this.#settings);
    this.#rooms.set(id, room);
    return room;
  }

  #tickLater(): void {
    this.#tick = this.#clock.after(TICK_MS, () => {
      const isThorough = ++this.#ticks % THOROUGH_TICKS === 0;
      for (const room of this.#rooms.values()) {
        room.tick(isThorough);
        if (room.isEmpty) this.#rooms.delete(room.id);
      }
      if (isThorough) this.#settings?.book.sweep();
      this.#tickLater();
    });
  }
}

function refuseBroken({ connection }: RegisteredPeer, message: unknown, error: z.ZodError): void {
  const [issue] = error.issues;
  const text = `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not understood"}`.slice(0, 300);
  const broken = brokenSchema.safeParse(message);
  const isSubmit = z.object({ type: z.literal("job_submit") }).safeParse(message).success;
  if (!isSubmit || !broken.success) return sendError(connection, "INVALID_MESSAGE", text);
  const { job } = broken.data;
  const id = typeof job === "string" ? job : job.id;
  send(connection, { type: "job_state", job: id, state: "refused", code: "INVALID_JOB", reason: text });
}
