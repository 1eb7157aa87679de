import { UserError } from "../config/user_error.ts";

/** A connection that could not be made, or was lost. */
export class ConnectionError extends UserError {
  constructor(message: string, hint?: string) {
    super(message, hint === undefined ? {} : { hint });
  }
}

/** A file that did not arrive whole. */
export class TransferError extends UserError {}
