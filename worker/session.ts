import { getLogger } from "@logtape/logtape";
import { basename } from "node:path";
import { reasonOf, UserError } from "../config/user_error.ts";
import { attachSchema } from "../protocol/jobs.ts";
import {
  cutText,
  formatMessage,
  isAboutFiles,
  MAX_TEXT_BYTES,
  type Message,
  type PackageType,
  parseMessage,
} from "../protocol/message.ts";
import { parseJson } from "../protocol/parse_json.ts";
import { Link } from "../rtc/link.ts";
import type { Pipe } from "../rtc/pipe.ts";
import { IncomingFile } from "./incoming_file.ts";
import { type ArrivedPackage, IncomingTransfer } from "./incoming_transfer.ts";
import { type Jobs, type JobSpec, NO_ID } from "./jobs.ts";
import { runArrivedJob, runStorageJob } from "./package_job.ts";
import { preflightReport } from "./preflight.ts";
import { stemOf } from "./job_runner.ts";
import { ReceivedMeter } from "./received_meter.ts";
import type { Received } from "./reservations.ts";
import { ResultsSender } from "./send_results.ts";
import { refusalText, type SessionState, verdict } from "./session_state.ts";
import type { StorageFlow } from "./storage_flow.ts";
import type { WorkerJob } from "./worker_job.ts";
import { failureMessage, refusals } from "./failure.ts";

const logger = getLogger(["sleap-rtc", "worker", "session"]);

/** Longest job id that is taken, in characters. */
const MAX_JOB_ID = 200;

/** What a session needs of its worker. */
export interface SessionOptions {
  /** A private folder, absolute. */
  scratch: string;
  /** The same, on the same file system, for packages whose transfer was interrupted; it outlives this process. */
  incoming: string;
  storage: StorageFlow;
  jobs: Jobs;
  /** Id of the client's room. */
  room: string;
  /** Whether the client can come back to its job, which goes on without it then; a Python one cannot. */
  comesBack: boolean;
  /** Whether the client said that it begins no job. */
  visits: boolean;
  /** Called when a job of this client has begun, with what came over the data channel for it. */
  onBegun?: (job: WorkerJob, received: Received | undefined) => void;
}

/**
 * One client's conversation, over one data channel or over a link that outlives its channels: the storage-backend
 * flow, the legacy flow and the chunk flow of PROTOCOL.md section 11, in any order, job after job, and looking after
 * jobs from before ("Jobs" in docs/protocol.md). What is taken when: `session_state.ts`.
 */
export class Session {
  readonly #pipe: Pipe;
  readonly #options: SessionOptions;
  readonly #abort = new AbortController();
  readonly #incoming: IncomingFile;
  readonly #transfer: IncomingTransfer;
  readonly #results: ResultsSender;
  readonly #received = new ReceivedMeter();
  /** Id of the job to come; a job takes it along. */
  #jobId = NO_ID;
  /** A `JOB_ID` came since the last `STORAGE_BACKEND`. */
  #sequenceBegun = false;
  #packageType: PackageType = "train";
  /** Whether the client has a window for the trainer's reports. */
  #hasMonitor = false;
  #job: WorkerJob | undefined;
  #isFollowing = false;
  /** Settles when the client has been told all of the jobs that it followed. */
  #told: Promise<void> = Promise.resolve();

  constructor(pipe: Pipe, options: SessionOptions) {
    this.#pipe = pipe;
    this.#options = options;
    this.#incoming = new IncomingFile(options.scratch);
    this.#transfer = new IncomingTransfer(pipe, options.scratch, options.incoming);
    this.#results = new ResultsSender(pipe, options.scratch);
  }

  /** The job that was begun here last. */
  get job(): WorkerJob | undefined {
    return this.#job;
  }

  /** Settles when the client has been told all of the jobs that it followed. */
  get told(): Promise<void> {
    return this.#told;
  }

  get #state(): SessionState {
    if (this.#isFollowing) return "following";
    return this.#options.visits ? "visiting" : "ready";
  }

  /** Serves the client until it leaves. What goes wrong is told to the client and to the log. */
  async run(): Promise<void> {
    try {
      for (let message; (message = await this.#pipe.receive()) !== undefined;) {
        try {
          if (typeof message === "string") await this.#handle(message);
          else await this.#takeBytes(message);
        } catch (error) {
          await this.#report(error, this.#jobId);
        }
      }
    } finally {
      this.#abort.abort(new UserError("the client left", { code: "CLIENT_LEFT" }));
      await this.#leaveJob();
      await this.#told;
      await this.#incoming.discard();
      await this.#transfer.interrupt();
    }
  }

  /** A client that cannot come back takes its job along. */
  async #leaveJob(): Promise<void> {
    if (!this.#job?.isRunning) return;
    if (this.#options.comesBack) {
      if (this.#job.journal.end) return;
      return logger.info("job {id} goes on without its client", { id: this.#job.id });
    }
    this.#job.cancel("the client left", "cancelled");
    await this.#job.ended;
  }

  async #handle(text: string): Promise<void> {
    const message = parseMessage(text);
    if (message.type === "MALFORMED") {
      const reason = `Malformed ${message.keyword}: ${message.reason}`;
      logger.warn("{reason}", { reason });
      return await this.#say({ type: "PATH_ERROR", text: reason });
    }
    const state = this.#state;
    const decision = verdict(message.type, state);
    if (decision === "take") return await this.#take(message);
    if (decision === "refuse") return await this.#refuse(message, state);
    logger.debug("ignored a message: {text}", { text: text.slice(0, 200) });
  }

  async #refuse(message: Message, state: SessionState): Promise<void> {
    const reason = refusalText(state);
    if (message.type === "FILES_OFFER") return await this.#transfer.offer(message.json, reason);
    if (message.type === "END_OF_FILE") await this.#incoming.refuse();
    // What was said of the job to come is done with.
    if (message.type === "SHARED_STORAGE_JOB") this.#options.storage.takePlaces();
    throw new UserError(reason, { code: "JOB_REFUSED" });
  }

  async #take(message: Message): Promise<void> {
    const { storage, scratch } = this.#options;
    if (isAboutFiles(message)) return await this.#takeAboutFiles(message);
    switch (message.type) {
      case "STORAGE_BACKEND":
        this.#sequenceBegun = false;
        return await this.#say(await storage.chooseBackend(message.name));
      case "USER_SUBDIR":
        return storage.chooseUserSubdir(message.subdir);
      case "JOB_ID":
        // A second id without a new backend begins a legacy sequence (PROTOCOL.md section 15.1, item 6).
        if (this.#sequenceBegun) storage.reset();
        this.#sequenceBegun = true;
        this.#jobId = message.id.slice(0, MAX_JOB_ID) || NO_ID;
        return;
      case "FILE_META":
        this.#hasMonitor = message.hint.toLowerCase() === "true";
        // It alone decides nothing: every storage flow announces its file as well (PROTOCOL.md section 17, item 7).
        return await this.#incoming.announce(message.name, message.size);
      case "SHARED_INPUT_PATH":
        return await this.#say(await storage.chooseInput(message.path));
      case "STORAGE_PROOF":
        return await this.#say(await storage.prove(message.json));
      case "SHARED_OUTPUT_PATH":
        return await this.#say(await storage.chooseOutput(message.path));
      case "SHARED_STORAGE_JOB":
        return await this.#startStorageJob();
      case "PACKAGE_TYPE":
        this.#packageType = message.kind;
        return;
      case "ZMQ_CTRL":
        if (this.#job) return this.#job.control(message.text);
        return logger.warn("no trainer runs that could be told anything: no job was begun here");
      case "END_OF_FILE":
        return await this.#startReceivedJob();
      case "JOBS_LIST":
        return await this.#say({
          type: "JOBS",
          json: JSON.stringify(this.#options.jobs.list(this.#options.room)),
        });
      case "PREFLIGHT":
        return await this.#say(await preflightReport(message.json, storage.backends, scratch));
      case "JOB_ATTACH":
        return await this.#attach(message.json);
      case "JOB_STOP":
      case "JOB_CANCEL":
        return await this.#endJob(message);
    }
  }

  async #takeAboutFiles(message: Extract<Message, { json: string }>): Promise<void> {
    if (!isAboutFiles(message)) return;
    if (message.type === "FILES_OFFER") return await this.#transfer.offer(message.json, undefined);
    this.#results.take(message);
    const arrived = await this.#transfer.take(message);
    if (arrived) await this.#startArrivedJob(arrived);
  }

  async #takeBytes(bytes: Uint8Array): Promise<void> {
    this.#received.count(bytes.length);
    // Over a link they are chunks of a transfer, over a channel those of the Python peers' stream.
    if (this.#pipe instanceof Link) return await this.#transfer.takeChunk(bytes);
    if (verdict("BYTES", this.#state) === "take") return await this.#incoming.write(bytes);
    await this.#incoming.refuse();
  }

  async #startReceivedJob(): Promise<void> {
    const arrived = await this.#incoming.end();
    if (arrived) await this.#startArrivedJob({ ...arrived, isFolder: false });
  }

  async #startArrivedJob(arrived: ArrivedPackage): Promise<void> {
    const kind = this.#packageType;
    try {
      // A job may have begun while the package came.
      if (this.#state !== "ready") throw new UserError(refusalText(this.#state), { code: "JOB_REFUSED" });
      await this.#start(basename(arrived.path), (job) => runArrivedJob(job, arrived, kind));
    } catch (error) {
      await Deno.remove(arrived.folder, { recursive: true });
      throw error;
    }
  }

  async #startStorageJob(): Promise<void> {
    const places = this.#options.storage.takePlaces();
    if (places) return await this.#start(basename(places.received), (job) => runStorageJob(job, places));
    const text = "Missing input or output path for shared storage job";
    await this.#say({ type: "PATH_ERROR", text });
    await this.#say({ type: "JOB_FAILED", id: this.#jobId, text });
  }

  async #start(name: string, run: JobSpec["run"]): Promise<void> {
    const { jobs, room } = this.#options;
    const hasMonitor = this.#hasMonitor;
    this.#job = await jobs.start({ id: this.#jobId, name, room, hasMonitor, run });
    this.#jobId = NO_ID;
    this.#options.onBegun?.(this.#job, this.#received.take());
    this.#follow(this.#job, 0, true);
  }

  async #attach(json: string): Promise<void> {
    const wish = parseJson(attachSchema, json);
    if (!wish) throw new UserError("JOB_ATTACH breaks the rules", { code: "INVALID_MESSAGE" });
    const job = this.#options.jobs.get(wish.id);
    if (!job) return await this.#say({ type: "JOB_UNKNOWN", id: wish.id });
    await this.#say({ type: "JOB_STATE", json: JSON.stringify(job.facts) });
    this.#follow(job, wish.after, wish.results);
  }

  async #endJob(
    { type, id }: Extract<Message, { type: "JOB_STOP" | "JOB_CANCEL" | "JOB_UNKNOWN" }>,
  ): Promise<void> {
    const job = this.#options.jobs.get(id);
    if (!job) return await this.#say({ type: "JOB_UNKNOWN", id });
    if (type === "JOB_STOP") job.stopEarly();
    else job.cancel("it was cancelled", "cancelled");
    await this.#say({ type: "JOB_STATE", json: JSON.stringify(job.facts) });
  }

  #follow(job: WorkerJob, after: number, wantsResults: boolean): void {
    this.#isFollowing = true;
    const telling = this.#tellAll(job, after, wantsResults).catch((error: unknown) => {
      this.#isFollowing = false;
      return this.#report(error, job.id);
    });
    this.#told = Promise.all([this.#told, telling]).then(() => {});
  }

  /** Tells the client what happened and happens in a job; results go before the word that it is over. */
  async #tellAll(job: WorkerJob, after: number, wantsResults: boolean): Promise<void> {
    const { signal } = this.#abort;
    for await (const { seq, text, end } of job.journal.read(after, signal)) {
      if (end) {
        if (wantsResults) await this.#sendResults(job);
        // Who hears of the end may begin the next job at once, also one with the same id.
        await job.ended;
        this.#isFollowing = false;
      }
      if (this.#options.comesBack) await this.#sayText(formatMessage({ type: "JOB_EVENT", seq, text }));
      else if (!isTakenForOutput(text, job)) await this.#sayText(text);
    }
  }

  async #sendResults(job: WorkerJob): Promise<void> {
    await job.hold(async () => {
      const results = await job.results();
      if (!results) return;
      const { header } = job.journal;
      await this.#results.send(results, { stem: stemOf(header.name), job: header }, this.#abort.signal);
      await job.dropResults();
    });
  }

  /** Tells client and log what went wrong with a message. Never throws. */
  async #report(error: unknown, jobId: string): Promise<void> {
    if (this.#abort.signal.aborted || !this.#pipe.isOpen) {
      return logger.debug("the client left: {reason}", reasonOf(error));
    }
    logger.error("{reason}", reasonOf(error));
    try {
      for (const message of [...refusals(error), failureMessage(error, jobId)]) await this.#say(message);
    } catch (failure) {
      logger.warn("the client could not be told: {reason}", reasonOf(failure));
    }
  }

  async #say(message: Message): Promise<void> {
    const [text = ""] = cutText(formatMessage(message), MAX_TEXT_BYTES);
    await this.#sayText(text);
  }

  async #sayText(text: string): Promise<void> {
    // A client that is gone is noticed by the loop that reads; there is nobody to tell.
    if (this.#pipe.isOpen) await this.#pipe.send(text, this.#abort.signal);
  }
}

/** Whether a Python client would take it for output of the job: it knows no results, and reports only with a window. */
function isTakenForOutput(text: string, { hasMonitor }: WorkerJob): boolean {
  const { type } = parseMessage(text);
  return type === "JOB_RESULTS" || (type === "PROGRESS_REPORT" && !hasMonitor);
}
