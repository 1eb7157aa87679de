import { getLogger } from "@logtape/logtape";
import { errorText, UserError } from "../config/user_error.ts";
import { formatSession } from "../protocol/session_string.ts";
import type { Offer, WorkerStatus } from "../protocol/signaling.ts";
import { createRoom, deletePeer, SignalingClient, SignalingError, signIn } from "../signaling/client.ts";
import { pause, peerGone } from "../signaling/presence.ts";
import { StorageConfig } from "../storage/backend.ts";
import type { EngineSettings, FromEngine } from "./engine_messages.ts";
import { ServedClient } from "./served_client.ts";
import { Session } from "./session.ts";
import { StorageFlow } from "./storage_flow.ts";

const logger = getLogger(["sleap-rtc", "worker"]);

/** Pauses between attempts to find a new room: 2, 4, 8 … at most 30 s, in milliseconds. */
const FIRST_PAUSE_MS = 2_000;
const LAST_PAUSE_MS = 30_000;

/** Serves clients, one at a time, until it is stopped. */
export class WorkerServer {
  readonly #settings: EngineSettings;
  readonly #tell: (message: FromEngine) => void;
  readonly #abort = new AbortController();
  readonly #storage: StorageConfig;
  #signaling: SignalingClient | undefined;
  #status: WorkerStatus = "available";
  #client: ServedClient | undefined;
  /** Settles when the client that is served has left. */
  #busy: Promise<void> | undefined;

  constructor(settings: EngineSettings, tell: (message: FromEngine) => void) {
    this.#settings = settings;
    this.#tell = tell;
    this.#storage = new StorageConfig(settings.storage);
  }

  /** Registers and serves until {@link stop}. Throws {@link SignalingError} when there is no way in at the start. */
  async run(): Promise<void> {
    await this.#logBackends();
    let signaling: SignalingClient | undefined = await this.#join(this.#settings.room);
    while (signaling) {
      const refused = await this.#serveRoom(signaling);
      if (!refused) break;
      logger.error("{reason}", { reason: refused.message });
      if (this.#settings.room) {
        // The client that is served needs no server any more.
        await this.#busy;
        throw refused;
      }
      // Rooms end after two hours, or with their server; the worker goes on in a new one.
      logger.warn("making a new room; session strings from before no longer work");
      signaling = await this.#joinPatiently();
    }
    await this.#busy;
    if (this.#signaling) await deletePeer(this.#settings.signalingHttp, this.#signaling.peerId);
  }

  /** Takes offers until stopped or refused by the server; returns the refusal. */
  async #serveRoom(signaling: SignalingClient): Promise<SignalingError | undefined> {
    this.#signaling = signaling;
    signaling.listen((message) => {
      if (message.type === "offer") void this.#takeOffer(signaling, message);
    });
    const stop = (): void => signaling.close();
    this.#abort.signal.addEventListener("abort", stop, { once: true });
    if (this.#abort.signal.aborted) stop();
    const refused = await signaling.closed;
    this.#abort.signal.removeEventListener("abort", stop);
    return refused;
  }

  /** A new room, however long the server is away; undefined when stopped. */
  async #joinPatiently(): Promise<SignalingClient | undefined> {
    for (
      let pauseMs = FIRST_PAUSE_MS;
      !this.#abort.signal.aborted;
      pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS)
    ) {
      await pause(pauseMs, this.#abort.signal);
      try {
        return await this.#join(undefined);
      } catch (error) {
        logger.warn("{reason}", { reason: errorText(error) });
      }
    }
    return undefined;
  }

  /** Ends a running job, leaves the room, and lets {@link run} return. */
  stop(): void {
    this.#abort.abort(new UserError("the worker is stopping"));
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
      metadata: {
        tags: ["sleap-rtc", "training-worker", "inference-worker"],
        properties: {
          ...properties,
          status: this.#status,
          max_concurrent_jobs: 1,
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

  #setStatus(status: WorkerStatus, jobId?: string): void {
    this.#status = status;
    this.#signaling?.updateProperties({ status, current_job_id: jobId ?? null });
  }

  async #takeOffer(signaling: SignalingClient, offer: Offer): Promise<void> {
    if (this.#abort.signal.aborted) return;
    if (this.#client?.peerId === offer.sender) return await this.#client.reconnect(signaling, offer);
    if (this.#client) return this.#refuse(signaling, offer);
    const client = new ServedClient(offer.sender, this.#abort.signal, this.#settings);
    this.#client = client;
    this.#busy = this.#serve(client, signaling, offer)
      .catch((error: unknown) => logger.error("{reason}", { reason: errorText(error) }))
      .finally(() => {
        this.#client = undefined;
        this.#setStatus("available");
        if (!this.#abort.signal.aborted) logger.info("ready for the next client");
      });
    await this.#busy;
  }

  #refuse(signaling: SignalingClient, offer: Offer): void {
    logger.info("refused {peer}: another client is served", { peer: offer.sender });
    // A Python client would not know what to make of it, and waits.
    if (!offer.sleap_rtc) return;
    signaling.send({
      type: "peer_message",
      from_peer_id: signaling.peerId,
      to_peer_id: offer.sender,
      payload: { app_message_type: "worker_busy" },
    });
  }

  async #serve(client: ServedClient, signaling: SignalingClient, offer: Offer): Promise<void> {
    const { peerId } = client;
    logger.info("client {peer} is connecting", { peer: peerId });
    this.#setStatus("reserved");
    const pipe = await client.connect(signaling, offer);
    logger.info("client {peer} is connected", { peer: peerId });
    const { trainCommand, trackCommand, jobEnvironment, scratch, incoming, legacyRoot } = this.#settings;
    const session = new Session(pipe, {
      scratch,
      incoming,
      storage: new StorageFlow(this.#storage, legacyRoot, peerId),
      job: {
        trainCommand,
        trackCommand,
        environment: jobEnvironment,
        killGroup: (pid, signal) => this.#tell({ type: "killGroup", pid, signal }),
        onGroup: (pid, isRunning) => this.#tell({ type: "group", pid, isRunning }),
      },
      onStatus: (status, jobId) => this.#setStatus(status, jobId),
    });
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
