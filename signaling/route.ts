import { z } from "zod";
import { getLogger } from "@logtape/logtape";
import { errorText } from "../config/user_error.ts";
import { MAX_RELAY_CHARS, type RelayFailure } from "../protocol/relay.ts";
import { VERSION } from "../protocol/extension.ts";
import { QUEUE } from "../protocol/queue.ts";
import { knowledgeSchema } from "../protocol/signaling.ts";
import { MAX_UNSENT_RELAY_BYTES, POLICY_VIOLATION } from "./connection.ts";
import { matches, parseFilters } from "./discovery.ts";
import { isTooDeep, isTooLong } from "./message_shape.ts";
import { parseMetadata } from "./metadata.ts";
import { QUEUE_MESSAGES } from "./queue.ts";
import { refuse, send, sendError, sendMissing, sendTargetNotFound } from "./reply.ts";
import { type Connection, type RegisteredPeer, visiblePeers } from "./room.ts";
import { logSecurity } from "./security_log.ts";
import type { ServerState } from "./state.ts";
import { TokenError } from "./token.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** Source: the registry of RFC 6455. */
const TRY_AGAIN_LATER = 1013;
const MAX_ID_CHARS = 256;
const MAX_TOKEN_CHARS = 4096;
const id = z.string().min(1).max(MAX_ID_CHARS);
const payload = z.record(z.string(), z.unknown()).refine((object) => Object.keys(object).length > 0);

const messageSchema = z.looseObject({ type: z.unknown().optional() });
const registerSchema = z.object({
  peer_id: id,
  room_id: id,
  token: id,
  id_token: z.string().min(1).max(MAX_TOKEN_CHARS),
  role: id.catch("peer"),
  is_admin: z.boolean().catch(false),
  metadata: z.unknown().optional().transform(parseMetadata),
  sleap_rtc: knowledgeSchema.optional().catch(undefined),
});
const updateSchema = z.object({ peer_id: id, metadata: payload.transform(parseMetadata) });
const peerMessageSchema = z.object({ from_peer_id: id, to_peer_id: id, payload });
const meshFields = { from_peer_id: id, target_peer_id: id };
const meshConnectSchema = z.object({ ...meshFields, offer: payload });
const meshAnswerSchema = z.object({ ...meshFields, answer: payload });
const iceCandidateSchema = z.object({ ...meshFields, candidate: payload });
const relayedSchema = z.object({ sender: id, target: id });
const relaySchema = z.object({ sender: id, target: id, data: z.string() });
const refusalSchema = z.object({ target: id });

/** What this server knows beyond PROTOCOL.md. */
const SERVER_FEATURES: readonly string[] = [QUEUE];

/** One message as it arrived: parsed once, its text kept so that it can be relayed unchanged. */
interface Incoming {
  readonly connection: Connection;
  readonly state: ServerState;
  readonly message: z.infer<typeof messageSchema>;
  readonly text: string;
}

type Handler = (incoming: Incoming) => void | Promise<void>;

const handlers = new Map<unknown, Handler>([
  ["register", register],
  ["discover_peers", discoverPeers],
  ["update_metadata", updateMetadata],
  ["peer_message", relayPeerMessage],
  ["offer", relayUnchanged],
  ["answer", relayUnchanged],
  ["candidate", relayUnchanged],
  ["quit", relayUnchanged],
  ["relay", relayData],
  ["mesh_connect", relayMeshConnect],
  ["mesh_answer", relayMeshAnswer],
  ["ice_candidate", relayIceCandidate],
  ["error", relayRefusal],
  ...QUEUE_MESSAGES.map((type): [string, Handler] => [type, handleQueued]),
]);

/**
 * Handles one text frame of a connection; the caller waits for one before it hands over the next. What is wrong with
 * the message is told to the sender. Source: PROTOCOL.md section 3.
 */
export async function route(state: ServerState, connection: Connection, text: string): Promise<void> {
  const message = messageSchema.safeParse(parseJson(text));
  const type = message.success ? message.data.type : undefined;
  const handler = handlers.get(type);
  // Only known types: a stranger's words would make a metric each.
  state.metrics.messages.inc({ type: handler && typeof type === "string" ? type : "unknown" });
  if (!isWithinRate(state, connection, type, text)) return;
  if (!message.success) return sendError(connection, "INVALID_JSON", "Invalid JSON format");
  if (isTooLong(type, text)) return sendError(connection, "INVALID_MESSAGE", "Message too large");
  if (isTooDeep(message.data)) return sendError(connection, "INVALID_MESSAGE", "Message nested too deeply");
  await (handler ?? rejectUnknown)({ connection, state, message: message.data, text });
}

/** Ends a connection that sends too much. Relayed data has its own pace, for those who are in a room. */
function isWithinRate(state: ServerState, connection: Connection, type: unknown, text: string): boolean {
  if (type === "relay" && state.rooms.peerOf(connection) !== undefined) return true;
  if (state.guard.message(connection, text.length)) return true;
  connection.close?.(POLICY_VIOLATION, "too many messages");
  return false;
}

async function register({ connection, state, message }: Incoming): Promise<void> {
  const parsed = registerSchema.safeParse(message);
  if (!parsed.success) return refuse(connection, "Missing required fields during registration.");
  const request = parsed.data;
  if (!await isGenuine(state, connection, request)) return;
  if (!await knowsRoom(state, connection, request.room_id)) return;
  const result = state.rooms.register(connection, {
    peerId: request.peer_id,
    roomId: request.room_id,
    token: request.token,
    role: request.role,
    metadata: request.metadata,
    isAdmin: request.is_admin,
    features: request.sleap_rtc?.features ?? [],
  });
  if ("refusal" in result) {
    logger.info("registration of {peer} refused: {reason}", {
      peer: request.peer_id,
      reason: result.refusal,
    });
    if (result.refusal === "Invalid token") {
      logSecurity("room_token_wrong", { ...from(connection), peer: request.peer_id, room: request.room_id });
    }
    if (result.refusal === "Room is full") state.guard.refused("peers_per_room", connection.address ?? "");
    return refuse(connection, result.refusal);
  }
  const { peer, conflictingAdmin } = result;
  logger.info("{role} {peer} is in room {room}", { role: peer.role, peer: peer.peerId, room: peer.room.id });
  if (conflictingAdmin !== null) {
    send(connection, { type: "admin_conflict", room_id: peer.room.id, current_admin: conflictingAdmin });
  }
  send(connection, {
    ...registeredAuth(peer, state),
    // A Python client gets no key that it does not know.
    ...(request.sleap_rtc && { sleap_rtc: { version: VERSION, features: SERVER_FEATURES } }),
  });
  state.queue.joined(peer);
}

/** Whether the id token is good and the peer's own; what is wrong is told. Who has a token speaks for its user alone. */
async function isGenuine(
  state: ServerState,
  connection: Connection,
  { id_token, peer_id }: z.infer<typeof registerSchema>,
): Promise<boolean> {
  const event = { ...from(connection), peer: peer_id };
  try {
    const { username } = await state.tokens.verify(id_token);
    if (username === peer_id) return true;
    logSecurity("identity_refused", event);
    refuse(connection, "Token belongs to another peer");
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    logSecurity(error.kind === "revoked" ? "revoked_token_used" : "token_refused", event);
    connection.countError?.("Invalid id_token");
    send(connection, { error: "Invalid token" }); // without a type, as the Python server does
  }
  return false;
}

/** Where a connection comes from, for the log. */
function from({ address }: Connection): { address?: string } {
  return address === undefined ? {} : { address };
}

function registeredAuth(peer: RegisteredPeer, { iceServers }: ServerState): object {
  const others = visiblePeers(peer);
  return {
    type: "registered_auth",
    room_id: peer.room.id,
    token: peer.room.token,
    peer_id: peer.peerId,
    admin_peer_id: peer.room.adminPeerId,
    peer_list: others.map((other) => other.peerId),
    peer_metadata: Object.fromEntries(others.map((other) => [other.peerId, other.metadata])),
    ice_servers: iceServers,
    mesh_ice_servers: iceServers,
  };
}

function discoverPeers({ connection, state, message }: Incoming): void {
  const peer = senderOf(state, connection, message["from_peer_id"]);
  if (peer === undefined) return sendError(connection, "NOT_IN_ROOM", "Peer not registered in any room");
  const filters = parseFilters(message["filters"] ?? {});
  const peers = [...peer.room.peers.values()]
    .filter((other) => other !== peer && matches(other, filters))
    .map(({ peerId, role, metadata, connectedAt }) => ({
      peer_id: peerId,
      role,
      metadata,
      connected_at: connectedAt,
    }));
  send(connection, { type: "peer_list", to_peer_id: peer.peerId, peers, count: peers.length });
}

function updateMetadata({ connection, state, message }: Incoming): void {
  const parsed = updateSchema.safeParse(message);
  if (!parsed.success) return sendMissing(connection, "peer_id, metadata");
  const peer = senderOf(state, connection, parsed.data.peer_id);
  if (peer === undefined) return sendError(connection, "NOT_IN_ROOM", "Peer not in any room");
  const metadata = state.rooms.updateMetadata(connection, parsed.data.metadata);
  if (metadata === undefined) return sendError(connection, "INVALID_MESSAGE", "Metadata too large");
  send(connection, { type: "metadata_updated", peer_id: peer.peerId, metadata });
}

function relayPeerMessage({ connection, state, message }: Incoming): void {
  const parsed = peerMessageSchema.safeParse(message);
  if (!parsed.success) return sendMissing(connection, "from_peer_id, to_peer_id, payload");
  const { from_peer_id, to_peer_id } = parsed.data;
  const sender = senderOf(state, connection, from_peer_id);
  if (sender === undefined) return sendError(connection, "NOT_IN_ROOM", "Sender not in any room");
  const target = sender.room.peers.get(to_peer_id);
  if (target === undefined && state.rooms.find(to_peer_id) !== undefined) {
    return sendError(connection, "PEER_NOT_IN_ROOM", `Target peer ${to_peer_id} not in same room`);
  }
  if (target === undefined) return sendTargetNotFound(connection, to_peer_id);
  deliver(connection, target, { type: "peer_message", ...parsed.data });
}

/** `offer`, `answer`, `candidate`, `quit`: the sender's own text, or nothing at all. */
function relayUnchanged({ connection, state, message, text }: Incoming): void {
  const parsed = relayedSchema.safeParse(message);
  const sender = parsed.success ? senderOf(state, connection, parsed.data.sender) : undefined;
  const target = parsed.success ? sender?.room.peers.get(parsed.data.target) : undefined;
  if (target === undefined || !target.connection.send(text)) {
    logger.debug("dropped a message of type {type}", { type: message.type });
  }
}

/** Ours: a piece of a channel between two peers of a room, unchanged; see docs/protocol.md. */
async function relayData({ connection, state, message, text }: Incoming): Promise<void> {
  const parsed = relaySchema.safeParse(message);
  if (!parsed.success) return sendMissing(connection, "sender, target, data");
  const { sender, target } = parsed.data;
  const fail = (code: RelayFailure, reason: string): void => {
    connection.countError?.(code);
    send(connection, { type: "error", code, message: reason, relay: target });
  };
  if (state.relayPace.refuses) return fail("RELAY_REFUSED", "This server relays no data");
  if (text.length > MAX_RELAY_CHARS) return fail("INVALID_MESSAGE", "Relayed message too large");
  const from = senderOf(state, connection, sender);
  if (from === undefined) return fail("NOT_IN_ROOM", "Sender not in any room");
  await state.relayPace.wait(connection, text.length);
  const to = from.room.peers.get(target);
  if (to === undefined) return fail("PEER_NOT_FOUND", `Target peer ${target} not found`);
  if (to.connection.send(text, MAX_UNSENT_RELAY_BYTES)) {
    return state.metrics.relayedBytes.inc(text.length);
  }
  fail("DELIVERY_FAILED", `Failed to deliver message to ${target}`);
}

function relayMeshConnect({ connection, state, message }: Incoming): void {
  const parsed = meshConnectSchema.safeParse(message);
  if (!parsed.success) return sendMissing(connection, "from_peer_id, target_peer_id, offer");
  const { from_peer_id, target_peer_id, offer } = parsed.data;
  const sender = senderOf(state, connection, from_peer_id);
  if (sender === undefined) return sendError(connection, "NOT_IN_ROOM", "Sender not in any room");
  const target = sender.room.peers.get(target_peer_id);
  if (target === undefined) {
    connection.countError?.("peer_not_found");
    return send(connection, { type: "error", reason: "peer_not_found", target_peer_id });
  }
  deliver(connection, target, { type: "mesh_offer", from_peer_id, offer });
}

function relayMeshAnswer({ connection, state, message }: Incoming): void {
  const parsed = meshAnswerSchema.safeParse(message);
  if (!parsed.success) return sendMissing(connection, "from_peer_id, target_peer_id, answer");
  const { from_peer_id, target_peer_id, answer } = parsed.data;
  const sender = senderOf(state, connection, from_peer_id);
  if (sender === undefined) return sendError(connection, "NOT_IN_ROOM", "Sender not in any room");
  const target = sender.room.peers.get(target_peer_id);
  if (target === undefined) return sendTargetNotFound(connection, target_peer_id);
  deliver(connection, target, { type: "mesh_answer", from_peer_id, answer });
}

function relayIceCandidate({ connection, state, message }: Incoming): void {
  const parsed = iceCandidateSchema.safeParse(message);
  if (!parsed.success) return sendMissing(connection, "from_peer_id, target_peer_id, candidate");
  const { from_peer_id, target_peer_id, candidate } = parsed.data;
  const sender = senderOf(state, connection, from_peer_id);
  if (sender === undefined) return sendError(connection, "NOT_IN_ROOM", "Sender not in any room");
  const target = sender.room.peers.get(target_peer_id);
  target?.connection.send(JSON.stringify({ type: "ice_candidate", from_peer_id, candidate }));
}

/**
 * A busy worker's refusal goes to the client it is for: telling the worker that its message is unknown, as the Python
 * server does, would end it. Never towards a worker, which any error ends.
 */
function relayRefusal(incoming: Incoming): void {
  const { connection, state, message, text } = incoming;
  const sender = state.rooms.peerOf(connection);
  const parsed = refusalSchema.safeParse(message);
  const target = parsed.success ? sender?.room.peers.get(parsed.data.target) : undefined;
  if (sender?.role !== "worker" || !parsed.success || target?.role === "worker") {
    return rejectUnknown(incoming);
  }
  target?.connection.send(text);
}

/** Jobs that go through this server; see docs/protocol.md. */
function handleQueued({ connection, state, message, text }: Incoming): void {
  const peer = state.rooms.peerOf(connection);
  if (peer === undefined) return sendError(connection, "NOT_IN_ROOM", "Sender not in any room");
  if (state.cluster === undefined) return state.queue.handle(peer, message);
  if (!state.cluster.forward(peer, text)) {
    sendError(connection, "QUEUE_STOPPED", "Too much waits for the queue");
  }
}

/** Whether a room can be looked up; who cannot be told yet is sent away, to come back, and not refused. */
async function knowsRoom({ cluster }: ServerState, connection: Connection, roomId: string): Promise<boolean> {
  try {
    await cluster?.find(roomId);
    return true;
  } catch (error) {
    logger.warn("room {room} cannot be looked up: {reason}", { room: roomId, reason: errorText(error) });
    connection.close?.(TRY_AGAIN_LATER, "rooms cannot be looked up at the moment");
    return false;
  }
}

function rejectUnknown({ connection, message }: Incoming): void {
  const type = typeof message.type === "string" ? message.type.slice(0, MAX_ID_CHARS) : "None";
  sendError(connection, "UNKNOWN_MESSAGE_TYPE", `Unknown message type: ${type}`);
}

/** The peer of this connection when it is the one that the message names: nobody speaks for another. */
function senderOf(state: ServerState, connection: Connection, peerId: unknown): RegisteredPeer | undefined {
  const peer = state.rooms.peerOf(connection);
  return peer?.peerId === peerId ? peer : undefined;
}

function deliver(connection: Connection, target: RegisteredPeer, message: object): void {
  if (target.connection.send(JSON.stringify(message))) return;
  sendError(connection, "DELIVERY_FAILED", `Failed to deliver message to ${target.peerId}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
