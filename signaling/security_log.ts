import { getLogger } from "@logtape/logtape";
import { printable } from "../protocol/printable.ts";

const logger = getLogger(["sleap-rtc", "signaling", "security"]);

/** What is worth a line to whoever watches over a server; stable names. */
export type SecurityEvent =
  | "token_refused"
  | "revoked_token_used"
  | "identity_refused"
  | "room_token_wrong"
  | "limit_exceeded"
  | "origin_refused"
  | "delete_refused"
  | "admin_refused"
  | "admin_action";

/** One line; `fields` are told to people as `name=value`, to scripts as they are. Never give it a secret. */
export function logSecurity(event: SecurityEvent, fields: Readonly<Record<string, string | number>>): void {
  const told = Object.entries(fields).map(([name, value]) => `${name}=${printable(String(value))}`).join(" ");
  const level = event === "admin_action" ? "info" : "warn";
  logger[level](`${event} ${told}`.replaceAll("{", "{{").replaceAll("}", "}}"), { event, data: fields });
}
