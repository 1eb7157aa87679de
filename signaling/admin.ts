import { createHash, timingSafeEqual } from "node:crypto";
import type { Context } from "hono";
import { getLogger } from "@logtape/logtape";
import { z } from "zod";
import { ConfigError } from "../config/user_error.ts";
import { POLICY_VIOLATION } from "./connection.ts";
import { type Api, bearer, type Env, jsonBody, missing, tooMany } from "./http_parts.ts";
import type { RegisteredPeer } from "./room.ts";
import { logSecurity } from "./security_log.ts";
import type { ServerState } from "./state.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** Where the administrator's key comes from: not a flag, which every user of the machine could read. */
export const ADMIN_KEY_VARIABLE = "SLEAP_RTC_ADMIN_KEY";
const MIN_KEY_CHARS = 16;

const peerSchema = z.object({ peer_id: z.string().min(1).max(256) });
const roomSchema = z.object({ room_id: z.string().min(1).max(256) });

/** Throws {@link ConfigError} for a key that could be guessed. */
export function checkAdminKey(key: string): void {
  if (key.length >= MIN_KEY_CHARS) return;
  throw new ConfigError(`${ADMIN_KEY_VARIABLE} has ${key.length} characters, fewer than ${MIN_KEY_CHARS}`, {
    hint: "make one with: openssl rand -hex 16",
  });
}

/**
 * What an administrator does, each with `Authorization: Bearer KEY`: take back the tokens of a peer, give a room a new
 * token, delete a room. Whom it concerns is disconnected. Without a key there is no such API.
 */
export function addAdminApi(app: Api, state: ServerState, key: string): void {
  app.use("/admin/*", async (c, next) => {
    if (isKey(bearer(c.req.header("authorization")), key)) return await next();
    const address = c.env.address;
    logSecurity("admin_refused", { address, path: c.req.path });
    const seconds = state.guard.wrongAdminKey(address);
    return seconds > 0 ? tooMany("Too many wrong keys", seconds) : c.json({ detail: "Wrong admin key" }, 401);
  });
  app.post("/admin/revoke-peer", (c) => revokePeer(c, state));
  app.post("/admin/renew-room-token", (c) => renewRoomToken(c, state));
  app.post("/admin/delete-room", (c) => deleteRoom(c, state));
}

async function revokePeer(c: Context<Env>, state: ServerState): Promise<Response> {
  const body = peerSchema.safeParse(await jsonBody(c));
  if (!body.success) return missing(c, "body", "peer_id");
  const { peer_id: peer } = body.data;
  await state.tokens.revoke(peer);
  const peers = state.rooms.registered(peer);
  state.rooms.deletePeer(peer);
  return done(c, "revoke-peer", { peer }, { peer_id: peer }, peers);
}

async function renewRoomToken(c: Context<Env>, state: ServerState): Promise<Response> {
  const body = roomSchema.safeParse(await jsonBody(c));
  if (!body.success) return missing(c, "body", "room_id");
  const { room_id: room } = body.data;
  const renewed = state.rooms.renewToken(room);
  if (renewed === undefined) return c.json({ detail: `Room ${room} not found` }, 404);
  return done(c, "renew-room-token", { room }, { room_id: room, token: renewed.token }, renewed.peers);
}

async function deleteRoom(c: Context<Env>, state: ServerState): Promise<Response> {
  const body = roomSchema.safeParse(await jsonBody(c));
  if (!body.success) return missing(c, "body", "room_id");
  const { room_id: room } = body.data;
  const peers = [...state.rooms.room(room)?.peers.values() ?? []];
  if (!state.rooms.deleteRoom(room)) return c.json({ detail: `Room ${room} not found` }, 404);
  return done(c, "delete-room", { room }, { room_id: room }, peers);
}

/** Throws peers out, logs, and answers. */
function done(
  c: Context<Env>,
  action: string,
  fields: Record<string, string>,
  answer: Record<string, unknown>,
  peers: readonly RegisteredPeer[],
): Response {
  for (const { connection } of peers) connection.close?.(POLICY_VIOLATION, "closed by the administrator");
  logSecurity("admin_action", { action, address: c.env.address, ...fields, disconnected: peers.length });
  logger.debug("{action} disconnected {peers}", {
    action,
    peers: peers.map(({ peerId }) => peerId).join(", "),
  });
  return c.json({ ...answer, disconnected: peers.length });
}

function isKey(given: string | undefined, key: string): boolean {
  const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(key));
}
