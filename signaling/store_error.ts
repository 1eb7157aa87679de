import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";

/** What the signaling server remembers cannot be read or written. */
export class StoreError extends UserError {
  static override readonly code: ErrorCode = "STORE_FAILED";
}
