import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { getLogger } from "@logtape/logtape";
import { z } from "zod";
import { errorText } from "../config/user_error.ts";
import { total } from "./metrics.ts";
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
  room_id: z.string().min(1).nullish().catch(undefined),
  peer_id: z.string().min(1).nullish().catch(undefined),
});

/** What the server tells the API of a request: where it comes from, as `clientAddress` has it. */
export interface Env {
  Bindings: { address: string };
}
/** The HTTP API. */
export type Api = Hono<Env>;

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
  app.notFound((c) => c.json({ detail: "Not Found" }, 404));
  app.onError((error, c) => {
    logger.error("{path} failed: {reason}", { path: c.req.path, reason: errorText(error) });
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
    await state.tokens.verify(header.replace(/^bearer\s+/i, ""));
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    const event = error.kind === "revoked" ? "revoked_token_used" : "token_refused";
    logSecurity(event, { address: c.env.address, path: "/create-room" });
    return c.json({ detail: `Token verification failed: ${error.message}` }, 401);
  }
  const seconds = state.guard.createRoom(c.env.address);
  if (seconds > 0) return tooMany("Too many rooms from this address", seconds);
  const room = state.rooms.create();
  if (room === undefined) return c.json({ detail: "Too many rooms" }, 503);
  logger.info("room {room} created", { room: room.id });
  return c.json({ room_id: room.id, token: room.token });
}

async function deletePeer(c: Context<Env>, state: ServerState): Promise<Response> {
  const body = peerSchema.safeParse(await jsonBody(c));
  if (!body.success) return missing(c, "body", "peer_id");
  const room = state.rooms.find(body.data.peer_id)?.room;
  state.rooms.deletePeer(body.data.peer_id);
  // The texts of the Python server, whose user directory was Cognito.
  if (room === undefined) return c.json({ status: "peer deleted from Cognito (already removed from room)" });
  const status = room.peers.size > 0 ? "active" : "deleted";
  return c.json({ status: `peer deleted successfully. Room status: ${status}` });
}

async function deletePeersAndRoom(c: Context<Env>, state: ServerState): Promise<Response> {
  const body = roomOrPeerSchema.safeParse(await jsonBody(c));
  const { room_id: roomId, peer_id: peerId } = body.success ? body.data : {};
  if (roomId) {
    const status = state.rooms.deleteRoom(roomId) ? "peer deleted successfully" : "room not found";
    return c.json({ status });
  }
  // Without a room only the peer goes: others may be at work in its room.
  const status = peerId && state.rooms.deletePeer(peerId) ? "peer deleted successfully" : "peer not found";
  return c.json({ status });
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

/** The answer to who asks too often; `seconds` until it is worth trying again. */
export function tooMany(detail: string, seconds: number): Response {
  const headers = { "retry-after": String(Math.ceil(seconds)) };
  return Response.json({ detail }, { status: 429, headers });
}

function timestamp(state: ServerState): string {
  return new Date(state.now()).toISOString();
}

function missing(c: Context, where: "header" | "body", field: string): Response {
  return c.json(
    { detail: [{ type: "missing", loc: [where, field], msg: "Field required", input: null }] },
    422,
  );
}

async function jsonBody(c: Context): Promise<unknown> {
  try {
    return await c.req.json();
  } catch {
    return undefined; // an empty or broken body has no fields
  }
}
