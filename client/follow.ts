import { basename, join } from "node:path";
import { WorkerLostError } from "./job_error.ts";
import { Link } from "../rtc/link.ts";
import { type JobResults, resultsSchema } from "../protocol/jobs.ts";
import { type FilesMessageType, isAboutFiles } from "../protocol/message.ts";
import { parseJson } from "../protocol/parse_json.ts";
import { FileReceiver } from "../rtc/receive.ts";
import { declineFiles, FilesReceiver, parseOffer } from "../rtc/receive_files.ts";
import { createInside } from "../storage/containment.ts";
import type { Conversation, Incoming } from "./conversation.ts";
import { RESULTS_PREFIX } from "./results.ts";
import type { Screen } from "./screen.ts";
import { StartupWatch } from "./startup_watch.ts";
import { TrainingStatus } from "./training_status.ts";

/** A Python worker that goes silent is given up after so long, in milliseconds: before the first run … */
const SILENT_START_MS = 15 * 60_000;
/** … and after the last, while it may be packing results. */
const SILENT_END_MS = 10 * 60_000;
/** How a Python worker ends a storage job that succeeded, when it has no legacy root (PROTOCOL.md section 11.1). */
const PYTHON_FALSE_FAILURE = "expected str, bytes or os.PathLike object, not NoneType";

/** How following a job is set up. */
export interface FollowOptions {
  screen: Screen;
  /** What is said of other jobs is late, and passed over. */
  jobId: string;
  isOurs: boolean;
  /** Whether results come over the channel. */
  rtc: boolean;
  /** Absolute folder, empty, into which files from the worker go. */
  inbox: string;
  /** Called when the first run begins. */
  onStart: () => void;
  /** Called with what the job has made, before its end. */
  onResults?: (results: JobResults) => void;
  signal: AbortSignal;
}

/** What came over the channel, in the inbox. */
export interface Arrived {
  /** Absolute: archives and predictions, as a channel brings them. */
  files: readonly string[];
  /** Absolute folders of results as a link brings them: runs in `models/`, predictions beside that. */
  folders: readonly string[];
}

/** How much a job has made, as its worker counts at the end. */
export interface Counts {
  files: number;
  bytes: number;
}

/** How a job ended. `retry` asks for the next method: the worker could not read the package, and nothing ran. */
export type JobEnd =
  | { type: "complete"; arrived: Arrived; counts?: Counts }
  | { type: "failed"; text: string; arrived: Arrived }
  | { type: "retry"; reason: string };

/**
 * Follows a started job to its end: shows its log and runs, and takes files into the inbox.
 * Throws {@link WorkerLostError} when the connection ends first, the abort reason, Deno's file errors.
 */
export async function followJob(conversation: Conversation, options: FollowOptions): Promise<JobEnd> {
  const follower = new Follower(conversation, options);
  try {
    for (;;) {
      const incoming = await conversation.next(follower.limitMs, options.signal);
      const end = incoming === undefined ? follower.silence() : await follower.take(incoming);
      if (end) return end;
    }
  } finally {
    await follower.close();
  }
}

/** Shows what a worker says of a job to whoever watches; how it ended is not shown here. */
export function showMessage(screen: Screen, incoming: Incoming): void {
  switch (incoming.type) {
    case "TRAIN_JOB_START":
    case "INFERENCE_JOB_START":
      return screen.show({ event: "run_started", name: incoming.name });
    case "TRAIN_JOB_END":
    case "INFERENCE_JOB_END":
      return screen.show({ event: "run_ended", name: incoming.name, exit_code: 0 });
    case "TRAIN_JOB_ERROR":
    case "INFERENCE_JOB_ERROR":
      return screen.show({ event: "run_ended", name: incoming.name, exit_code: incoming.code });
    case "PATH_ERROR":
      return screen.show({ event: "warning", text: `the worker says: ${incoming.text}` });
    case "TRACK_LOG":
      return screen.show({ event: "log", text: incoming.line });
    case "LOG":
      return screen.show({ event: "log", text: incoming.text });
  }
}

const RUN_ENDS = ["TRAIN_JOB_END", "TRAIN_JOB_ERROR", "INFERENCE_JOB_END", "INFERENCE_JOB_ERROR"] as const;

class Follower {
  readonly #conversation: Conversation;
  readonly #options: FollowOptions;
  readonly #arrived = { files: [] as string[], folders: [] as string[] };
  /** Results that come over a link. */
  #transfer: FilesReceiver | undefined;
  readonly #failedRuns: string[] = [];
  readonly #startup: StartupWatch;
  readonly #training: TrainingStatus;
  #receiver: FileReceiver | undefined;
  #announced: { name: string; size: number } | undefined;
  #pathError: string | undefined;
  #started = false;
  #runsDone = false;

  constructor(conversation: Conversation, options: FollowOptions) {
    this.#conversation = conversation;
    this.#options = options;
    this.#startup = new StartupWatch((text) => options.screen.show({ event: "info", text }));
    this.#training = new TrainingStatus((event) => options.screen.show(event));
  }

  /** How long the worker may be silent, in milliseconds; undefined for ever. */
  get limitMs(): number | undefined {
    // Our workers send keep-alives and always say how a job ended.
    if (this.#options.isOurs) return undefined;
    if (this.#runsDone) return SILENT_END_MS;
    return this.#started ? undefined : SILENT_START_MS;
  }

  silence(): JobEnd {
    const text = this.#runsDone
      ? "the runs ended, but the worker sent no results"
      : "the worker fell silent before the job began";
    return this.#failed(text);
  }

  async close(): Promise<void> {
    this.#endRun();
    await this.#receiver?.discard();
    await this.#transfer?.interrupt();
  }

  async take(incoming: Incoming): Promise<JobEnd | undefined> {
    if (isAboutFiles(incoming)) return await this.#takeAboutFiles(incoming);
    if (RUN_ENDS.some((type) => type === incoming.type)) this.#endRun();
    const end = await this.#take(incoming);
    this.#watchRun(incoming);
    return end;
  }

  async #take(incoming: Exclude<Incoming, { type: FilesMessageType }>): Promise<JobEnd | undefined> {
    switch (incoming.type) {
      case "CLOSED":
        throw new WorkerLostError(this.#started);
      case "BYTES":
        return await this.#takeBytes(incoming.bytes);
      case "FILE_META":
        await this.#receiver?.discard();
        this.#receiver = undefined;
        this.#announced = { name: incoming.name, size: incoming.size };
        return undefined;
      case "END_OF_FILE":
        return await this.#endFile();
      case "TRAIN_JOB_START":
      case "INFERENCE_JOB_START":
        showMessage(this.#options.screen, incoming);
        if (!this.#started) this.#options.onStart();
        this.#started = true;
        return undefined;
      case "TRAIN_JOB_ERROR":
      case "INFERENCE_JOB_ERROR":
        this.#failedRuns.push(`${incoming.name} (exit code ${incoming.code})`);
        showMessage(this.#options.screen, incoming);
        return undefined;
      case "TRAINING_JOBS_DONE":
      case "INFERENCE_JOBS_DONE":
        this.#runsDone = true;
        return undefined;
      case "PATH_ERROR":
        this.#pathError = incoming.text;
        showMessage(this.#options.screen, incoming);
        // Our workers say how the job ended; a Python one may say no more than this.
        return this.#options.isOurs ? undefined : this.#retry();
      case "JOB_RESULTS": {
        const results = parseJson(resultsSchema, incoming.json);
        if (results) this.#options.onResults?.(results);
        return undefined;
      }
      case "JOB_COMPLETE":
        return this.#isOther(incoming.id) ? undefined : this.#complete(countsOf(incoming));
      case "JOB_FAILED":
        return this.#isOther(incoming.id) ? undefined : this.#jobFailed(incoming.text);
      case "INFERENCE_ERROR":
        return this.#failed(incoming.text);
      default:
        showMessage(this.#options.screen, incoming);
        return undefined;
    }
  }

  /** Where the run stands that is under way. */
  #watchRun(incoming: Incoming): void {
    switch (incoming.type) {
      case "TRAIN_JOB_START":
      case "INFERENCE_JOB_START":
        this.#startup.begin(incoming.name);
        return this.#training.begin(incoming.name);
      case "LOG":
        this.#startup.end();
        return this.#training.print(incoming.text);
      case "PROGRESS_REPORT":
        this.#startup.end();
        return this.#training.report(incoming.text);
      case "TRACK_LOG":
        return this.#startup.end();
    }
  }

  /** Where the run stands that is over: what was not yet told is told before its end. */
  #endRun(): void {
    this.#startup.end();
    this.#training.end();
  }

  /** Whether a message is about an earlier job: one without an id is about this one. */
  #isOther(id: string | undefined): boolean {
    return id !== undefined && id !== "None" && id !== "" && id !== this.#options.jobId;
  }

  #complete(counts?: Counts): JobEnd {
    // A Python worker says "complete" after failed runs, too.
    if (this.#failedRuns.length > 0) return this.#failed(`runs failed: ${this.#failedRuns.join(", ")}`);
    return { type: "complete", arrived: this.#arrived, ...(counts && { counts }) };
  }

  #failed(text: string): JobEnd {
    return { type: "failed", text, arrived: this.#arrived };
  }

  #jobFailed(text: string): JobEnd {
    const success = !this.#options.isOurs && !this.#options.rtc && this.#runsDone && this.#started &&
      this.#failedRuns.length === 0 && text === PYTHON_FALSE_FAILURE;
    if (success) return this.#complete();
    return this.#retry() ?? this.#failed(text);
  }

  /** The next method, when the worker could not read the package on shared storage and nothing ran. */
  #retry(): JobEnd | undefined {
    if (this.#pathError === undefined || this.#started || this.#options.rtc) return undefined;
    return { type: "retry", reason: this.#pathError };
  }

  /** Results that come file by file. */
  async #takeAboutFiles(message: Extract<Incoming, { json: string }>): Promise<undefined> {
    if (!isAboutFiles(message)) return;
    if (message.type === "FILES_OFFER") await this.#takeOffer(message.json);
    const folder = await this.#transfer?.take(message);
    if (!folder) return;
    const target = join(this.#options.inbox, `${RESULTS_PREFIX}${this.#arrived.folders.length + 1}`);
    await folder.moveTo(target);
    this.#arrived.folders.push(target);
    this.#transfer = undefined;
  }

  async #takeOffer(json: string): Promise<void> {
    const { pipe } = this.#conversation;
    const offer = parseOffer(json);
    if (!offer) return;
    if (offer.purpose !== "results") return await declineFiles(pipe, offer, "a client takes results only");
    const { inbox, screen } = this.#options;
    await this.#transfer?.interrupt();
    this.#transfer = new FilesReceiver(pipe, offer, {
      root: inbox,
      durable: true,
      onProgress: (done, total) => screen.show({ event: "progress", what: "receiving results", done, total }),
    });
    await this.#transfer.start();
  }

  async #takeBytes(bytes: Uint8Array): Promise<undefined> {
    if (this.#conversation.pipe instanceof Link) {
      await this.#transfer?.takeChunk(bytes);
      return;
    }
    if (!this.#announced) return;
    this.#receiver ??= await this.#begin(this.#announced);
    await this.#receiver.write(bytes);
    const { name, received, size } = this.#receiver;
    this.#options.screen.show({ event: "progress", what: `receiving ${name}`, done: received, total: size });
  }

  async #begin({ name, size }: { name: string; size: number }): Promise<FileReceiver> {
    return new FileReceiver(name, size, await createInside(this.#options.inbox, basename(name)));
  }

  async #endFile(): Promise<JobEnd | undefined> {
    if (!this.#announced) return undefined;
    this.#receiver ??= await this.#begin(this.#announced);
    const path = await this.#receiver.finish();
    this.#arrived.files.push(path);
    this.#receiver = undefined;
    this.#announced = undefined;
    // In the chunk flow of a Python worker this is the end; ours says how it went.
    return this.#options.rtc && !this.#options.isOurs ? this.#complete() : undefined;
  }
}

function countsOf({ fileCount, totalMb }: { fileCount?: number; totalMb?: number }): Counts | undefined {
  if (fileCount === undefined || totalMb === undefined) return undefined;
  return { files: fileCount, bytes: Math.round(totalMb * 1e6) };
}
