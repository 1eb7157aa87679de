import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";

/** A connection that could not be made, or was lost. */
export class ConnectionError extends UserError {
  static override readonly code: ErrorCode = "CONNECTION_FAILED";

  constructor(message: string, hint?: string) {
    super(message, hint === undefined ? {} : { hint });
  }
}

/** A file that did not arrive whole. */
export class TransferError extends UserError {
  static override readonly code: ErrorCode = "TRANSFER_FAILED";
}
