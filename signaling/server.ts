import type { Hono } from "hono";
import { getLogger } from "@logtape/logtape";
import { UserError } from "../config/user_error.ts";
import { type IceServer, iceServerSchema } from "../protocol/signaling.ts";
import { SocketConnection } from "./connection.ts";
import { createHttpApi } from "./http.ts";
import { Metrics } from "./metrics.ts";
import { RelayPace } from "./relay_pace.ts";
import type { Connection } from "./room.ts";
import { Rooms } from "./rooms.ts";
import { route } from "./route.ts";
import type { ServerState } from "./state.ts";
import { MemoryStore, type Store } from "./store.ts";
import { Tokens } from "./token.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** Port of the HTTP API unless told otherwise. Source: PROTOCOL.md section 1. */
export const DEFAULT_HTTP_PORT = 8001;
/** Port of the WebSocket unless told otherwise. Source: PROTOCOL.md section 1. */
export const DEFAULT_WS_PORT = 8080;

/** Seconds. A Python worker answers no ping while it packs, which takes minutes. Source: PROTOCOL.md section 3.4. */
const IDLE_TIMEOUT_S = 600;
const MAX_CONNECTIONS = 10_000;
/** How long peers have to answer the close of their socket at shutdown, in milliseconds. */
const CLOSE_WAIT_MS = 1000;
const GOING_AWAY = 1001;

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
  /** Closes all sockets with code 1001 and stops; done when the ports are free. */
  shutdown(): Promise<void>;
  /** Settles when the server has stopped. */
  readonly finished: Promise<void>;
}

/**
 * Starts a signaling server; both its ports take the HTTP API and WebSockets at any path.
 * Throws {@link UserError} when it cannot listen. Source: PROTOCOL.md sections 2 to 8.
 */
export async function startSignaling(options: SignalingOptions = {}): Promise<SignalingServer> {
  const { hostname = "0.0.0.0", httpPort = DEFAULT_HTTP_PORT, wsPort = DEFAULT_WS_PORT, signal } = options;
  const hub = new Hub(await createState(options));
  const http = listen(hub, hostname, httpPort);
  let ws = http;
  try {
    if (httpPort === 0 || httpPort !== wsPort) ws = listen(hub, hostname, wsPort);
  } catch (error) {
    http.force.abort();
    await http.server.finished;
    throw error;
  }
  const { promise: finished, resolve } = Promise.withResolvers<void>();
  const listeners = [...new Set([http, ws])];
  let stopping: Promise<void> | undefined;
  const shutdown = (): Promise<void> => stopping ??= stop(hub, listeners).then(resolve);
  signal?.addEventListener("abort", shutdown, { once: true });
  void finished.then(() => signal?.removeEventListener("abort", shutdown));
  if (signal?.aborted) await shutdown();
  const host = urlHost(hostname);
  return {
    httpUrl: `http://${host}:${http.server.addr.port}`,
    wsUrl: `ws://${host}:${ws.server.addr.port}`,
    shutdown,
    finished,
  };
}

async function createState(options: SignalingOptions): Promise<ServerState> {
  const rooms = new Rooms();
  const store = options.store ?? new MemoryStore();
  return {
    rooms,
    tokens: await Tokens.open(store),
    // Parsed again, which takes unknown keys away: they would end a Python client.
    iceServers: (options.iceServers ?? []).map((server) => iceServerSchema.parse(server)),
    relayPace: new RelayPace(options.relayLimit),
    now: Date.now,
    metrics: new Metrics(rooms),
    store,
  };
}

interface Listener {
  readonly server: Deno.HttpServer<Deno.NetAddr>;
  /** Ends the server without waiting for the requests at hand. */
  readonly force: AbortController;
}

/** What both listeners hand their requests to. */
class Hub {
  readonly #connections = new Set<SocketConnection>();
  readonly #state: ServerState;
  readonly #api: Hono;
  readonly #empty = Promise.withResolvers<void>();
  #isStopping = false;

  constructor(state: ServerState) {
    this.#state = state;
    this.#api = createHttpApi(state);
  }

  fetch(request: Request): Response | Promise<Response> {
    const isUpgrade = request.headers.get("upgrade")?.toLowerCase() === "websocket";
    return isUpgrade ? this.#upgrade(request) : this.#api.fetch(request);
  }

  /** Closes all sockets and takes no new ones; done when the peers have answered or are abandoned. */
  closeAll(): Promise<void> {
    this.#isStopping = true;
    for (const connection of this.#connections) connection.close(GOING_AWAY, "server is shutting down");
    if (this.#connections.size === 0) this.#empty.resolve();
    return this.#empty.promise;
  }

  abandonAll(): void {
    this.#empty.resolve();
  }

  #upgrade(request: Request): Response {
    if (this.#isStopping || this.#connections.size >= MAX_CONNECTIONS) {
      return Response.json({ detail: "Too many connections" }, { status: 503 });
    }
    let upgraded: Deno.WebSocketUpgrade;
    try {
      upgraded = Deno.upgradeWebSocket(request, { idleTimeout: IDLE_TIMEOUT_S });
    } catch {
      return Response.json({ detail: "Not a WebSocket handshake" }, { status: 400 });
    }
    this.#connect(upgraded.socket);
    return upgraded.response;
  }

  #connect(socket: WebSocket): void {
    const { rooms, metrics } = this.#state;
    const connection = new SocketConnection(socket, {
      message: (from: Connection, text: string): Promise<void> => {
        return route(this.#state, from, text);
      },
      error: (code): void => metrics.errors.inc({ code }),
      closed: (): void => {
        metrics.openConnections--;
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
  }
}

function listen(hub: Hub, hostname: string, port: number): Listener {
  const force = new AbortController();
  const options = { hostname, port, signal: force.signal, onListen: () => {} };
  try {
    return { server: Deno.serve(options, (request) => hub.fetch(request)), force };
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new UserError(`port ${port} is in use`, {
        hint: "stop the program that uses it, or choose another port; 0 takes any free one",
        cause: error,
      });
    }
    throw new UserError(`cannot listen at ${hostname}, port ${port}: ${String(error)}`, {
      hint: "check the address and that you may use the port; ports below 1024 may need rights",
      cause: error,
    });
  }
}

async function stop(hub: Hub, listeners: readonly Listener[]): Promise<void> {
  const deadline = setTimeout(() => hub.abandonAll(), CLOSE_WAIT_MS);
  await hub.closeAll();
  clearTimeout(deadline);
  // Not the graceful way, which would wait for a request that never ends and cannot be forced any more.
  for (const { force } of listeners) force.abort();
  await Promise.all(listeners.map(({ server }) => server.finished));
}

/** The address that reaches a listener from this machine. */
function urlHost(hostname: string): string {
  if (hostname === "0.0.0.0") return "127.0.0.1";
  if (hostname === "::") return "[::1]";
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
