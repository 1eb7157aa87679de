/** What a channel over the signaling server needs agreed on; Python peers and servers know nothing of it. */
import { z } from "zod";

/** Longest `relay` message on the WebSocket, in characters; one of 65,536 payload bytes has about 88,000. */
export const MAX_RELAY_CHARS = 128 * 1024;

/** An X25519 public key: 32 bytes in base64url without padding, the only spelling of it. Source: RFC 7748, RFC 4648. */
export const relayPublicKeySchema = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);

/** Why the server did not relay: `code` of its `error` messages that have the key `relay`. */
export type RelayFailure =
  | "RELAY_REFUSED"
  | "INVALID_MESSAGE"
  | "NOT_IN_ROOM"
  | "PEER_NOT_FOUND"
  | "DELIVERY_FAILED";
