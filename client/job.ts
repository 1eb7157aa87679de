/** One job from the choice of a worker to its results at home. */
import type { ErrorCode } from "../config/error_code.ts";
import type { Config } from "../config/load.ts";
import { type JobEndState, JOBS } from "../protocol/jobs.ts";
import { formatMessage } from "../protocol/message.ts";
import { refusalCode } from "../protocol/refusal.ts";
import { StorageConfig } from "../storage/backend.ts";
import { StorageResolver } from "../storage/resolver.ts";
import type { Connection } from "./connect.ts";
import { Conversation } from "./conversation.ts";
import { followJob, type JobEnd } from "./follow.ts";
import { attachAgain, endState } from "./attach.ts";
import { bringHome, tidy } from "./bring_home.ts";
import { Detached, JobFailedError, RefusedError, WorkerLostError } from "./job_error.ts";
import type { HoldJob } from "./interrupt.ts";
import { JobLog } from "./job_log.ts";
import type { JobRecord } from "./job_records.ts";
import { stopEarly } from "./talk.ts";
import { type Attempt, checkWishes } from "./plan.ts";
import { firstFolder, withInbox } from "./results.ts";
import type { ChoiceFlags, RoomFlags } from "./room.ts";
import { untilBegun } from "./resubmit.ts";
import type { Screen, Summary } from "./screen.ts";
import { secondsSince, summarize } from "./summary.ts";
import { newJobId, type Started, type Submission, submit } from "./submit.ts";
import { type JobRequest, planFor, type Undertaking, weigh } from "./undertaking.ts";
import { type Target, withWorker } from "./with_worker.ts";

/** A worker is waited for so long, in milliseconds, to end a job that was cancelled. */
const CANCEL_LIMIT_MS = 5_000;
/** A look into a package in place waits for the job's begin, but not for longer than this, in milliseconds. */
const LOOK_WITHIN_MS = 3_000;
const CANNOT_DETACH = "the worker ends a job whose client leaves; --detach is passed over";

function mayGoOn(id: string): string {
  return `the worker did not hear of it: the job may go on; end it with: sleap-rtc-client cancel ${id}`;
}

/**
 * Submits a job and follows it to its end. The summary says how it went; also shown when the job failed. Undefined
 * when the job was left after its begin, as asked. Throws `UserError`s for everything that kept the job from running,
 * the abort reason.
 */
export async function runClientJob(
  request: JobRequest,
  config: Config,
  screen: Screen,
  signal: AbortSignal,
  hold: HoldJob,
): Promise<Summary | undefined> {
  const began = performance.now();
  const storage = StorageConfig.fromConfig(config);
  const { storageBackend: preferredBackend, userSubdir } = request;
  // A wrong backend or folder, and a way that cannot be had, are told before anything is connected.
  checkWishes({ storage, preferredBackend, userSubdir });
  const weighing = weigh(request, config, storage);
  weighing.catch(() => {});
  if (request.transfer !== "auto") await weighing;
  // A package in place is looked into beside its job, which begins as soon as without.
  void weighing.then(({ liesIn }) => liesIn.length > 0, () => false)
    .then((isInPlace) => request.preflight?.begin(isInPlace ? LOOK_WITHIN_MS : 0));
  const onKept = (text: string): void => screen.show({ event: "warning", text });
  return await withInbox(request.outputDir, onKept, (inbox) => {
    const log = new JobLog(request, screen);
    return submitPatiently({ request, config, storage, weighing, inbox, began, log, screen, signal, hold });
  });
}

/** Submits, follows, and comes back to the job, until it has ended or was left. */
async function submitPatiently(undertaking: Undertaking): Promise<Summary | undefined> {
  const { request, config, weighing, inbox, log, screen, signal, hold } = undertaking;
  /** Over connections whose worker was lost. */
  let lostBytes = 0;
  const submitOnce = (flags: RoomFlags & ChoiceFlags): Promise<Summary> =>
    withWorker(
      { ...flags, storageBackend: request.storageBackend, job: { input: request, footprint: weighing } },
      config,
      screen,
      signal,
      async (connection, target) => {
        const attempts = await planFor(undertaking, target);
        const job = new ClientJob(undertaking, connection);
        const { pipe } = connection;
        try {
          const summary = await job.run(attempts, target);
          return { ...summary, channel_bytes: summary.channel_bytes + lostBytes };
        } finally {
          lostBytes += pipe.bytesSent + pipe.bytesReceived;
        }
      },
    );
  // A job that has begun goes on without its client, if its worker lives.
  const tryOnce = (flags: RoomFlags & ChoiceFlags): Promise<Summary> =>
    submitOnce(flags).catch(async (error: unknown) => {
      if (!(error instanceof WorkerLostError) || !log.record) throw error;
      const { record } = log;
      const summary = await attachAgain(record, error, config, { inbox, screen, signal, hold })
        .catch((failure: unknown) => {
          if (signal.aborted) screen.show({ event: "warning", text: mayGoOn(record.id) });
          throw failure;
        });
      return { ...summary, channel_bytes: summary.channel_bytes + lostBytes };
    });
  try {
    return await untilBegun(tryOnce, request, screen, signal);
  } catch (error) {
    if (error instanceof Detached) return undefined;
    throw error;
  }
}

/** The attempts of one job over one connection. */
class ClientJob {
  /** A new one for each attempt, so that late words about an abandoned one are told apart. */
  #jobId = newJobId();
  readonly #conversation: Conversation;
  #startedAfter: number | null = null;
  /** Whether the package was looked into for this worker, or is. */
  #isLookedInto = false;

  private readonly request: JobRequest;
  private readonly resolver: StorageResolver;
  private readonly screen: Screen;
  private readonly inbox: string;
  private readonly began: number;
  private readonly log: JobLog;
  private readonly config: Config;
  private readonly signal: AbortSignal;
  private readonly hold: HoldJob;

  constructor(undertaking: Undertaking, private readonly connection: Connection) {
    const { request, config, storage, inbox, began, log, screen, signal, hold } = undertaking;
    [this.request, this.resolver, this.screen] = [request, new StorageResolver(storage), screen];
    [this.inbox, this.began, this.log] = [inbox, began, log];
    [this.config, this.signal, this.hold] = [config, signal, hold];
    this.#conversation = new Conversation(connection.pipe);
  }

  /** Tries one method after the other until one runs the job. Throws when none is left. */
  async run(attempts: readonly Attempt[], target: Target): Promise<Summary> {
    let refusal = "";
    let code: ErrorCode = "JOB_FAILED";
    for (const attempt of attempts) {
      // The legacy flow is for workers that know no backends; ours have just refused one.
      if ("legacyRoot" in attempt && this.connection.isOurs && refusal !== "") continue;
      if (this.#mustWait(attempt)) await this.#lookInto(attempt);
      const why = refusal === "" ? attempt.why : refusal;
      this.screen.show({ event: "method", method: attempt.method, why });
      this.#jobId = newJobId();
      let started: Started;
      try {
        started = await submit(this.#submission(), attempt);
      } catch (error) {
        if (this.signal.aborted) await this.#cancel();
        if (!(error instanceof RefusedError)) throw error;
        code = error.code;
        refusal = `${attempt.method} did not work: ${error.message}`;
        this.screen.show({ event: "warning", text: refusal });
        continue;
      }
      if (this.#comesBack) await this.log.begin(this.#jobId, attempt, started, target, this.#conversation);
      else if (this.request.detach) this.screen.show({ event: "warning", text: CANNOT_DETACH });
      const end = await this.#followOrTidy(attempt, started);
      await this.log.end(
        this.#comesBack ? await endState(this.#conversation, this.#jobId, end, this.signal) : "failed",
      );
      await started.release();
      if (end.type === "retry") {
        refusal = `${attempt.method} did not work: ${end.reason}`;
        code = refusalCode(end.reason, "JOB_FAILED");
        await tidy(started, this.screen);
        continue;
      }
      return await this.#finish(attempt, started, end, target.peerId);
    }
    throw new JobFailedError(`no method is left: ${refusal}`, { code });
  }

  /** Before bytes move; and before a job that nobody will watch. */
  #mustWait({ method }: Attempt): boolean {
    return method !== "in place" || this.request.detach === true;
  }

  async #lookInto({ method }: Attempt): Promise<void> {
    if (this.#isLookedInto) return;
    await this.request.preflight?.before(this.connection, method === "rtc");
    this.#isLookedInto = true;
  }

  /** Whether the worker goes on with a job whose client has left. */
  get #comesBack(): boolean {
    return this.connection.features.includes(JOBS);
  }

  #submission(): Submission {
    const { packagePath, script, kind, outputDir } = this.request;
    return {
      packagePath,
      script,
      kind,
      outputDir,
      jobId: this.#jobId,
      resolver: this.resolver,
      conversation: this.#conversation,
      link: this.connection.link,
      isOurs: this.connection.isOurs,
      features: this.connection.features,
      screen: this.screen,
      signal: this.signal,
    };
  }

  /**
   * A job that is cancelled, or was lost for good, leaves no copy behind, unless there are results beside it. One that
   * goes on without this client keeps all that it has.
   */
  async #followOrTidy(attempt: Attempt, started: Started): Promise<JobEnd> {
    try {
      return await this.#follow(attempt);
    } catch (error) {
      await this.log.leave();
      const cancelled = this.signal.aborted ? await this.#cancel() : undefined;
      if (cancelled) await this.log.end(cancelled);
      const results = await firstFolder(started.resultFolders);
      await started.release();
      if (results !== undefined) {
        this.screen.show({ event: "warning", text: `there are results in ${results}` });
      } else if (cancelled || !this.#comesBack) await tidy(started, this.screen);
      throw error;
    }
  }

  /**
   * A worker that goes on without its client must be told. Returns how the job has ended; undefined when that is not
   * known. Never throws.
   */
  async #cancel(): Promise<JobEndState | undefined> {
    const { pipe } = this.connection;
    if (!this.#comesBack) return "cancelled";
    const limit = AbortSignal.timeout(CANCEL_LIMIT_MS);
    try {
      await pipe.send(formatMessage({ type: "JOB_CANCEL", id: this.#jobId }), limit);
      for (let incoming; (incoming = await this.#conversation.next(undefined, limit));) {
        const { type } = incoming;
        if (type === "JOB_COMPLETE") return "complete";
        if (type === "JOB_FAILED" || type === "JOB_UNKNOWN") return "cancelled";
        if (type === "CLOSED") break;
      }
    } catch {
      // It ends the job when it hears of it, which may be later.
    }
    this.screen.show({ event: "warning", text: mayGoOn(this.#jobId) });
    return undefined;
  }

  async #follow(attempt: Attempt): Promise<JobEnd> {
    const leave = new AbortController();
    const detach = (): void => leave.abort(new Detached());
    const { preflight } = this.request;
    const looking = this.#isLookedInto
      ? undefined
      : preflight?.beside(this.#conversation, this.connection.features);
    try {
      const end = await followJob(this.#conversation, {
        screen: this.screen,
        jobId: this.#jobId,
        isOurs: this.connection.isOurs,
        rtc: attempt.method === "rtc",
        inbox: this.inbox,
        onStart: () => {
          this.#startedAfter ??= secondsSince(this.began);
          if (this.request.detach && this.#comesBack) throw new Detached();
          this.hold({
            id: this.#jobId,
            detach: this.#comesBack ? detach : undefined,
            stop: () => stopEarly(this.connection.pipe, this.#jobId, this.#comesBack),
            cancel: undefined,
          });
        },
        onResults: ({ files }) => this.log.made(files),
        signal: AbortSignal.any([this.signal, leave.signal]),
      });
      // It may have failed of what is just about to be found.
      if (end.type === "failed" && looking) await this.#hearOut(looking);
      return end;
    } finally {
      this.hold(undefined);
    }
  }

  /** Reads on until a look that is under way is over. Throws what it found: the abort reason. */
  async #hearOut(looking: Promise<void>): Promise<void> {
    const over = new AbortController();
    void looking.then(() => over.abort());
    // What comes after a job's end is for nobody else.
    let incoming;
    do incoming = await this.#conversation.next(undefined, over.signal).catch(() => undefined); while (
      incoming && incoming.type !== "CLOSED"
    );
    this.signal.throwIfAborted();
  }

  async #finish(
    attempt: Attempt,
    started: Started,
    end: Exclude<JobEnd, { type: "retry" }>,
    worker: string,
  ): Promise<Summary> {
    const { request: { outputDir }, inbox, screen, signal } = this;
    const placed: JobRecord["placed"] = [];
    const onPlaced = (name: string, path: string): void => void placed.push({ name, path });
    const results = await bringHome(started, end, { inbox, outputDir, screen, signal, onPlaced });
    await this.log.place(placed);
    return await summarize({
      job_id: this.#jobId,
      method: attempt.method,
      worker,
      results,
      files: this.#comesBack ? this.log.files : [],
      config: this.config,
      connection: this.connection,
      end,
      began: this.began,
      startedAfter: this.#startedAfter,
    });
  }
}
