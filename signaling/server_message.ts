/** What a signaling server says to a peer, out of the frames of its socket. */
import { getLogger } from "@logtape/logtape";
import { type ServerMessage, serverMessageSchema } from "../protocol/signaling.ts";
import { SignalingError } from "./signaling_error.ts";

const logger = getLogger(["sleap-rtc", "signaling", "client"]);

/** Longest message taken from a server, in characters. */
const MAX_MESSAGE_LENGTH = 1024 * 1024;

const REFUSAL_HINTS: Readonly<Record<string, string>> = {
  "Room not found": "check the room id; has the room expired, or the server been restarted?",
  "Invalid token": "check the room's token against what the worker printed",
  "Room expired": "start the worker again and use the room it prints",
};

/** The server has let the peer in. */
export type Registered = Extract<ServerMessage, { type: "registered_auth" }>;

/** The message in a frame; undefined, with a log line, for one that breaks the rules or is of no interest. */
export function parseServerMessage(data: unknown): ServerMessage | undefined {
  if (typeof data !== "string" || data.length > MAX_MESSAGE_LENGTH) return undefined;
  try {
    const parsed = serverMessageSchema.safeParse(JSON.parse(data));
    if (parsed.success) return parsed.data;
    logger.debug("ignored a message of the signaling server: {text}", { text: data.slice(0, 200) });
  } catch {
    logger.warn("ignored a message of the signaling server that is not JSON");
  }
  return undefined;
}

/** What a frame says about a registration; undefined when it is about something else. */
export function registrationAnswer(data: unknown): Registered | SignalingError | undefined {
  const message = parseServerMessage(data);
  if (message?.type === "registered_auth") return message;
  // A refused id token comes without a type (PROTOCOL.md section 3.3).
  const untyped = typeof data === "string" && /^\s*\{\s*"error"\s*:\s*"([^"]*)"/.exec(data)?.[1];
  const refusal = message?.type === "error" ? message.reason : untyped || undefined;
  if (refusal === undefined) return undefined;
  const hint = REFUSAL_HINTS[refusal];
  return new SignalingError(`the signaling server refused to let this peer in: ${refusal}`, {
    refusal,
    ...(hint === undefined ? {} : { hint }),
  });
}
