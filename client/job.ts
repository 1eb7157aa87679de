/** One job from the choice of a worker to its results at home. */
import { join, resolve } from "node:path";
import type { Config } from "../config/load.ts";
import { errorText } from "../config/user_error.ts";
import type { PackageType } from "../protocol/message.ts";
import { deletePeer, type SignalingClient } from "../signaling/client.ts";
import { StorageConfig } from "../storage/backend.ts";
import { downloadTree, withStore } from "../storage/object_store.ts";
import { StorageResolver } from "../storage/resolver.ts";
import { workerInfo } from "./choose_worker.ts";
import { type Connection, connectTo } from "./connect.ts";
import { Conversation } from "./conversation.ts";
import { followJob, type JobEnd } from "./follow.ts";
import { JobFailedError, RefusedError } from "./job_error.ts";
import { type Attempt, backendOrder, checkWishes, planSubmission } from "./plan.ts";
import { fetchFromInbox, fetchFromStorage, firstFolder } from "./results.ts";
import { type ChoiceFlags, chooseWorker, enterRoom, type RoomFlags } from "./room.ts";
import { untilBegun } from "./resubmit.ts";
import type { Screen, Summary } from "./screen.ts";
import { newJobId, type Started, type Submission, submit } from "./submit.ts";

const NO_SECRET = "no room secret is set: the signaling server is trusted to lead to the worker itself";

/** A job as the command line gives it. */
export interface JobRequest extends RoomFlags, ChoiceFlags {
  kind: PackageType;
  /** Absolute path of the package. */
  packagePath: string;
  /** The package is a folder, and this its script; undefined for a ZIP. */
  script: string | undefined;
  /** Absolute, existing folder that results go to. */
  outputDir: string;
  storageBackend: string | undefined;
  userSubdir: string | undefined;
}

/** Where a worker stands and what it has. */
interface Target {
  peerId: string;
  backends: readonly string[] | undefined;
}

/**
 * Enters a room, chooses a worker, connects to it, and leaves again when `body` is done.
 * Throws `UserError`s for everything that keeps the two apart, the abort reason, what `body` throws.
 */
export async function withWorker<Result>(
  flags: RoomFlags & ChoiceFlags & { storageBackend?: string | undefined },
  config: Config,
  screen: Screen,
  signal: AbortSignal,
  body: (connection: Connection, target: Target) => Promise<Result>,
): Promise<Result> {
  const { signaling, worker } = await enterRoom(config, flags, signal);
  let connection: Connection | undefined;
  try {
    const wanted = backendOrder(StorageConfig.fromConfig(config), flags.storageBackend);
    const onInfo = (text: string): void => screen.show({ event: "info", text });
    const target = worker === undefined
      ? await chooseWorker(signaling, flags, wanted, onInfo, signal)
      : await sessionWorker(signaling, worker);
    screen.show({ event: "worker", worker: target.peerId, backends: target.backends ?? null });
    const { connectionTimeout, roomSecret, iceServers, relayOnly } = config;
    if (roomSecret === undefined && !isLocal(config.signalingWebsocket)) onInfo(NO_SECRET);
    const options = { timeoutMs: connectionTimeout * 1000, roomSecret, iceServers, relayOnly, onInfo };
    connection = await connectTo(signaling, target.peerId, options, signal);
    return await body(connection, target);
  } finally {
    await connection?.close();
    signaling.close();
    await deletePeer(config.signalingHttp, signaling.peerId);
  }
}

/**
 * Submits a job and follows it to its end. The summary says how it went; also shown when the job failed.
 * Throws `UserError`s for everything that kept the job from running, the abort reason.
 */
export async function runClientJob(
  request: JobRequest,
  config: Config,
  screen: Screen,
  signal: AbortSignal,
): Promise<Summary> {
  const began = performance.now();
  const storage = StorageConfig.fromConfig(config);
  const { storageBackend: preferredBackend, userSubdir } = request;
  // A wrong backend or folder is told before anything is connected.
  checkWishes({ storage, preferredBackend, userSubdir });
  const inbox = await Deno.makeTempDir({ dir: request.outputDir, prefix: ".sleap-rtc-inbox-" });
  /** Over connections whose worker was lost. */
  let lostBytes = 0;
  const tryOnce = (flags: RoomFlags & ChoiceFlags): Promise<Summary> =>
    withWorker(
      { ...flags, storageBackend: request.storageBackend },
      config,
      screen,
      signal,
      async (connection, target) => {
        const attempts = await plan(request, config, storage, target);
        const job = new ClientJob(
          request,
          connection,
          new StorageResolver(storage),
          screen,
          inbox,
          began,
          signal,
        );
        const { pipe } = connection;
        try {
          const summary = await job.run(attempts, target.peerId);
          return { ...summary, channel_bytes: summary.channel_bytes + lostBytes };
        } finally {
          lostBytes += pipe.bytesSent + pipe.bytesReceived;
        }
      },
    );
  try {
    return await untilBegun(tryOnce, request, screen, signal);
  } finally {
    await Deno.remove(inbox, { recursive: true });
  }
}

/** Whether a server runs on this very machine. */
function isLocal(url: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(new URL(url).hostname);
}

/** What the room tells of a session string's worker, if anything. */
async function sessionWorker(signaling: SignalingClient, peerId: string): Promise<Target> {
  const peers = await signaling.discover({}).catch(() => []);
  const known = peers.find((peer) => peer.peer_id === peerId);
  return known ? workerInfo(known) : { peerId, backends: undefined };
}

function plan(
  request: JobRequest,
  config: Config,
  storage: StorageConfig,
  target: Target,
): Promise<Attempt[]> {
  return planSubmission({
    packagePath: request.packagePath,
    isFolder: request.script !== undefined,
    storage,
    legacyRoot: config.sharedStorageRoot,
    workerBackends: target.backends,
    preferredBackend: request.storageBackend,
    userSubdir: request.userSubdir,
  });
}

/** The attempts of one job over one connection. */
class ClientJob {
  /** A new one for each attempt, so that late words about an abandoned one are told apart. */
  #jobId = newJobId();
  readonly #conversation: Conversation;
  #startedAfter: number | null = null;

  constructor(
    private readonly request: JobRequest,
    private readonly connection: Connection,
    private readonly resolver: StorageResolver,
    private readonly screen: Screen,
    private readonly inbox: string,
    private readonly began: number,
    private readonly signal: AbortSignal,
  ) {
    this.#conversation = new Conversation(connection.pipe);
  }

  /** Tries one method after the other until one runs the job. Throws when none is left. */
  async run(attempts: readonly Attempt[], worker: string): Promise<Summary> {
    let refusal = "";
    for (const attempt of attempts) {
      // The legacy flow is for workers that know no backends; ours have just refused one.
      if ("legacyRoot" in attempt && this.connection.isOurs && refusal !== "") continue;
      const why = refusal === "" ? attempt.why : refusal;
      this.screen.show({ event: "method", method: attempt.method, why });
      this.#jobId = newJobId();
      let started: Started;
      try {
        started = await submit(this.#submission(), attempt);
      } catch (error) {
        if (!(error instanceof RefusedError)) throw error;
        refusal = `${attempt.method} did not work: ${error.message}`;
        this.screen.show({ event: "warning", text: refusal });
        continue;
      }
      const end = await this.#followOrTidy(attempt, started);
      if (end.type === "retry") {
        refusal = `${attempt.method} did not work: ${end.reason}`;
        await this.#tidy(started);
        continue;
      }
      return await this.#finish(attempt, started, end, worker);
    }
    throw new JobFailedError(`no method is left: ${refusal}`);
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

  /** A job that is not seen to its end leaves no copy behind, unless there are results beside it. */
  async #followOrTidy(attempt: Attempt, started: Started): Promise<JobEnd> {
    try {
      return await this.#follow(attempt);
    } catch (error) {
      const results = await firstFolder(started.resultFolders);
      await started.release();
      if (results === undefined) await this.#tidy(started);
      else this.screen.show({ event: "warning", text: `there are results in ${results}` });
      throw error;
    }
  }

  #follow(attempt: Attempt): Promise<JobEnd> {
    return followJob(this.#conversation, {
      screen: this.screen,
      jobId: this.#jobId,
      isOurs: this.connection.isOurs,
      rtc: attempt.method === "rtc",
      inbox: this.inbox,
      onStart: () => this.#startedAfter ??= this.#seconds(),
      signal: this.signal,
    });
  }

  /** Brings home what there is, also of a job that failed: finished runs are days of work. */
  async #finish(
    attempt: Attempt,
    started: Started,
    end: Exclude<JobEnd, { type: "retry" }>,
    worker: string,
  ): Promise<Summary> {
    const { outputDir } = this.request;
    const isNew = end.type === "complete" || started.jobFolder !== undefined || started.remote !== undefined;
    const folders = started.remote ? [await this.#download(started.remote)] : started.resultFolders;
    const stored = isNew ? await fetchFromStorage(folders, outputDir, this.signal) : undefined;
    const received = await fetchFromInbox(end.arrived, this.inbox, outputDir, this.signal);
    await this.#tidy(started);
    const results = stored ?? received ?? null;
    const error = end.type === "failed" ? end.text : null;
    const { bytesSent, bytesReceived } = this.connection.pipe;
    return {
      ok: error === null,
      job_id: this.#jobId,
      method: attempt.method,
      worker,
      channel_bytes: bytesSent + bytesReceived,
      connection: this.connection.facts,
      time_to_job_start_s: this.#startedAfter,
      total_s: this.#seconds(),
      results: results === null ? null : resolve(results),
      error,
    };
  }

  /** The results in an object store, in a folder of the inbox; it stays missing when there are none. */
  async #download({ store, path }: NonNullable<Started["remote"]>): Promise<string> {
    const folder = await Deno.makeTempDir({ dir: this.inbox });
    return await withStore(store, async (open) => {
      const models = `${path}/models`;
      if (!await open.exists(models, this.signal)) return join(folder, "none");
      await downloadTree(open, models, folder, this.signal);
      return folder;
    });
  }

  async #tidy({ jobFolder, remote, release }: Started): Promise<void> {
    await release();
    if (remote) {
      await withStore(remote.store, (open) => open.remove(remote.path)).catch((error: unknown) => {
        this.screen.show({ event: "warning", text: `cannot remove ${remote.path}: ${errorText(error)}` });
      });
    }
    if (jobFolder === undefined) return;
    await Deno.remove(jobFolder, { recursive: true }).catch((error: unknown) => {
      this.screen.show({ event: "warning", text: `cannot remove ${jobFolder}: ${errorText(error)}` });
    });
  }

  #seconds(): number {
    return Math.round(performance.now() - this.began) / 1000;
  }
}
