/** What the server answers when it does not relay. Exact texts: PROTOCOL.md section 3.3. */
import type { ErrorCode } from "../config/error_code.ts";
import type { Connection } from "./room.ts";

/** Sends a message to a peer; one that cannot be delivered is lost, as its socket is. */
export function send(connection: Connection, message: object): void {
  connection.send(JSON.stringify(message));
}

/** Tells why a registration failed. */
export function refuse(connection: Connection, reason: string): void {
  connection.countError?.(reason);
  send(connection, { type: "error", reason });
}

/** Tells what is wrong with any other message. */
export function sendError(connection: Connection, code: ErrorCode, message: string): void {
  connection.countError?.(code);
  send(connection, { type: "error", code, message });
}

/** Tells which fields a message of this type must have. */
export function sendMissing(connection: Connection, fields: string): void {
  sendError(connection, "INVALID_MESSAGE", `Missing required fields: ${fields}`);
}

/** Tells that nobody is there to relay to. */
export function sendTargetNotFound(connection: Connection, peerId: string): void {
  sendError(connection, "PEER_NOT_FOUND", `Target peer ${peerId} not found`);
}
