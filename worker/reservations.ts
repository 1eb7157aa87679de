import { getLogger } from "@logtape/logtape";
import type { JobEndState } from "../protocol/jobs.ts";
import type { ReportedState } from "../protocol/queue.ts";
import type { ServerMessage } from "../protocol/signaling.ts";

const logger = getLogger(["sleap-rtc", "worker", "queue"]);

/** What the server has not noted is said again after so long, in milliseconds. */
const REPEAT_MS = 20_000;
/** Jobs that are remembered when nothing is kept for them any more. */
const MAX_REMEMBERED = 256;

/** An offer of the signaling server. */
export type JobOffer = Extract<ServerMessage, { type: "job_offer" }>;

/** What came over the data channel before a job began. */
export interface Received {
  bytes: number;
  seconds: number;
}

/** A job that has begun, as far as its end is of interest. */
export interface BegunJob {
  readonly id: string;
  readonly ended: Promise<void>;
  /** Read when it has ended. */
  readonly facts: { readonly state: JobEndState | "running" };
}

/** What reservations need of their worker. */
export interface ReservationsOptions {
  /** Says something to the signaling server; false when that is away. */
  send: (message: Record<string, unknown>) => boolean;
  /** Why no job is taken now; undefined when one is. */
  refusal: () => string | undefined;
  /** Whether this client is served already. */
  isServed: (client: string) => boolean;
  /** Called when a place is kept or free again. */
  onChange: () => void;
}

/** A place for a job that has not begun. */
interface Reservation {
  readonly job: string;
  readonly client: string;
  /** Undefined when the client is there: then nothing is awaited. */
  timer: ReturnType<typeof setTimeout> | undefined;
}

interface Report {
  readonly state: ReportedState;
  readonly reason?: string;
  readonly received?: Received;
}

/** Places that are kept for clients which the signaling server sends, and what it is told of their jobs. */
export class Reservations {
  readonly #options: ReservationsOptions;
  /** By job. */
  readonly #kept = new Map<string, Reservation>();
  /** Jobs whose places were given back, by client: it may come too late, and begin all the same. */
  readonly #givenBack = new Map<string, string>();
  /** By job, in the order in which they are to be heard, until the server has noted them. */
  readonly #reports = new Map<string, Report[]>();
  #repeat: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ReservationsOptions) {
    this.#options = options;
  }

  /** Clients for whom a place is kept and who have not come. */
  get awaited(): ReadonlySet<string> {
    const awaited = [...this.#kept.values()].filter(({ timer }) => timer !== undefined);
    return new Set(awaited.map(({ client }) => client));
  }

  /** Acts on what the signaling server says of its queue; false for everything else. */
  take(message: ServerMessage): boolean {
    if (message.type === "job_offer") this.#answer(message);
    else if (message.type === "job_release") this.#release(message.job);
    else if (message.type === "job_noted") this.#noted(message.job, message.state);
    else return false;
    return true;
  }

  /** A client is being served: it takes what is kept for it. */
  come(client: string): void {
    for (const kept of this.#of(client)) this.#stopWaiting(kept);
  }

  /** A client's job has begun; with what came over the data channel for it. */
  begun(client: string, job: BegunJob, received: Received | undefined): void {
    const kept = this.#kept.get(job.id);
    const own = kept?.client === client ? kept : this.#of(client)[0];
    const queued = own?.job ?? this.#givenBack.get(client);
    this.#givenBack.delete(client);
    if (queued === undefined) return;
    if (own) this.#forget(own);
    this.#report(queued, { state: "running", ...(received && { received }) });
    void job.ended.then(() => {
      const { state } = job.facts;
      const end = state === "complete" ? "done" : state === "cancelled" ? "cancelled" : "failed";
      this.#report(queued, { state: end, reason: `the job is ${state}` });
    });
  }

  /** A client has left; what is kept for it is so no more. */
  left(client: string): void {
    for (const kept of this.#of(client)) this.#giveBack(kept, "its client left and began no job");
  }

  /** Keeps no place any more. */
  releaseAll(reason: string): void {
    for (const kept of [...this.#kept.values()]) this.#giveBack(kept, reason);
  }

  /** Says again what the server has not noted: it may have been restarted. */
  repeat(): void {
    clearTimeout(this.#repeat);
    this.#repeat = undefined;
    for (const [job, reports] of this.#reports) for (const report of reports) this.#say(job, report);
    if (this.#reports.size > 0) this.#repeat = setTimeout(() => this.repeat(), REPEAT_MS);
  }

  /** Forgets everything: the server and its queue are others now. */
  close(): void {
    clearTimeout(this.#repeat);
    for (const { timer } of this.#kept.values()) clearTimeout(timer);
    this.#kept.clear();
    this.#givenBack.clear();
    this.#reports.clear();
  }

  #answer({ job: { id, kind }, client, hold_s }: JobOffer): void {
    const known = this.#kept.has(id);
    const reason = known ? undefined : this.#options.refusal();
    if (reason !== undefined) {
      logger.info("declined job {job}: {reason}", { job: id, reason });
      this.#options.send({ type: "job_answer", job: id, accepted: false, reason });
      return;
    }
    if (!known) this.#keep(id, client, hold_s);
    logger.info("keeping a place for {client}, {kind} job {job}", { client, kind, job: id });
    this.#options.send({ type: "job_answer", job: id, accepted: true });
    this.#report(id, { state: "held" });
  }

  #keep(job: string, client: string, holdS: number): void {
    const kept: Reservation = { job, client, timer: undefined };
    const late = (): void => this.#giveBack(kept, `its client did not come within ${holdS} s`);
    if (!this.#options.isServed(client)) kept.timer = setTimeout(late, holdS * 1000);
    this.#kept.set(job, kept);
    this.#givenBack.delete(client);
    // The server has to see the place taken before it hears the answer.
    this.#options.onChange();
  }

  /** The server wants the place no more; one whose client is there may begin all the same. */
  #release(job: string): void {
    const kept = this.#kept.get(job);
    if (kept?.timer === undefined) return;
    logger.info("the place for job {job} is not needed any more", { job });
    this.#reports.delete(job);
    this.#forget(kept);
  }

  #giveBack(kept: Reservation, reason: string): void {
    logger.info("no place is kept for job {job} any more: {reason}", { job: kept.job, reason });
    this.#forget(kept);
    this.#givenBack.set(kept.client, kept.job);
    dropOldest(this.#givenBack);
    this.#report(kept.job, { state: "released", reason });
  }

  #forget(kept: Reservation): void {
    this.#stopWaiting(kept);
    this.#kept.delete(kept.job);
    this.#options.onChange();
  }

  #stopWaiting(kept: Reservation): void {
    clearTimeout(kept.timer);
    kept.timer = undefined;
  }

  #of(client: string): Reservation[] {
    return [...this.#kept.values()].filter((kept) => kept.client === client);
  }

  #report(job: string, report: Report): void {
    const reports = this.#reports.get(job) ?? [];
    this.#reports.set(job, [...reports, report]);
    dropOldest(this.#reports);
    this.#say(job, report);
    this.#repeat ??= setTimeout(() => this.repeat(), REPEAT_MS);
  }

  #say(job: string, report: Report): void {
    this.#options.send({ type: "job_report", job, ...report });
  }

  /** Reports are noted in their order. */
  #noted(job: string, state: ReportedState): void {
    const reports = this.#reports.get(job) ?? [];
    const left = reports.slice(reports.findIndex((report) => report.state === state) + 1);
    if (left.length > 0) this.#reports.set(job, left);
    else this.#reports.delete(job);
  }
}

function dropOldest(jobs: Map<string, unknown>): void {
  const [oldest] = jobs.keys();
  if (jobs.size > MAX_REMEMBERED && oldest !== undefined) jobs.delete(oldest);
}
