/**
 * Peers that send a signaling server malformed messages, beside two that behave:
 * `signaling_fuzz.ts HTTP WEBSOCKET MESSAGES`. Its last line is a {@link FuzzFigures}.
 */
import { once } from "node:events";
// As in signaling_load.ts.
// @deno-types="@types/ws"
import { WebSocket } from "ws";
import { createRoom, type Identity, type RoomKey, signIn } from "../../signaling/account.ts";
import { Dice } from "../dice.ts";
import { malformed, type Sender } from "./malformed.ts";

/** Who sends at the same time. */
const ATTACKERS = 4;
/** Messages of one connection; then another is made, as after being thrown out. */
const BURST = 500;
/** Bursts into one room: wrong tokens close it to newcomers, and many rooms would be growth of another kind. */
const BURSTS_PER_ROOM = 20;
/** The two that behave say something so often, in milliseconds. */
const SERVED_EVERY_MS = 20;
const ANSWER_LIMIT_MS = 10_000;

/** What was sent, and how the two that behave fared. */
export interface FuzzFigures {
  messages: number;
  /** How long each message of those took, in milliseconds. */
  served_ms: number[];
  /** Those that were not delivered in time. */
  unserved: number;
}

const [http = "", websocket = "", count = "0"] = Deno.args;
const limit = AbortSignal.timeout(60_000);

/** A registered peer. */
async function join(identity: Identity, room: RoomKey): Promise<WebSocket> {
  const socket = new WebSocket(websocket);
  await once(socket, "open");
  socket.send(JSON.stringify({
    type: "register",
    peer_id: identity.peerId,
    room_id: room.roomId,
    token: room.token,
    id_token: identity.idToken,
    role: "client",
    sleap_rtc: { version: "0", features: ["queue"] },
  }));
  return socket;
}

/** Sends a burst, and waits until the server has handled it or has had enough. */
async function attack(dice: Dice, sender: Sender): Promise<void> {
  const socket = await join(sender, sender);
  const end = new Promise<void>((resolve) => {
    socket.on("close", () => resolve());
    socket.on("error", () => resolve());
    socket.on("message", (data) => {
      if (String(data).includes("message type: marker")) resolve();
    });
  });
  for (let each = 0; each < BURST && socket.readyState === WebSocket.OPEN; each++) {
    socket.send(malformed(dice, sender));
  }
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "marker" }));
  await end;
  socket.terminate();
}

async function attackAll(messages: number, strangers: readonly string[]): Promise<void> {
  let left = messages;
  const one = async (_: unknown, seed: number): Promise<void> => {
    const dice = new Dice(seed);
    for (let room: RoomKey | undefined, burst = 0; left > 0; burst++) {
      left -= BURST;
      const identity = await signIn(http, AbortSignal.timeout(60_000));
      if (burst % BURSTS_PER_ROOM === 0) room = await createRoom(http, identity, AbortSignal.timeout(60_000));
      await attack(dice, { ...identity, ...room!, strangers });
    }
  };
  await Promise.all(Array.from({ length: ATTACKERS }, one));
}

/** Two peers of a room, one of which tells the other something now and then. */
async function serve(
  over: AbortSignal,
  figures: FuzzFigures,
  peers: readonly Identity[],
  room: RoomKey,
): Promise<void> {
  const sockets = await Promise.all(peers.map(async (identity) => {
    const socket = await join(identity, room);
    // It is in the room. Whoever waited for the other first could miss it.
    await once(socket, "message");
    return socket;
  }));
  const [sender, receiver] = [sockets[0]!, sockets[1]!];
  while (!over.aborted) {
    const began = performance.now();
    const arrived = once(receiver, "message", { signal: AbortSignal.timeout(ANSWER_LIMIT_MS) });
    const [from_peer_id, to_peer_id] = peers.map(({ peerId }) => peerId);
    sender.send(JSON.stringify({ type: "peer_message", from_peer_id, to_peer_id, payload: { began } }));
    try {
      await arrived;
      figures.served_ms.push(performance.now() - began);
    } catch {
      figures.unserved++;
    }
    await new Promise((resolve) => setTimeout(resolve, SERVED_EVERY_MS));
  }
  for (const socket of [sender, receiver]) socket.close();
}

const figures: FuzzFigures = { messages: Number(count), served_ms: [], unserved: 0 };
const peers = [await signIn(http, limit), await signIn(http, limit)];
const room = await createRoom(http, peers[0]!, limit);
const over = new AbortController();
const serving = serve(over.signal, figures, peers, room);
await attackAll(figures.messages, [...peers.map(({ peerId }) => peerId), room.roomId]);
over.abort();
await serving;
console.log(JSON.stringify(figures));
