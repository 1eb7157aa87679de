import { getLogger } from "@logtape/logtape";
import { VERSION } from "../protocol/extension.ts";
import type { IceServer, Metadata, PeerInfo, ServerMessage } from "../protocol/signaling.ts";
import type { Identity, RoomKey } from "./account.ts";
import { Heartbeat, type HeartbeatTimes } from "./heartbeat.ts";
import { parseServerMessage, type Registered, registrationAnswer } from "./server_message.ts";
import { SignalingError } from "./signaling_error.ts";

const logger = getLogger(["sleap-rtc", "signaling", "client"]);

/** Pauses between attempts to reconnect: up to 1, 2, 4 … 30 s, in milliseconds. */
const FIRST_PAUSE_MS = 1_000;
const LAST_PAUSE_MS = 30_000;

/** What a peer registers with. */
export interface Registration {
  role: "worker" | "client";
  metadata: Metadata;
  /** What this peer knows beyond PROTOCOL.md, for the server. Default: nothing. */
  features?: readonly string[];
}

/** Options of {@link SignalingClient.connect}. */
export interface SignalingOptions extends Registration {
  /** WebSocket URL, used as it is. */
  url: string;
  identity: Identity;
  room: RoomKey;
  /** Milliseconds to wait for the server's answers. */
  timeoutMs: number;
  /** When a silent server is asked whether it is there. */
  heartbeat?: HeartbeatTimes;
  signal?: AbortSignal;
}

/**
 * A registered peer's end of the signaling server. It reconnects by itself, with growing pauses, under the same
 * peer id, until it is closed or the server refuses the registration; also when the server is silent for too long.
 */
export class SignalingClient {
  readonly #options: SignalingOptions;
  #socket: WebSocket | undefined;
  #metadata: Metadata;
  readonly #heartbeat: Heartbeat;
  /** Calls of {@link discover} under way. */
  #discovering = 0;
  /** Whether the next empty list of peers answers {@link #ask}. */
  #isAsked = false;
  readonly #listeners = new Set<(message: ServerMessage) => void>();
  readonly #goneListeners = new Set<() => void>();
  readonly #backListeners = new Set<() => void>();
  #closing = false;
  #pause: { timer: ReturnType<typeof setTimeout>; end: () => void } | undefined;
  #registered: Registered | undefined;
  #isRegistered = false;
  #refusal: SignalingError | undefined;
  #resolveClosed!: (error: SignalingError | undefined) => void;
  /** Settles when there will be no more messages: undefined after {@link close}, the error after a refusal. */
  readonly closed: Promise<SignalingError | undefined> = new Promise((resolve) =>
    this.#resolveClosed = resolve
  );

  private constructor(options: SignalingOptions) {
    this.#options = options;
    this.#metadata = options.metadata;
    this.#heartbeat = new Heartbeat(options.heartbeat, {
      ask: () => this.#ask(),
      dead: () => {
        logger.warn("the signaling server does not answer any more; connecting anew");
        this.renew();
      },
    });
  }

  /** Connects and registers. Throws {@link SignalingError}, the abort reason. */
  static async connect(options: SignalingOptions): Promise<SignalingClient> {
    const client = new SignalingClient(options);
    await client.#open();
    return client;
  }

  /** This peer's id in the room. */
  get peerId(): string {
    return this.#options.identity.peerId;
  }

  /** Proves to the server who this peer is. */
  get idToken(): string {
    return this.#options.identity.idToken;
  }

  /** What the room is called; the server's echo, as the session string is made of it. */
  get room(): RoomKey {
    return this.#options.room;
  }

  /** STUN and TURN servers that the server tells of. */
  get iceServers(): readonly IceServer[] {
    return this.#registered?.ice_servers ?? [];
  }

  /** What the server knows beyond PROTOCOL.md; nothing for a Python server. */
  get serverFeatures(): readonly string[] {
    return this.#registered?.sleap_rtc?.features ?? [];
  }

  /** Whether the socket is open and registered at this moment. */
  get isConnected(): boolean {
    return this.#isRegistered && this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Why the server does not let this peer in any more; undefined while there is hope. */
  get refusal(): SignalingError | undefined {
    return this.#refusal;
  }

  /** Calls back for each message of the server until the returned function is called. */
  listen(listener: (message: ServerMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls back each time the socket is lost or closed, until the returned function is called. */
  listenGone(listener: () => void): () => void {
    this.#goneListeners.add(listener);
    return () => this.#goneListeners.delete(listener);
  }

  /** Calls back each time this peer is registered again, until the returned function is called. */
  listenBack(listener: () => void): () => void {
    this.#backListeners.add(listener);
    return () => this.#backListeners.delete(listener);
  }

  /** Sends a message; nothing happens while the server is away. Returns whether it was sent. */
  send(message: Record<string, unknown>): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Tells the server about changed properties; they are told again after a reconnection. */
  updateProperties(properties: Record<string, unknown>): void {
    this.#metadata = { ...this.#metadata, properties: { ...this.#metadata.properties, ...properties } };
    this.send({ type: "update_metadata", peer_id: this.peerId, metadata: { properties } });
  }

  /**
   * The peers of the room that pass the filters (PROTOCOL.md section 6), this one excepted.
   * Throws {@link SignalingError} when no answer comes in time.
   */
  async discover(filters: Record<string, unknown> = {}, timeoutMs?: number): Promise<PeerInfo[]> {
    const pick = (message: ServerMessage): PeerInfo[] | undefined =>
      message.type === "peer_list" ? message.peers : undefined;
    const answer = this.next(pick, timeoutMs);
    this.#discovering++;
    this.#discover(filters);
    return await answer.finally(() => this.#discovering--);
  }

  #discover(filters: Record<string, unknown>): void {
    this.send({ type: "discover_peers", from_peer_id: this.peerId, filters });
  }

  /** Asks for what every server answers and changes nothing: the peers that have the role of nobody. */
  #ask(): void {
    // That is answered as well, and answers cannot be told apart.
    if (this.#discovering > 0) return;
    this.#isAsked = true;
    this.#discover({ role: "nobody" });
  }

  /**
   * The first message that `pick` makes something of. Throws {@link SignalingError} when none comes within
   * `timeoutMs` milliseconds or the client closes.
   */
  next<Picked>(
    pick: (message: ServerMessage) => Picked | undefined,
    timeoutMs: number = this.#options.timeoutMs,
    signal?: AbortSignal,
  ): Promise<Picked> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        stop();
        signal?.removeEventListener("abort", aborted);
        settle();
      };
      const aborted = (): void => finish(() => reject(signal?.reason));
      const timer = setTimeout(() => {
        finish(() => reject(new SignalingError(`no answer within ${timeoutMs / 1000} s`)));
      }, timeoutMs);
      const stop = this.listen((message) => {
        const picked = pick(message);
        if (picked !== undefined) finish(() => resolve(picked));
      });
      signal?.addEventListener("abort", aborted);
      void this.closed.then((error) =>
        finish(() => reject(error ?? new SignalingError("signaling was closed")))
      );
    });
  }

  /** Connects anew, at once: for when the server does not answer, though the socket looks open. */
  renew(): void {
    const socket = this.#socket;
    // While it reconnects already there is nothing to do.
    if (this.#closing || !this.#isRegistered || socket?.readyState !== WebSocket.OPEN) return;
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
    this.#lose();
  }

  /** Leaves the room and stays away. */
  close(): void {
    this.#closing = true;
    // What the server still says is for nobody: it may have forgotten this peer before it reads the last question.
    if (this.#socket) this.#socket.onmessage = null;
    this.#heartbeat.stop();
    this.#pause?.end();
    this.#socket?.close(1000);
    this.#tellGone();
    this.#resolveClosed(undefined);
  }

  async #open(): Promise<void> {
    const { url, identity, room, role, features = [], timeoutMs, signal } = this.#options;
    signal?.throwIfAborted();
    let socket: WebSocket;
    try {
      socket = new WebSocket(url);
    } catch (error) {
      throw new SignalingError(`"${url}" is not a WebSocket URL`, { cause: error });
    }
    this.#socket = socket;
    this.#isRegistered = false;
    await new Promise<void>((resolve, reject) => {
      const fail = (error: unknown): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
        socket.onclose = null;
        socket.close();
        reject(error);
      };
      const aborted = (): void => fail(signal?.reason);
      const timer = setTimeout(() => {
        fail(
          new SignalingError(`the signaling server at ${url} did not answer within ${timeoutMs / 1000} s`),
        );
      }, timeoutMs);
      signal?.addEventListener("abort", aborted);
      socket.onopen = () =>
        this.send({
          type: "register",
          peer_id: identity.peerId,
          room_id: room.roomId,
          token: room.token,
          id_token: identity.idToken,
          role,
          metadata: this.#metadata,
          ...(features.length > 0 && { sleap_rtc: { version: VERSION, features } }),
        });
      socket.onerror = (event) => {
        const reason = event instanceof ErrorEvent && event.message ? `: ${event.message}` : "";
        fail(
          new SignalingError(`cannot reach the signaling server at ${url}${reason}`, {
            hint: "is it running, and is SLEAP_RTC_SIGNALING_WS or the [environments] section right?",
          }),
        );
      };
      socket.onclose = () => fail(new SignalingError(`the signaling server at ${url} closed the connection`));
      socket.onmessage = ({ data }) => {
        const answer = registrationAnswer(data);
        if (answer === undefined) return;
        if (answer instanceof SignalingError) return fail(answer);
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
        this.#registered = answer;
        resolve();
      };
    });
    this.#isRegistered = true;
    this.#isAsked = false;
    socket.onerror = null;
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.#lose();
    if (!this.#closing) this.#heartbeat.heard();
  }

  #lose(): void {
    this.#heartbeat.stop();
    this.#tellGone();
    void this.#reconnect();
  }

  #tellGone(): void {
    for (const listener of [...this.#goneListeners]) listener();
  }

  #receive(data: unknown): void {
    if (!this.#closing) this.#heartbeat.heard();
    const message = parseServerMessage(data);
    if (message === undefined) return;
    if (this.#isAsked && message.type === "peer_list" && message.peers.length === 0) {
      this.#isAsked = false;
      return;
    }
    // What was relayed has somebody to tell of it.
    if (message.type === "error" && message.relay === undefined) {
      logger.warn("the signaling server reports {code}: {text}", {
        code: message.code ?? "an error",
        text: message.message ?? message.reason ?? "",
      });
    }
    for (const listener of [...this.#listeners]) listener(message);
  }

  async #reconnect(): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; !this.#closing; pause = Math.min(2 * pause, LAST_PAUSE_MS)) {
      const ms = jittered(pause);
      logger.warn("the signaling server is gone; trying again in {seconds} s", {
        seconds: (ms / 1000).toFixed(1),
      });
      await new Promise<void>((end) => this.#pause = { timer: setTimeout(end, ms), end });
      clearTimeout(this.#pause?.timer);
      if (this.#closing) return;
      try {
        await this.#open();
        logger.info("registered again with the signaling server");
        for (const listener of [...this.#backListeners]) listener();
        return;
      } catch (error) {
        if (error instanceof SignalingError && error.refusal !== undefined) {
          this.#refusal = error;
          return this.#resolveClosed(error);
        }
      }
    }
  }
}

/** Something from half of a pause to all of it: the peers of a server that was away must not all come at once. */
export function jittered(pauseMs: number): number {
  return pauseMs * (0.5 + Math.random() / 2);
}
