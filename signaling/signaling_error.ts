import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";

/** The signaling server is not there, answers nonsense, or refuses. */
export class SignalingError extends UserError {
  static override readonly code: ErrorCode = "SIGNALING_UNREACHABLE";

  /** The server's word for a refused registration, e.g. `Invalid token`; undefined for everything else. */
  readonly refusal: string | undefined;

  constructor(message: string, options: { hint?: string; refusal?: string; cause?: unknown } = {}) {
    super(message, options.refusal === undefined ? options : { ...options, code: "SIGNALING_REFUSED" });
    this.refusal = options.refusal;
  }
}
