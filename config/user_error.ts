import { type ErrorCode, exitCodeOf } from "./error_code.ts";

/** What an error says besides its message. */
export interface UserErrorOptions {
  /** Of the table in error_code.ts; default: that of the class. */
  code?: ErrorCode;
  /** What to do about it, one sentence. */
  hint?: string;
  cause?: unknown;
}

/**
 * The root of all errors that a person is meant to read. `message` says what was found, where, and what was
 * expected; `hint` what to do about it; `code` which kind it is, for scripts, logs and the documentation.
 */
export class UserError extends Error {
  /** What errors of a class are, unless one says otherwise. */
  static readonly code: ErrorCode = "FAILED";

  readonly code: ErrorCode;
  /** What to do about it, one sentence; absent when the message says it all. */
  readonly hint: string | undefined;

  constructor(message: string, options: UserErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = options.code ?? new.target.code;
    this.hint = options.hint;
  }

  /** Exit code of a command that ends with this error; never 0. */
  get exitCode(): number {
    return exitCodeOf(this.code);
  }
}

/** A mistake in a configuration file, an environment variable or a flag. Exit code 2. */
export class ConfigError extends UserError {
  static override readonly code: ErrorCode = "CONFIG_INVALID";
}

/** The text of anything thrown, for a log line. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Text and code of anything thrown, for a log line that says `{reason}`. */
export function reasonOf(error: unknown): { reason: string; code: ErrorCode } {
  return { reason: errorText(error), code: errorCode(error) };
}

/** The code of anything thrown, for a log line or a script. */
export function errorCode(error: unknown): ErrorCode {
  return error instanceof UserError ? error.code : "UNEXPECTED";
}
