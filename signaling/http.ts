import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { getLogger } from "@logtape/logtape";
import { z } from "zod";
import { reasonOf } from "../config/user_error.ts";
import { addAdminApi } from "./admin.ts";
import { total } from "./metrics.ts";
import { type Api, bearer, type Env, jsonBody, missing, tooMany } from "./http_parts.ts";
import type { RegisteredPeer } from "./room.ts";
import { logSecurity } from "./security_log.ts";
import type { ServerState } from "./state.ts";
import { TokenError } from "./token.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** The version of the HTTP API that `/health` tells. Source: PROTOCOL.md section 2. */
const API_VERSION = "2.0.0";
const MAX_BODY_BYTES = 65_536;
const CORS_MAX_AGE_S = 600;

const peerSchema = z.object({ peer_id: z.string().max(256) });
const roomOrPeerSchema = z.object({
  room_id: z.string().min(1).max(256).nullish().catch(undefined),
  peer_id: z.string().min(1).max(256).nullish().catch(undefined),
});

/** The HTTP API: sign-in, rooms, health. Answers have the shapes of FastAPI. Source: PROTOCOL.md section 2. */
export function createHttpApi(state: ServerState): Api {
  const app = new Hono<Env>();
  app.use(cors({ origin: [...state.origins], allowMethods: ["GET", "POST"], maxAge: CORS_MAX_AGE_S }));
  const tooLarge = (c: Context): Response => c.json({ detail: "Request body too large" }, 413);
  app.use(bodyLimit({ maxSize: MAX_BODY_BYTES, onError: tooLarge }));
  app.post("/anonymous-signin", (c) => signIn(c, state));
  app.post("/create-room", (c) => createRoom(c, state));
  app.post("/delete-peer", (c) => deletePeer(c, state));
  app.post("/delete-peers-and-room", (c) => deletePeersAndRoom(c, state));
  app.get("/health", (c) => {
    return c.json({ status: "healthy", timestamp: timestamp(state), version: API_VERSION });
  });
  app.get("/metrics", (c) => metrics(c, state));
  if (state.adminKey !== undefined) addAdminApi(app, state, state.adminKey);
  app.notFound((c) => c.json({ detail: "Not Found" }, 404));
  app.onError((error, c) => {
    logger.error("{path} failed: {reason}", { path: c.req.path, ...reasonOf(error) });
    return c.json({ detail: "Internal Server Error" }, 500);
  });
  return app;
}

async function signIn(c: Context<Env>, state: ServerState): Promise<Response> {
  const seconds = state.guard.signIn(c.env.address);
  if (seconds > 0) return tooMany("Too many sign-ins from this address", seconds);
  const { idToken, username } = await state.tokens.issue();
  return c.json({ id_token: idToken, username });
}

async function createRoom(c: Context<Env>, state: ServerState): Promise<Response> {
  const header = c.req.header("authorization");
  if (header === undefined) return missing(c, "header", "authorization");
  try {
    await state.tokens.verify(bearer(header) ?? "");
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    const event = error.kind === "revoked" ? "revoked_token_used" : "token_refused";
    logSecurity(event, { address: c.env.address, path: "/create-room" });
    return c.json({ detail: `Token verification failed: ${error.message}` }, 401);
  }
  const seconds = state.guard.createRoom(c.env.address);
  if (seconds > 0) return tooMany("Too many rooms from this address", seconds);
  const room = await state.roomKeeper.create();
  if (room === undefined) return c.json({ detail: "Too many rooms" }, 503);
  logger.info("room {room} created", { room: room.id });
  return c.json({ room_id: room.id, token: room.token });
}

async function deletePeer(c: Context<Env>, state: ServerState): Promise<Response> {
  const body = peerSchema.safeParse(await jsonBody(c));
  if (!body.success) return missing(c, "body", "peer_id");
  const { peer_id: peer } = body.data;
  const [registered] = state.rooms.registered(peer);
  // The texts of the Python server, whose user directory was Cognito.
  const gone = { status: "peer deleted from Cognito (already removed from room)" };
  if (registered === undefined || !await mayDelete(c, state, [registered], { peer })) return c.json(gone);
  state.rooms.deletePeer(peer);
  const status = registered.room.peers.size > 0 ? "active" : "deleted";
  return c.json({ status: `peer deleted successfully. Room status: ${status}` });
}

async function deletePeersAndRoom(c: Context<Env>, state: ServerState): Promise<Response> {
  const body = roomOrPeerSchema.safeParse(await jsonBody(c));
  const { room_id: room, peer_id: peer } = body.success ? body.data : {};
  if (room) {
    const peers = [...state.rooms.room(room)?.peers.values() ?? []];
    const isDeleted = await mayDelete(c, state, peers, { room }) && state.rooms.deleteRoom(room);
    return c.json({ status: isDeleted ? "peer deleted successfully" : "room not found" });
  }
  // Without a room only the peer goes: others may be at work in its room.
  const isDeleted = peer && await mayDelete(c, state, state.rooms.registered(peer), { peer }) &&
    state.rooms.deletePeer(peer);
  return c.json({ status: isDeleted ? "peer deleted successfully" : "peer not found" });
}

/**
 * Whether a request comes from one of the peers: from its address, as Python peers say no more, or with its token.
 * Anybody else is answered as if there were nothing to delete; ids are no secrets.
 */
async function mayDelete(
  c: Context<Env>,
  state: ServerState,
  peers: readonly RegisteredPeer[],
  what: Record<string, string>,
): Promise<boolean> {
  const { address } = c.env;
  if (peers.length === 0) return false;
  if (peers.some(({ connection }) => connection.address === address)) return true;
  const token = bearer(c.req.header("authorization"));
  const claims = token === undefined ? undefined : await state.tokens.verify(token).catch(() => undefined);
  if (peers.some(({ peerId }) => peerId === claims?.username)) return true;
  logSecurity("delete_refused", { address, ...what });
  return false;
}

async function metrics(c: Context<Env>, state: ServerState): Promise<Response> {
  const { metrics, rooms } = state;
  if (wantsText(c)) return c.text(await metrics.text(), 200, { "content-type": metrics.contentType });
  return c.json({
    timestamp: timestamp(state),
    active_rooms: rooms.active,
    active_connections: metrics.openConnections,
    peers_by_role: rooms.countByRole(),
    total_connections: await total(metrics.connections),
    total_messages: await total(metrics.messages),
    rooms_created: rooms.created,
  });
}

/** Whether Prometheus asks: it accepts `text/plain` before anything else. Everybody else gets the Python server's JSON. */
function wantsText(c: Context): boolean {
  const format = c.req.query("format");
  if (format !== undefined) return format === "prometheus";
  const accepted = c.req.header("accept") ?? "";
  return /openmetrics|text\/plain/.test(accepted) && !accepted.includes("application/json");
}

function timestamp(state: ServerState): string {
  return new Date(state.now()).toISOString();
}
