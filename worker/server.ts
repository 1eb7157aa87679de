import { getLogger } from "@logtape/logtape";
import { reasonOf, UserError } from "../config/user_error.ts";
import { formatSession } from "../protocol/session_string.ts";
import { JOBS } from "../protocol/jobs.ts";
import { QUEUE } from "../protocol/queue.ts";
import type { Offer, WorkerStatus } from "../protocol/signaling.ts";
import { createRoom, deletePeer, signIn } from "../signaling/account.ts";
import { jittered, SignalingClient } from "../signaling/client.ts";
import { SignalingError } from "../signaling/signaling_error.ts";
import { pause, peerGone } from "../signaling/presence.ts";
import { StorageConfig } from "../storage/backend.ts";
import type { EngineSettings, FromEngine } from "./engine_messages.ts";
import { Jobs } from "./jobs.ts";
import { Reservations } from "./reservations.ts";
import { ServedClient } from "./served_client.ts";
import { Session } from "./session.ts";
import { StorageFlow } from "./storage_flow.ts";

const logger = getLogger(["sleap-rtc", "worker"]);

/** Pauses between attempts to find a new room: 2, 4, 8 … at most 30 s, in milliseconds. */
const FIRST_PAUSE_MS = 2_000;
const LAST_PAUSE_MS = 30_000;

/** Clients are told of a stopping worker's jobs for so long, in milliseconds. */
const FAREWELL_MS = 2_000;
/** Clients at once that come to look at jobs. */
const MAX_VISITORS = 8;

/** What a room is told of a worker while it is there. */
interface ReportedStatus {
  status: WorkerStatus;
  current_job_id: string | null;
}

/** A client that is served. */
interface Served {
  client: ServedClient;
  /** It begins no job, and takes no place. */
  visits: boolean;
  /** Undefined before it is connected. */
  session: Session | undefined;
  /** Settles when it has left. */
  left: Promise<void>;
}

/** Serves clients, each with a job at a time, until it is stopped. */
export class WorkerServer {
  readonly #settings: EngineSettings;
  readonly #tell: (message: FromEngine) => void;
  readonly #abort = new AbortController();
  readonly #storage: StorageConfig;
  #signaling: SignalingClient | undefined;
  readonly #jobs: Jobs;
  /** What the room was told last. */
  #told: ReportedStatus | undefined;
  /** Those that are served, by peer id. */
  readonly #clients = new Map<string, Served>();
  readonly #reservations = new Reservations({
    send: (message) => this.#signaling?.isConnected === true && this.#signaling.send(message),
    refusal: () => this.#refusal,
    isServed: (client) => this.#clients.get(client)?.visits === false,
    onChange: () => this.#tellStatus(),
  });
  #isDraining = false;

  constructor(settings: EngineSettings, tell: (message: FromEngine) => void) {
    this.#settings = settings;
    this.#tell = tell;
    this.#storage = new StorageConfig(settings.storage);
    const {
      jobs: folder,
      scratch,
      gpus,
      timeLimitMs,
      trainCommand,
      trackCommand,
      jobSandbox,
      jobEnvironment,
    } = settings;
    this.#jobs = new Jobs({
      folder,
      scratch,
      gpus,
      timeLimitMs,
      settings: {
        trainCommand,
        trackCommand,
        sandbox: jobSandbox,
        environment: jobEnvironment,
        killGroup: (pid, signal) => tell({ type: "killGroup", pid, signal }),
        killMarked: (mark) => tell({ type: "killMarked", mark }),
        onGroup: (pid, isRunning) => tell({ type: "group", pid, isRunning }),
      },
      onChange: () => this.#tellStatus(),
    });
  }

  /** Registers and serves until {@link stop}. Throws {@link SignalingError} when there is no way in at the start. */
  async run(): Promise<void> {
    await this.#logBackends();
    await this.#jobs.load();
    let signaling: SignalingClient | undefined = await this.#join(this.#settings.room);
    while (signaling) {
      const refused = await this.#serveRoom(signaling);
      if (!refused) break;
      logger.error("{reason}", { reason: refused.message });
      if (this.#settings.room) {
        // Clients that are served need no server any more, nor do jobs.
        await this.#served();
        await this.#jobs.idle();
        throw refused;
      }
      // Rooms end after two hours, or with their server; the worker goes on in a new one.
      logger.warn("making a new room; session strings from before no longer work");
      signaling = await this.#joinPatiently();
    }
    await this.#jobs.stop("the worker was stopped");
    await this.#served();
    if (this.#signaling) {
      const { peerId, idToken } = this.#signaling;
      await deletePeer(this.#settings.signalingHttp, peerId, idToken);
    }
  }

  /** Takes offers until stopped or refused by the server; returns the refusal. */
  async #serveRoom(signaling: SignalingClient): Promise<SignalingError | undefined> {
    this.#signaling = signaling;
    signaling.listen((message) => {
      if (message.type === "offer") void this.#takeOffer(signaling, message);
      else this.#reservations.take(message);
    });
    signaling.listenBack(() => this.#reservations.repeat());
    const stop = (): void => signaling.close();
    this.#abort.signal.addEventListener("abort", stop, { once: true });
    if (this.#abort.signal.aborted) stop();
    const refused = await signaling.closed;
    this.#abort.signal.removeEventListener("abort", stop);
    this.#reservations.close();
    return refused;
  }

  /** A new room, however long the server is away; undefined when stopped. */
  async #joinPatiently(): Promise<SignalingClient | undefined> {
    for (
      let pauseMs = FIRST_PAUSE_MS;
      !this.#abort.signal.aborted;
      pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS)
    ) {
      await pause(jittered(pauseMs), this.#abort.signal);
      try {
        return await this.#join(undefined);
      } catch (error) {
        logger.warn("{reason}", reasonOf(error));
      }
    }
    return undefined;
  }

  /** Ends running jobs, tells their clients, leaves the room, and lets {@link run} return. */
  async stop(): Promise<void> {
    this.#reservations.releaseAll("the worker is stopping");
    await this.#jobs.stop("the worker was stopped");
    const told = Promise.all([...this.#clients.values()].map(({ session }) => session?.told));
    await Promise.race([told, pause(FAREWELL_MS, this.#abort.signal)]);
    this.#abort.abort(new UserError("the worker is stopping", { code: "WORKER_STOPPING" }));
  }

  /** Begins no further job, and stops when those that run have ended. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    this.#jobs.close();
    this.#reservations.releaseAll("the worker is stopping");
    this.#tellStatus();
    const { length } = this.#jobs.running;
    if (length > 0) {
      logger.info("waiting for {count} job(s) to end; a second signal ends them", { count: length });
    }
    await this.#jobs.idle();
    // Results may still be on their way.
    await Promise.all([...this.#clients.values()].map(({ session }) => session?.told));
    await this.stop();
  }

  /** Settles when nobody is served any more. */
  async #served(): Promise<void> {
    await Promise.all([...this.#clients.values()].map(({ left }) => left));
  }

  async #logBackends(): Promise<void> {
    const names = this.#storage.listBackends();
    if (names.length === 0) {
      logger.info("no storage backend is configured: files travel over the data channel");
    }
    for (const name of names) {
      const backend = this.#storage.getBackend(name);
      const { basePath, type, description } = backend;
      const facts = { name, type, basePath, description: description === "" ? "" : ` (${description})` };
      if (await backend.isThere()) {
        logger.info("storage backend {name} [{type}]: {basePath}{description}", facts);
      } else logger.warn("storage backend {name} [{type}]: {basePath} is not there{description}", facts);
    }
    const { legacyRoot } = this.#settings;
    if (legacyRoot !== undefined) {
      logger.info("shared storage root of the legacy flow: {legacyRoot}", { legacyRoot });
    }
  }

  async #join(room: EngineSettings["room"]): Promise<SignalingClient> {
    const { signalingHttp, signalingWebsocket, connectionTimeout, properties } = this.#settings;
    const timeoutMs = connectionTimeout * 1000;
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(timeoutMs)]);
    const identity = await signIn(signalingHttp, signal);
    const key = room ?? await createRoom(signalingHttp, identity, signal);
    const signaling = await SignalingClient.connect({
      url: signalingWebsocket,
      identity,
      room: key,
      timeoutMs,
      signal: this.#abort.signal,
      role: "worker",
      features: [QUEUE],
      metadata: {
        tags: ["sleap-rtc", "training-worker", "inference-worker"],
        properties: {
          ...properties,
          status: this.#status.status,
          max_concurrent_jobs: this.#settings.maxJobs,
          labels: this.#settings.labels,
          supported_models: ["base", "centroid", "topdown"],
          supported_job_types: ["training", "inference"],
          storage_backends: this.#storage.listBackends(),
        },
      },
    });
    const session = { ...signaling.room, peerId: identity.peerId };
    this.#tell({ type: "registered", session: formatSession(session), ...session });
    return signaling;
  }

  /** Places for jobs that are taken: by clients that may begin one or are awaited, and by jobs whose client has left. */
  get #taken(): number {
    const clients = [...this.#clients.values()].filter(({ visits }) => !visits);
    const alone = this.#jobs.running.filter((job) => !clients.some(({ session }) => session?.job === job));
    const awaited = [...this.#reservations.awaited].filter((id) => this.#clients.get(id)?.visits !== false);
    return clients.length + alone.length + awaited.length;
  }

  /** Why no job is taken now; undefined when one is. */
  get #refusal(): string | undefined {
    if (this.#isDraining || this.#abort.signal.aborted) return "the worker is stopping";
    return this.#taken < this.#settings.maxJobs ? undefined : "the worker is busy";
  }

  /** What the room is told; a worker with several places is available while one is free. */
  get #status(): ReportedStatus {
    const job = this.#jobs.running.at(-1);
    const current_job_id = job?.id ?? null;
    if (this.#isDraining) return { status: "maintenance", current_job_id };
    if (this.#taken < this.#settings.maxJobs) return { status: "available", current_job_id };
    return { status: job ? "busy" : "reserved", current_job_id };
  }

  #tellStatus(): void {
    const status = this.#status;
    if (this.#abort.signal.aborted || JSON.stringify(status) === JSON.stringify(this.#told)) return;
    if (status.status === "available" && this.#told?.status !== "available") {
      logger.info("ready for the next client");
    }
    this.#told = status;
    this.#signaling?.updateProperties({ ...status });
  }

  async #takeOffer(signaling: SignalingClient, offer: Offer): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const known = this.#clients.get(offer.sender);
    if (known) return await known.client.reconnect(signaling, offer);
    const visits = offer.sleap_rtc?.purpose === "look";
    const visitors = [...this.#clients.values()].filter((each) => each.visits).length;
    const isAwaited = this.#reservations.awaited.has(offer.sender);
    const isFull = visits ? visitors >= MAX_VISITORS : !isAwaited && this.#refusal !== undefined;
    if (isFull) return this.#refuse(signaling, offer);
    const client = new ServedClient(offer.sender, this.#abort.signal, this.#settings);
    const served: Served = { client, visits, session: undefined, left: Promise.resolve() };
    this.#clients.set(offer.sender, served);
    if (!visits) this.#reservations.come(offer.sender);
    this.#tellStatus();
    served.left = this.#serve(served, signaling, offer)
      .catch((error: unknown) => logger.error("{reason}", reasonOf(error)))
      .finally(() => {
        this.#clients.delete(offer.sender);
        if (!visits) this.#reservations.left(offer.sender);
        this.#tellStatus();
      });
    await served.left;
  }

  #refuse(signaling: SignalingClient, offer: Offer): void {
    logger.info("refused {peer}: the worker is busy", { peer: offer.sender });
    // A Python client would not know what to make of it, and waits.
    if (!offer.sleap_rtc) return;
    signaling.send({
      type: "peer_message",
      from_peer_id: signaling.peerId,
      to_peer_id: offer.sender,
      payload: { app_message_type: "worker_busy" },
    });
  }

  async #serve(served: Served, signaling: SignalingClient, offer: Offer): Promise<void> {
    const { client, visits } = served;
    const { peerId } = client;
    logger.info("client {peer} is connecting", { peer: peerId });
    const pipe = await client.connect(signaling, offer);
    logger.info("client {peer} is connected", { peer: peerId });
    const { scratch, incoming, legacyRoot } = this.#settings;
    const session = new Session(pipe, {
      scratch,
      incoming,
      storage: new StorageFlow(this.#storage, legacyRoot, peerId),
      jobs: this.#jobs,
      room: signaling.room.roomId,
      comesBack: offer.sleap_rtc?.features.includes(JOBS) ?? false,
      visits,
      onBegun: (job, received) => this.#reservations.begun(peerId, job, received),
    });
    served.session = session;
    const over = new AbortController();
    const current = (): SignalingClient => this.#signaling ?? signaling;
    void peerGone(current, peerId, () => pipe.silentMs, over.signal).then(() => client.close());
    try {
      await session.run();
    } finally {
      over.abort();
      await client.close();
    }
    logger.info("client {peer} has left", { peer: peerId });
  }
}
