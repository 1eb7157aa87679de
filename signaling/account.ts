/** What a peer asks of the server's HTTP API: who it is, and a room. Source: PROTOCOL.md section 2. */
import { getLogger } from "@logtape/logtape";
import { z } from "zod";
import { errorText } from "../config/user_error.ts";
import { createdRoomSchema, signInSchema } from "../protocol/signaling.ts";
import { SignalingError } from "./signaling_error.ts";

const logger = getLogger(["sleap-rtc", "signaling", "client"]);

/** Leaving takes no longer than this, in milliseconds. */
const LEAVE_LIMIT_MS = 2_000;

/** For a certificate that only a laboratory's own authority vouches for. */
const TRUST_HINT =
  "An authority of your own: DENO_CERT=FILE, or DENO_TLS_CA_STORE=system if this machine trusts it.";

/** Who a peer is for the server: from {@link signIn}. */
export interface Identity {
  peerId: string;
  idToken: string;
}

/** Which room; from {@link createRoom}, a session string or the command line. */
export interface RoomKey {
  roomId: string;
  token: string;
}

/** Address of a path of the HTTP API; a bare host gets the default port, as in the Python programs (PROTOCOL.md section 19). */
export function apiUrl(base: string, path: string): string {
  const root = base.replace(/\/+$/, "");
  return `${/\/\/.*:/.test(root) ? root : `${root}:8001`}${path}`;
}

/** `fetch` tells of TLS in the cause only. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? ` (${errorText(error.cause)})` : "";
  return `${errorText(error)}${cause}`;
}

async function post<Schema extends z.ZodType>(
  base: string,
  path: string,
  schema: Schema,
  options: { headers?: Record<string, string>; body?: string; signal: AbortSignal },
): Promise<z.infer<Schema>> {
  const url = apiUrl(base, path);
  let response: Response;
  try {
    response = await fetch(url, { method: "POST", ...options });
  } catch (error) {
    options.signal.throwIfAborted();
    throw new SignalingError(`cannot reach the signaling server at ${url}: ${reasonOf(error)}`, {
      hint: "is it running, and is SLEAP_RTC_SIGNALING_HTTP or the [environments] section right?" +
        (url.startsWith("https:") ? ` ${TRUST_HINT}` : ""),
      cause: error,
    });
  }
  const text = await response.text();
  if (response.status !== 200) {
    throw new SignalingError(
      `the signaling server refused ${path}: ${response.status} ${text.slice(0, 200)}`,
    );
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new SignalingError(`the signaling server's answer to ${path} was not understood`, { cause: error });
  }
}

/** Anonymous sign-in (PROTOCOL.md section 2). Throws {@link SignalingError}. */
export async function signIn(http: string, signal: AbortSignal): Promise<Identity> {
  const answer = await post(http, "/anonymous-signin", signInSchema, { signal });
  return { peerId: answer.username, idToken: answer.id_token };
}

/** A new room (PROTOCOL.md section 2). Throws {@link SignalingError}. */
export async function createRoom(http: string, identity: Identity, signal: AbortSignal): Promise<RoomKey> {
  const headers = { Authorization: `Bearer ${identity.idToken}` };
  const answer = await post(http, "/create-room", createdRoomSchema, { headers, signal });
  return { roomId: answer.room_id, token: answer.token };
}

/** Deletes a room in which this peer still is (PROTOCOL.md section 2); one that stays expires by itself. */
export async function deleteRoom(http: string, identity: Identity, roomId: string): Promise<void> {
  const body = JSON.stringify({ room_id: roomId, peer_id: identity.peerId });
  await leave(http, "/delete-peers-and-room", body, identity.idToken);
}

/**
 * Tells the server that a peer is gone for good (PROTOCOL.md section 2); one that cannot be told is no loss. The token
 * counts where the server sees this request come from another address than the peer's socket.
 */
export async function deletePeer(http: string, peerId: string, idToken?: string): Promise<void> {
  await leave(http, "/delete-peer", JSON.stringify({ peer_id: peerId }), idToken);
}

async function leave(http: string, path: string, body: string, idToken: string | undefined): Promise<void> {
  const headers = {
    "Content-Type": "application/json",
    ...(idToken !== undefined && { Authorization: `Bearer ${idToken}` }),
  };
  const signal = AbortSignal.timeout(LEAVE_LIMIT_MS);
  await post(http, path, z.unknown(), { headers, body, signal }).catch((error: unknown) => {
    logger.debug("could not leave properly: {reason}", { reason: errorText(error) });
  });
}
