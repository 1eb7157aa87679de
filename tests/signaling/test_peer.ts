import assert from "node:assert/strict";
import type { IceServer } from "../../protocol/signaling.ts";
import { type SignalingOptions, type SignalingServer, startSignaling } from "../../signaling/server.ts";
import { MemoryStore } from "../../signaling/store.ts";
import { Tokens } from "../../signaling/token.ts";

/** A JSON object as it comes from the server. */
export type Json = Record<string, unknown>;

/** A room at a server under test, and how to sign in there. */
export interface TestRoom {
  server: SignalingServer;
  roomId: string;
  token: string;
}

/** Issues tokens of a server under test: they share their store. */
const tokensOf = new WeakMap<SignalingServer, Tokens>();

/** Runs a test against a server on free ports and shuts it down. */
export async function withServer(
  test: (server: SignalingServer) => Promise<void>,
  iceServers: IceServer[] = [],
  options: SignalingOptions = {},
): Promise<void> {
  const store = options.store ?? new MemoryStore();
  const server = await startSignaling({
    hostname: "127.0.0.1",
    httpPort: 0,
    wsPort: 0,
    iceServers,
    ...options,
    store,
  });
  tokensOf.set(server, await Tokens.open(store));
  try {
    await test(server);
  } finally {
    await server.shutdown();
  }
}

/** Runs a test with a fresh room; all its peers are closed afterwards. */
export function withRoom(
  test: (room: TestRoom, join: Join) => Promise<void>,
  options: SignalingOptions = {},
): Promise<void> {
  return withServer(
    async (server) => {
      const room = await createRoom(server);
      const peers: TestPeer[] = [];
      const join: Join = async (id, fields = {}) => {
        const peer = await TestPeer.open(server.wsUrl);
        peers.push(peer);
        peer.send(await registration(room, id, fields));
        return peer;
      };
      try {
        await test(room, join);
      } finally {
        await Promise.all(peers.map((peer) => peer.close()));
      }
    },
    [],
    options,
  );
}

/** Opens a socket and sends `register`; the answer is still to be read. */
export type Join = (id: string, fields?: Json) => Promise<TestPeer>;

/** POSTs and returns status and JSON body. */
export async function post(
  url: string,
  options: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<{ status: number; body: Json }> {
  const { body, headers = {} } = options;
  const init = { method: "POST", headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
  const response = await fetch(url, init);
  return { status: response.status, body: await response.json() };
}

/** An `id_token` of a server. */
export async function signIn(server: SignalingServer): Promise<string> {
  const { body } = await post(`${server.httpUrl}/anonymous-signin`);
  return String(body["id_token"]);
}

/** A new room. */
export async function createRoom(server: SignalingServer): Promise<TestRoom> {
  const headers = { authorization: `Bearer ${await signIn(server)}` };
  const { status, body } = await post(`${server.httpUrl}/create-room`, { headers });
  assert.equal(status, 200);
  return { server, roomId: String(body["room_id"]), token: String(body["token"]) };
}

/** An `id_token` of a server of {@link withServer}, for a peer id of the test's choice. */
export async function tokenFor(server: SignalingServer, peerId: string): Promise<string> {
  const tokens = tokensOf.get(server);
  assert.ok(tokens);
  return (await tokens.issue(peerId)).idToken;
}

/** A `register` message. */
export async function registration(room: TestRoom, peerId: string, fields: Json = {}): Promise<Json> {
  const { server, roomId, token } = room;
  const idToken = await tokenFor(server, peerId);
  return { type: "register", peer_id: peerId, room_id: roomId, token, id_token: idToken, ...fields };
}

/** The other end of one socket: sends objects, reads them in order. */
export class TestPeer {
  readonly #socket: WebSocket;
  readonly #arrived: Json[] = [];
  readonly #waiting: ((message: Json) => void)[] = [];
  readonly #closed = Promise.withResolvers<CloseEvent>();

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = (event) => {
      const message: Json = JSON.parse(event.data);
      const waiting = this.#waiting.shift();
      if (waiting) waiting(message);
      else this.#arrived.push(message);
    };
    socket.onclose = (event) => this.#closed.resolve(event);
  }

  static async open(url: string): Promise<TestPeer> {
    const socket = new WebSocket(url);
    const peer = new TestPeer(socket);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return peer;
  }

  /** Settles when the socket is closed, by whichever side. */
  get closed(): Promise<CloseEvent> {
    return this.#closed.promise;
  }

  send(message: unknown): void {
    this.sendText(JSON.stringify(message));
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  sendBytes(bytes: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(bytes);
  }

  /** The next message from the server. */
  next(): Promise<Json> {
    const message = this.#arrived.shift();
    if (message !== undefined) return Promise.resolve(message);
    const arrival = new Promise<Json>((resolve) => this.#waiting.push(resolve));
    const closed = this.closed.then(({ code, reason }) => {
      throw new Error(`closed with ${code} ${reason} instead of a message`);
    });
    return Promise.race([arrival, closed]);
  }

  /** Sends a message and returns the next one that arrives. */
  ask(message: unknown): Promise<Json> {
    this.send(message);
    return this.next();
  }

  /** The ids that `discover_peers` finds. */
  async discover(id: string, filters: Json = {}): Promise<string[]> {
    const list = await this.ask({ type: "discover_peers", from_peer_id: id, filters });
    assert.equal(list["type"], "peer_list");
    const peers = list["peers"] as { peer_id: string }[];
    return peers.map((peer) => peer.peer_id);
  }

  /** That everything sent before has been handled and nothing more has arrived. */
  async assertSilent(): Promise<void> {
    const answer = await this.ask({ type: "marker" });
    assert.equal(answer["message"], "Unknown message type: marker");
  }

  async close(): Promise<void> {
    if (this.#socket.readyState < WebSocket.CLOSING) this.#socket.close();
    await this.closed;
  }
}
