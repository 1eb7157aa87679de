/**
 * Peers of one process that register, discover each other, and send each other messages through a signaling server:
 * `signaling_load.ts HTTP WEBSOCKET PEERS ROOMS MESSAGES`. Its last line is a {@link LoadFigures}.
 */
// Deno's own holds back the end of a message of more than 1,024 bytes until the other side has acknowledged its
// begin, up to 40 ms (TCP_NODELAY is off); Python's peers do not, and the server is what is measured.
// @deno-types="@types/ws"
import { WebSocket } from "ws";
import { once } from "node:events";
import { createRoom, type RoomKey, signIn } from "../../signaling/account.ts";

/** Peers that come in at a time. */
const AT_ONCE = 50;
/** Each peer sends one message in such a time, in milliseconds, at a moment of its own. */
const PERIOD_MS = 1_000;
/** What has not come by then is lost, in milliseconds. */
const LAST_WAIT_MS = 10_000;
/** About what an offer has, in characters. */
const SDP = "v=0\r\n".padEnd(1_800, "a=candidate:1 1 UDP 2122317823 192.0.2.1 49152 typ host\r\n");

/** Times in milliseconds. */
export interface LoadFigures {
  /** Connections that were lost or refused, answers of the wrong kind, messages that never came. */
  errors: number;
  register_ms: number[];
  discover_ms: number[];
  relay_ms: number[];
}

const figures: LoadFigures = { errors: 0, register_ms: [], discover_ms: [], relay_ms: [] };

interface Message {
  type: string;
  peers?: unknown[];
  sent_at?: number;
  payload?: { sent_at: number };
}

/** One socket; what is relayed to it is counted as it comes. */
class LoadPeer {
  received = 0;
  #answer: ((message: Message) => void) | undefined;

  private constructor(private readonly socket: WebSocket, readonly id: string) {
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(String(data)));
    socket.onclose = () => figures.errors++;
  }

  static async join(http: string, websocket: string, room: RoomKey): Promise<LoadPeer> {
    const { peerId, idToken } = await signIn(http, AbortSignal.timeout(60_000));
    const socket = new WebSocket(websocket);
    await once(socket, "open");
    const peer = new LoadPeer(socket, peerId);
    const began = performance.now();
    const answer = await peer.#ask({
      type: "register",
      peer_id: peerId,
      room_id: room.roomId,
      token: room.token,
      id_token: idToken,
      role: "client",
      metadata: { tags: ["sleap-rtc"], properties: { platform: "linux" } },
    });
    figures.register_ms.push(performance.now() - began);
    if (answer.type !== "registered_auth") figures.errors++;
    return peer;
  }

  async discover(expected: number): Promise<void> {
    const began = performance.now();
    const answer = await this.#ask({ type: "discover_peers", from_peer_id: this.id, filters: {} });
    figures.discover_ms.push(performance.now() - began);
    if (answer.peers?.length !== expected) figures.errors++;
  }

  /** An offer or a peer message, in turn. */
  sendTo(target: LoadPeer, turn: number): void {
    const sent_at = performance.now();
    const message = turn % 2 === 0
      ? { type: "offer", sender: this.id, target: target.id, sdp: SDP, sent_at }
      : { type: "peer_message", from_peer_id: this.id, to_peer_id: target.id, payload: { sent_at } };
    this.socket.send(JSON.stringify(message));
  }

  close(): void {
    this.socket.onclose = null;
    this.socket.close();
  }

  #ask(message: object): Promise<Message> {
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.socket.send(JSON.stringify(message));
    });
  }

  #receive(message: Message): void {
    const sentAt = message.type === "offer" ? message.sent_at : message.payload?.sent_at;
    if (sentAt !== undefined) {
      this.received++;
      figures.relay_ms.push(performance.now() - sentAt);
    } else if (message.type === "error") figures.errors++;
    else this.#answer?.(message);
  }
}

/** The peers of each room. */
async function fillRooms(
  http: string,
  websocket: string,
  peers: number,
  rooms: number,
): Promise<LoadPeer[][]> {
  const signal = AbortSignal.timeout(60_000);
  const identity = await signIn(http, signal);
  const keys: RoomKey[] = [];
  for (let each = 0; each < rooms; each++) keys.push(await createRoom(http, identity, signal));
  const filled: LoadPeer[][] = keys.map(() => []);
  for (let from = 0; from < peers; from += AT_ONCE) {
    const numbers = Array.from({ length: Math.min(AT_ONCE, peers - from) }, (_, index) => from + index);
    await Promise.all(numbers.map(async (number) => {
      filled[number % rooms]!.push(await LoadPeer.join(http, websocket, keys[number % rooms]!));
    }));
  }
  return filled;
}

async function exchange(rooms: LoadPeer[][], messages: number): Promise<void> {
  const senders = rooms.flatMap((room) => room.map((peer, place) => ({ peer, room, place })));
  await Promise.all(senders.map(async ({ peer, room, place }) => {
    await pause(Math.random() * PERIOD_MS);
    for (let turn = 0; turn < messages; turn++) {
      peer.sendTo(room[(place + 1 + turn % (room.length - 1)) % room.length]!, turn);
      await pause(PERIOD_MS);
    }
  }));
  const missing = (): number =>
    senders.length * messages - senders.reduce((sum, { peer }) => sum + peer.received, 0);
  for (const began = performance.now(); missing() > 0 && performance.now() - began < LAST_WAIT_MS;) {
    await pause(50);
  }
  figures.errors += missing();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.main) {
  const [http = "", websocket = "", ...counts] = Deno.args;
  const [peers = 0, rooms = 0, messages = 0] = counts.map(Number);
  const filled = await fillRooms(http, websocket, peers, rooms);
  // One room after the other: people do not all look at the same moment.
  for (const room of filled) await Promise.all(room.map((peer) => peer.discover(room.length - 1)));
  await exchange(filled, messages);
  for (const peer of filled.flat()) peer.close();
  console.log(JSON.stringify(figures));
}
