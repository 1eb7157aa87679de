import { getLogger } from "@logtape/logtape";
import { basename } from "node:path";
import { errorText, UserError } from "../config/user_error.ts";
import {
  cutText,
  type FilesMessageType,
  formatMessage,
  MAX_TEXT_BYTES,
  type Message,
  type PackageType,
  parseMessage,
} from "../protocol/message.ts";
import { Link } from "../rtc/link.ts";
import type { Pipe } from "../rtc/pipe.ts";
import { PathValidationError } from "../storage/containment.ts";
import { InsufficientSpaceError, isDiskFull } from "../storage/copy.ts";
import { type ArrivedFile, IncomingFile } from "./incoming_file.ts";
import { type ArrivedPackage, IncomingTransfer } from "./incoming_transfer.ts";
import type { JobResult, JobSettings } from "./job.ts";
import { JobRunner, stemOf } from "./job_runner.ts";
import { failureText } from "./results.ts";
import type { StorageFlow, StoragePlaces } from "./storage_flow.ts";

const logger = getLogger(["sleap-rtc", "worker", "session"]);

/** Longest job id that is taken, in characters. */
const MAX_JOB_ID = 200;
/** What stands for a job id that never came (PROTOCOL.md section 12.5). */
const NO_ID = "None";

/** What a session needs of its worker. */
export interface SessionOptions {
  /** A private folder, absolute. */
  scratch: string;
  /** The same, on the same file system, for packages whose transfer was interrupted; it outlives this process. */
  incoming: string;
  storage: StorageFlow;
  job: JobSettings;
  /** Tells the signaling server; `jobId` while busy. */
  onStatus: (status: "reserved" | "busy", jobId?: string) => void;
}

/**
 * One client's conversation, over one data channel or over a link that outlives its channels: the storage-backend flow, the legacy flow and the chunk flow of
 * PROTOCOL.md section 11, in any order, job after job. Ends when that closes; a running job ends with it.
 */
export class Session {
  readonly #pipe: Pipe;
  readonly #options: SessionOptions;
  readonly #abort = new AbortController();
  readonly #incoming: IncomingFile;
  readonly #transfer: IncomingTransfer;
  readonly #runner: JobRunner;
  /** Id of the job to come; a job takes it along. */
  #jobId = NO_ID;
  /** A `JOB_ID` came since the last `STORAGE_BACKEND`. */
  #sequenceBegun = false;
  #packageType: PackageType = "train";
  #job: Promise<void> | undefined;

  constructor(pipe: Pipe, options: SessionOptions) {
    this.#pipe = pipe;
    this.#options = options;
    const { scratch, incoming, job } = options;
    this.#incoming = new IncomingFile(scratch);
    this.#transfer = new IncomingTransfer(pipe, scratch, incoming);
    this.#runner = new JobRunner({ scratch, job, pipe, say: this.#sayText, signal: this.#abort.signal });
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
      this.#abort.abort(new UserError("the client left"));
      await this.#job;
      await this.#incoming.discard();
      await this.#transfer.interrupt();
    }
  }

  async #handle(text: string): Promise<void> {
    const { storage } = this.#options;
    const message = parseMessage(text);
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
        this.#jobId = message.id.slice(0, MAX_JOB_ID);
        return;
      case "FILE_META":
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
      case "END_OF_FILE":
        return await this.#startReceivedJob();
      case "FILES_OFFER":
        return await this.#transfer.offer(
          message.json,
          this.#job && "a job is running: no package is taken now",
        );
      case "FILES_LIST":
      case "FILES_BEGIN":
      case "FILE_END":
      case "FILES_READY":
      case "FILES_DONE":
      case "FILES_CANCEL":
        return await this.#takeAboutFiles(message);
      case "OUTPUT_DIR":
        // Runs always write to `models`, whatever is asked for (PROTOCOL.md section 11.3).
        return;
      case "MALFORMED": {
        const reason = `Malformed ${message.keyword}: ${message.reason}`;
        logger.warn("{reason}", { reason });
        return await this.#say({ type: "PATH_ERROR", text: reason });
      }
      default:
        logger.debug("ignored a message: {text}", { text: text.slice(0, 200) });
    }
  }

  /** About the package that comes, or the results that go. */
  async #takeAboutFiles(message: { type: FilesMessageType; json: string }): Promise<void> {
    this.#runner.take(message);
    const arrived = await this.#transfer.take(message);
    if (!arrived) return;
    try {
      this.#start((jobId) => this.#runArrivedJob(jobId, arrived));
    } catch (error) {
      await Deno.remove(arrived.folder, { recursive: true });
      throw error;
    }
  }

  async #takeBytes(bytes: Uint8Array): Promise<void> {
    // Over a link they are chunks of a transfer, over a channel those of the Python peers' stream.
    if (this.#pipe instanceof Link) return await this.#transfer.takeChunk(bytes);
    if (!this.#job) return await this.#incoming.write(bytes);
    await this.#incoming.refuse();
  }

  async #startReceivedJob(): Promise<void> {
    if (this.#job) {
      await this.#incoming.refuse();
      throw new UserError("a job is running: no file is taken before it ends");
    }
    const arrived = await this.#incoming.end();
    if (arrived) this.#start((jobId) => this.#runReceivedJob(jobId, arrived));
  }

  async #runReceivedJob(jobId: string, { path, folder }: ArrivedFile): Promise<void> {
    return await this.#runArrivedJob(jobId, { path, folder, isFolder: false });
  }

  async #runArrivedJob(jobId: string, { path, folder, isFolder }: ArrivedPackage): Promise<void> {
    const file = isFolder ? undefined : await Deno.open(path, { read: true });
    try {
      const stem = stemOf(path);
      const source = file ? { file, size: (await file.stat()).size } : { folder: path };
      const input = { source, stem, received: basename(path), kind: this.#packageType };
      const [result] = await this.#runner.run(
        input,
        (result, scratch) => this.#runner.sendResults(result, stem, scratch),
      );
      await this.#sayEnd(jobId, result, ".");
    } finally {
      file?.close();
      await Deno.remove(folder, { recursive: true });
    }
  }

  async #startStorageJob(): Promise<void> {
    const places = this.#options.storage.takePlaces();
    if (places) return this.#start((jobId) => this.#runStorageJob(jobId, places));
    const text = "Missing input or output path for shared storage job";
    await this.#say({ type: "PATH_ERROR", text });
    await this.#say({ type: "JOB_FAILED", id: this.#jobId, text });
  }

  async #runStorageJob(jobId: string, places: StoragePlaces): Promise<void> {
    const { path, source, close } = await places.open(this.#options.scratch, this.#abort.signal);
    try {
      const input = { source, stem: stemOf(path), received: places.received };
      const [result, size] = await this.#runner.run(
        input,
        (result) => places.deliver(result, this.#abort.signal),
      );
      await this.#sayEnd(jobId, result, places.outputReceived, size);
    } finally {
      close();
    }
  }

  #start(body: (jobId: string) => Promise<void>): void {
    if (this.#job) throw new UserError("a job is running: another begins when it has ended");
    const jobId = this.#jobId;
    this.#jobId = NO_ID;
    this.#options.onStatus("busy", jobId);
    logger.info("job {jobId} begins", { jobId });
    this.#job = body(jobId).catch((error: unknown) => this.#report(error, jobId)).finally(() => {
      this.#job = undefined;
      if (this.#pipe.isOpen) this.#options.onStatus("reserved");
    });
  }

  async #sayEnd(
    jobId: string,
    result: JobResult,
    path: string,
    size?: { files: number; bytes: number },
  ): Promise<void> {
    const failure = failureText(result);
    if (failure !== undefined) return await this.#say({ type: "JOB_FAILED", id: jobId, text: failure });
    logger.info("job {jobId} is complete", { jobId });
    const counts = size ? { fileCount: size.files, totalMb: Math.round(size.bytes / 1e4) / 100 } : {};
    await this.#say({ type: "JOB_COMPLETE", id: jobId, path: path || ".", ...counts });
  }

  /** Tells client and log what went wrong with a message or a job. Never throws. */
  async #report(error: unknown, jobId: string): Promise<void> {
    if (this.#abort.signal.aborted || !this.#pipe.isOpen) {
      return logger.warn("job {jobId} was stopped: {reason}", { jobId, reason: errorText(error) });
    }
    logger.error("{text}", { text: errorText(error) });
    try {
      if (error instanceof PathValidationError) {
        logger.error("{refusal}: {detail}", { refusal: error.refusal, detail: error.detail });
        await this.#say({ type: "PATH_ERROR", text: error.message });
      }
      // PROTOCOL.md section 17, item 3: this one goes without an id.
      if (isDiskFull(error)) {
        await this.#say({ type: "JOB_FAILED", text: "Disk space exhausted on shared storage" });
      } else await this.#say({ type: "JOB_FAILED", id: jobId, text: tellable(error) });
    } catch (failure) {
      logger.warn("the client could not be told: {reason}", { reason: errorText(failure) });
    }
  }

  async #say(message: Message): Promise<void> {
    const [text = ""] = cutText(formatMessage(message), MAX_TEXT_BYTES);
    await this.#sayText(text);
  }

  readonly #sayText = async (text: string): Promise<void> => {
    // A client that is gone is noticed by the loop that reads; there is nobody to tell.
    if (this.#pipe.isOpen) await this.#pipe.send(text, this.#abort.signal);
  };
}

/** What a client may read of an error: our own words; those of the system hold paths of this machine. */
function tellable(error: unknown): string {
  if (error instanceof InsufficientSpaceError) return "Insufficient disk space on the worker";
  return error instanceof UserError ? error.message : "the worker failed; its log says how";
}
