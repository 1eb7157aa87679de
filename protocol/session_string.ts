import { z } from "zod";
import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";

const PREFIX = "sleap-session:";

/** What a session string carries: enough to reach one worker without discovery. */
export interface Session {
  roomId: string;
  /** The room's token: whoever has it may join the room. */
  token: string;
  /** The worker's peer id. */
  peerId: string;
}

/** The text is not a session string. Exit code 2. */
export class SessionStringError extends UserError {
  static override readonly code: ErrorCode = "SESSION_STRING_INVALID";

  constructor(reason: string) {
    super(`not a session string: ${reason}`, {
      hint: `a session string begins with "${PREFIX}"; copy the whole line that the worker printed`,
    });
  }
}

const schema = z.object({ r: z.string().min(1), t: z.string().min(1), p: z.string().min(1) });

/** A session as text: `sleap-session:` and URL-safe base64, padded, of JSON. Source: PROTOCOL.md section 4. */
export function formatSession(session: Session): string {
  const json = JSON.stringify({ r: session.roomId, t: session.token, p: session.peerId });
  const bytes = new TextEncoder().encode(json);
  return PREFIX + bytes.toBase64({ alphabet: "base64url" });
}

/** The session in a text; blanks around it and missing padding are forgiven. Throws {@link SessionStringError}. */
export function parseSession(text: string): Session {
  const trimmed = text.trim();
  if (!trimmed.startsWith(PREFIX)) throw new SessionStringError(`it does not begin with "${PREFIX}"`);
  const encoded = trimmed.slice(PREFIX.length);
  let json: unknown;
  try {
    const bytes = Uint8Array.fromBase64(encoded, { alphabet: "base64url", lastChunkHandling: "loose" });
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new SessionStringError("what follows the prefix is not base64 of JSON; is its end cut off?");
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new SessionStringError("room, token or worker is missing in it");
  return { roomId: parsed.data.r, token: parsed.data.t, peerId: parsed.data.p };
}
