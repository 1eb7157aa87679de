/** Waiting in the signaling server's queue for a worker. */
import { UserError } from "../config/user_error.ts";
import { printable } from "../protocol/printable.ts";
import type { JobStateMessage, QueuedJob, QueueRefusal } from "../protocol/queue.ts";
import type { ServerMessage } from "../protocol/signaling.ts";
import type { SignalingClient } from "../signaling/client.ts";
import { SignalingError } from "../signaling/signaling_error.ts";
import { NoWorkerError } from "./choose_worker.ts";

/** The server is asked again this often, in milliseconds: a connection that the network has forgotten looks open. */
const ASK_AGAIN_MS = 60_000;
/** A server that is gone is waited for so much longer, in milliseconds, than the job may wait. */
const PATIENCE_MS = 120_000;

const HINTS: Readonly<Partial<Record<QueueRefusal, string>>> = {
  NO_MATCHING_WORKER: "ask for less, start such a worker, or see: sleap-rtc-client workers",
  QUEUE_TIMEOUT: "try again later, or let it wait longer: --wait 24h",
  QUEUE_FULL: "try again later",
};

/** A worker that expects this client. */
export interface Turn {
  /** Peer id. */
  worker: string;
  /** Why this one, in one line. */
  reason: string;
}

/** A place in the queue. */
export interface Place {
  /** From 1; null when the server does not tell. */
  position: number | null;
  /** What the job waits for, in one line. */
  reason: string;
}

/** How a job waits. */
export interface WaitOptions {
  /** Called when it is queued, and whenever place or reason change. */
  onPlace: (place: Place) => void;
  /** Milliseconds within which the server answers. */
  timeoutMs: number;
  signal: AbortSignal;
}

/** What is used of a {@link SignalingClient}. */
export type QueueRoom = Pick<
  SignalingClient,
  "send" | "listen" | "listenBack" | "renew" | "closed" | "isConnected"
>;

/**
 * Submits a job and waits for its turn, also across losses of the server. An abort withdraws it.
 * Throws {@link NoWorkerError} when no worker fits or none is free in time, `SignalingError`, the abort reason.
 */
export function awaitTurn(room: QueueRoom, job: QueuedJob, options: WaitOptions): Promise<Turn> {
  return new Waiting(room, job, options).turn;
}

/** Tells the server that a job is not wanted any more. */
export function withdraw(room: Pick<SignalingClient, "send">, id: string): void {
  room.send({ type: "job_withdraw", job: id });
}

/** A new id for a job in the queue. */
export function newQueueId(): string {
  return `q_${crypto.randomUUID()}`;
}

class Waiting {
  readonly #room: QueueRoom;
  readonly #options: WaitOptions;
  readonly #settled = Promise.withResolvers<Turn>();
  readonly #undo: (() => void)[] = [];
  readonly #deadline: number;
  #job: QueuedJob;
  /** Whether the server has the job. */
  #isTaken = false;
  #answerTimer: ReturnType<typeof setTimeout> | undefined;
  #place: Place | undefined;

  constructor(room: QueueRoom, job: QueuedJob, options: WaitOptions) {
    const { signal } = options;
    this.#room = room;
    this.#job = job;
    this.#options = options;
    this.#deadline = performance.now() + 1000 * job.wait_s + PATIENCE_MS;
    if (signal.aborted) {
      this.#settled.reject(signal.reason);
      return;
    }
    const abort = (): void => {
      withdraw(room, this.#job.id);
      this.#fail(signal.reason);
    };
    const timer = setInterval(() => this.#askAgain(), ASK_AGAIN_MS);
    signal.addEventListener("abort", abort);
    this.#undo.push(
      room.listen((message) => this.#hear(message)),
      room.listenBack(() => this.#submit()),
      () => signal.removeEventListener("abort", abort),
      () => clearInterval(timer),
      () => clearTimeout(this.#answerTimer),
    );
    void room.closed.then((error) => this.#fail(error ?? new SignalingError("signaling was closed")));
    this.#submit();
  }

  get turn(): Promise<Turn> {
    return this.#settled.promise;
  }

  #end(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  #fail(error: unknown): void {
    this.#end();
    this.#settled.reject(error);
  }

  #submit(): void {
    this.#room.send({ type: "job_submit", job: this.#job });
    clearTimeout(this.#answerTimer);
    this.#answerTimer = setTimeout(() => this.#unanswered(), this.#options.timeoutMs);
  }

  #unanswered(): void {
    // While it is gone the client connects again by itself, and the job is submitted then.
    if (!this.#room.isConnected) return;
    if (this.#isTaken) return this.#room.renew();
    const limit = this.#options.timeoutMs / 1000;
    this.#fail(new SignalingError(`the signaling server did not answer within ${limit} s`));
  }

  #askAgain(): void {
    if (performance.now() <= this.#deadline) return this.#submit();
    withdraw(this.#room, this.#job.id);
    this.#fail(refusal("QUEUE_TIMEOUT", "no worker became free in time, and the server has not said so"));
  }

  #hear(message: ServerMessage): void {
    if (message.type !== "job_state" || message.job !== this.#job.id) return;
    clearTimeout(this.#answerTimer);
    if (message.state === "queued") return this.#wait(message);
    if (message.state === "assigned" && message.worker !== undefined) {
      this.#end();
      return this.#settled.resolve({ worker: message.worker, reason: printable(message.reason, Infinity) });
    }
    // It was away too long for the server to keep its place, and has not begun: as good as a new one.
    if (message.code === "JOB_ENDED" && this.#isTaken) {
      this.#isTaken = false;
      this.#job = { ...this.#job, id: newQueueId() };
      return this.#submit();
    }
    const reason = printable(message.reason, Infinity);
    if (message.state === "refused") return this.#fail(refusal(message.code, reason));
    this.#fail(
      new UserError(`the signaling server says that the job is ${message.state}: ${reason}`, {
        code: "JOB_ENDED",
      }),
    );
  }

  #wait({ position, reason }: JobStateMessage): void {
    this.#isTaken = true;
    const place = { position: position ?? null, reason: printable(reason, Infinity) };
    if (this.#place?.position === place.position && this.#place.reason === place.reason) return;
    this.#place = place;
    this.#options.onPlace(place);
  }
}

function refusal(code: QueueRefusal | undefined, reason: string): UserError {
  const hint = code === undefined ? undefined : HINTS[code];
  const options = { code: code ?? "JOB_REFUSED" as const, ...(hint === undefined ? {} : { hint }) };
  return code === "NO_MATCHING_WORKER" || code === "QUEUE_TIMEOUT" || code === "QUEUE_FULL"
    ? new NoWorkerError(reason, options)
    : new UserError(`the signaling server did not take the job: ${reason}`, options);
}
