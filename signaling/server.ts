import { getLogger } from "@logtape/logtape";
import { type IceServer, iceServerSchema } from "../protocol/signaling.ts";
import { clientAddress } from "./address.ts";
import { Cluster } from "./cluster.ts";
import { queueEvents } from "./cluster_queue.ts";
import { POLICY_VIOLATION, SocketConnection } from "./connection.ts";
import { Guard } from "./guard.ts";
import { checkAdminKey } from "./admin.ts";
import { createHttpApi } from "./http.ts";
import { type Api, tooMany } from "./http_parts.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { Metrics } from "./metrics.ts";
import { type Handler, Listener } from "./listener.ts";
import { isFromAllowedOrigin } from "./origin.ts";
import { Queue } from "./queue.ts";
import { RelayPace } from "./relay_pace.ts";
import type { Connection } from "./room.ts";
import { RoomKeeper } from "./room_keeper.ts";
import { RedisStore } from "./redis_store.ts";
import { RemoteConnection } from "./remote_connection.ts";
import { Rooms } from "./rooms.ts";
import { route } from "./route.ts";
import { logSecurity } from "./security_log.ts";
import type { ServerState } from "./state.ts";
import { MemoryStore, type Store } from "./store.ts";
import { checkTls, type Tls } from "./tls.ts";
import { Tokens } from "./token.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** Port of the HTTP API unless told otherwise. Source: PROTOCOL.md section 1. */
export const DEFAULT_HTTP_PORT = 8001;
/** Port of the WebSocket unless told otherwise. Source: PROTOCOL.md section 1. */
export const DEFAULT_WS_PORT = 8080;

/** How long peers have to answer the close of their socket at shutdown, in milliseconds. */
const CLOSE_WAIT_MS = 1000;
const GOING_AWAY = 1001;
/** What an address with too many connections is told to wait, in seconds. */
const BUSY_ADDRESS_RETRY_S = 10;

/** Where and how to serve. */
export interface SignalingOptions {
  /** Address to listen at; all by default. */
  hostname?: string;
  /** Port of the HTTP API; 0 takes any free one. */
  httpPort?: number;
  /** Port of the WebSocket; 0 takes any free one; the same as `httpPort` shares one listener. */
  wsPort?: number;
  /** Told to every peer that registers. */
  iceServers?: readonly IceServer[];
  /** How fast each peer may relay data to others, in bytes a second; 0 refuses, without a limit by default. */
  relayLimit?: number;
  /** What differs from {@link DEFAULT_LIMITS}. */
  limits?: Partial<Limits>;
  /** Web pages that may use the server; none by default. */
  origins?: readonly string[];
  /** Whether X-Forwarded-For tells where requests come from: only behind a proxy that sets it. */
  trustProxy?: boolean;
  /** Serves by HTTPS and secure WebSockets only. */
  tls?: Tls;
  /** Opens the administrator's API to who knows it; at least 16 characters. */
  adminKey?: string;
  /** Where the server remembers what outlives it; by default nothing does. Closed by who made it. */
  store?: Store;
  /** Shuts the server down. */
  signal?: AbortSignal;
}

/** A running signaling server. */
export interface SignalingServer {
  /** Base of the HTTP API, with the actual port. */
  readonly httpUrl: string;
  /** Address for WebSockets, with the actual port. */
  readonly wsUrl: string;
  /**
   * Goes on with another certificate, at the same ports; rooms stay, and peers may have to connect again.
   * Throws `ConfigError`, with nothing changed, when it is none.
   */
  renewTls(tls: Tls): Promise<void>;
  /** Closes all sockets with code 1001 and stops; done when the ports are free. */
  shutdown(): Promise<void>;
  /** Settles when the server has stopped. */
  readonly finished: Promise<void>;
}

/**
 * Starts a signaling server; both its ports take the HTTP API and WebSockets at any path.
 * Throws `UserError` when it cannot listen. Source: PROTOCOL.md sections 2 to 8.
 */
export async function startSignaling(options: SignalingOptions = {}): Promise<SignalingServer> {
  const { hostname = "0.0.0.0", httpPort = DEFAULT_HTTP_PORT, wsPort = DEFAULT_WS_PORT, signal } = options;
  const { tls } = options;
  if (tls) checkTls(tls, "the given texts");
  const state = await createState(options);
  const hub = new Hub(state);
  const handle: Handler = (request, remote) => hub.fetch(request, remote);
  let http: Listener | undefined;
  let ws: Listener;
  try {
    http = new Listener(hostname, httpPort, tls, handle);
    ws = httpPort === 0 || httpPort !== wsPort ? new Listener(hostname, wsPort, tls, handle) : http;
  } catch (error) {
    await http?.stop();
    await hub.finish();
    throw error;
  }
  const { promise: finished, resolve } = Promise.withResolvers<void>();
  const listeners = [...new Set([http, ws])];
  let stopping: Promise<void> | undefined;
  const shutdown = (): Promise<void> => stopping ??= stop(hub, state, listeners).then(resolve);
  signal?.addEventListener("abort", shutdown, { once: true });
  void finished.then(() => signal?.removeEventListener("abort", shutdown));
  if (signal?.aborted) await shutdown();
  const host = urlHost(hostname);
  const secure = tls ? "s" : "";
  return {
    httpUrl: `http${secure}://${host}:${http.port}`,
    wsUrl: `ws${secure}://${host}:${ws.port}`,
    renewTls: async (renewed): Promise<void> => {
      checkTls(renewed, "the given texts");
      if (stopping === undefined) await Promise.all(listeners.map((listener) => listener.renew(renewed)));
    },
    shutdown,
    finished,
  };
}

async function createState(options: SignalingOptions): Promise<ServerState> {
  if (options.adminKey !== undefined) checkAdminKey(options.adminKey);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const rooms = new Rooms(Date.now, limits.peersPerRoom);
  const metrics = new Metrics(rooms);
  const store = options.store ?? new MemoryStore();
  const roomKeeper = await RoomKeeper.open(store, rooms);
  const queue = createQueue(store, rooms, metrics);
  // With others, the queue starts when this server leads it.
  const cluster = store instanceof RedisStore
    ? await Cluster.open({ store, rooms, keeper: roomKeeper, events: queueEvents(queue, rooms) })
    : undefined;
  if (cluster === undefined) await queue.start([], rooms.ids());
  return {
    rooms,
    roomKeeper,
    cluster,
    tokens: await Tokens.open(store),
    // Parsed again, which takes unknown keys away: they would end a Python client.
    iceServers: (options.iceServers ?? []).map((server) => iceServerSchema.parse(server)),
    relayPace: new RelayPace(options.relayLimit),
    now: Date.now,
    metrics,
    guard: new Guard(limits, metrics),
    origins: new Set(options.origins),
    trustProxy: options.trustProxy ?? false,
    adminKey: options.adminKey,
    store,
    queue,
  };
}

function createQueue(store: Store, rooms: Rooms, metrics: Metrics): Queue {
  const queue = new Queue(store, {
    watch: {
      waited: (seconds) => metrics.queueWait.observe(seconds),
      decided: (decision) => metrics.routingDecisions.inc({ decision }),
    },
  });
  metrics.gauges("jobs", "jobs by state, the last days' ended ones included", "state", () => queue.states());
  rooms.watches.add({
    // Its own are told of when they have their answer.
    joined: (peer) => peer.connection instanceof RemoteConnection && queue.joined(peer),
    changed: (peer) => queue.changed(peer),
    left: (peer) => queue.left(peer),
  });
  return queue;
}

/** What both listeners hand their requests to. */
class Hub {
  readonly #connections = new Set<SocketConnection>();
  /** Timers of those that have yet to register. */
  readonly #unregistered = new Map<Connection, ReturnType<typeof setTimeout>>();
  readonly #state: ServerState;
  readonly #api: Api;
  readonly #empty = Promise.withResolvers<void>();
  #isStopping = false;

  constructor(state: ServerState) {
    this.#state = state;
    this.#api = createHttpApi(state);
  }

  fetch(request: Request, remote: string): Response | Promise<Response> {
    const address = clientAddress(request, remote, this.#state.trustProxy);
    if (!isFromAllowedOrigin(request, this.#state.origins)) {
      logSecurity("origin_refused", { address, origin: request.headers.get("origin") ?? "" });
      return Response.json({ detail: "Origin not allowed" }, { status: 403 });
    }
    const isUpgrade = request.headers.get("upgrade")?.toLowerCase() === "websocket";
    return isUpgrade ? this.#upgrade(request, address) : this.#api.fetch(request, { address });
  }

  /** Closes all sockets and takes no new ones; done when the peers have answered or are abandoned. */
  closeAll(): Promise<void> {
    this.#isStopping = true;
    for (const connection of this.#connections) this.#settle(connection);
    for (const connection of this.#connections) connection.close(GOING_AWAY, "server is shutting down");
    if (this.#connections.size === 0) this.#empty.resolve();
    return this.#empty.promise;
  }

  /** What is left to be done when nobody is connected any more. */
  async finish(): Promise<void> {
    await this.#state.queue.stop();
  }

  abandonAll(): void {
    this.#empty.resolve();
  }

  #upgrade(request: Request, address: string): Response {
    const { guard } = this.#state;
    if (this.#isStopping || this.#connections.size >= guard.limits.connections) {
      if (!this.#isStopping) guard.refused("connections", address);
      return Response.json({ detail: "Too many connections" }, { status: 503 });
    }
    if (!guard.open(address)) return tooMany("Too many connections from this address", BUSY_ADDRESS_RETRY_S);
    let upgraded: Deno.WebSocketUpgrade;
    try {
      upgraded = Deno.upgradeWebSocket(request, { idleTimeout: guard.limits.idleTimeout });
    } catch {
      guard.close(address);
      return Response.json({ detail: "Not a WebSocket handshake" }, { status: 400 });
    }
    this.#connect(upgraded.socket, address);
    return upgraded.response;
  }

  #connect(socket: WebSocket, address: string): void {
    const { rooms, metrics, guard } = this.#state;
    const connection = new SocketConnection(socket, address, guard.limits.messageBytes, {
      message: async (from: Connection, text: string): Promise<void> => {
        await route(this.#state, from, text);
        if (rooms.peerOf(from) !== undefined) this.#settle(from);
      },
      refused: (limit): void => guard.refused(limit, address),
      error: (code): void => metrics.errors.inc({ code }),
      closed: (): void => {
        metrics.openConnections--;
        guard.close(address);
        this.#settle(connection);
        const peer = rooms.disconnect(connection);
        if (peer) {
          logger.info("{role} {peer} left room {room}", {
            role: peer.role,
            peer: peer.peerId,
            room: peer.room.id,
          });
        }
        this.#connections.delete(connection);
        if (this.#isStopping && this.#connections.size === 0) this.#empty.resolve();
      },
    });
    metrics.openConnections++;
    metrics.connections.inc();
    this.#connections.add(connection);
    this.#expectRegistration(connection);
  }

  #expectRegistration(connection: SocketConnection): void {
    const { guard } = this.#state;
    const timer = setTimeout(() => {
      guard.refused("register_timeout", connection.address);
      connection.close(POLICY_VIOLATION, `not registered within ${guard.limits.registerTimeout} s`);
    }, guard.limits.registerTimeout * 1000);
    this.#unregistered.set(connection, timer);
  }

  #settle(connection: Connection): void {
    clearTimeout(this.#unregistered.get(connection));
    this.#unregistered.delete(connection);
  }
}

async function stop(hub: Hub, state: ServerState, listeners: readonly Listener[]): Promise<void> {
  state.roomKeeper.stop();
  const deadline = setTimeout(() => hub.abandonAll(), CLOSE_WAIT_MS);
  await hub.closeAll();
  clearTimeout(deadline);
  await state.cluster?.stop();
  await Promise.all(listeners.map((listener) => listener.stop()));
  await hub.finish();
}

/** The address that reaches a listener from this machine. */
function urlHost(hostname: string): string {
  if (hostname === "0.0.0.0") return "127.0.0.1";
  if (hostname === "::") return "[::1]";
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
