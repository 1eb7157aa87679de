/**
 * The root of all errors that a person is meant to read. `message` says what was found, where, and what was
 * expected; `hint` what to do about it; `exitCode` is what a command ends with.
 */
export class UserError extends Error {
  /** What to do about it, one sentence; absent when the message says it all. */
  readonly hint: string | undefined;
  /** Exit code of a command that ends with this error; never 0. */
  readonly exitCode: number;

  constructor(message: string, options: { hint?: string; exitCode?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? 1;
  }
}

/** A mistake in a configuration file, an environment variable or a flag. Exit code 2. */
export class ConfigError extends UserError {
  constructor(message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, { ...options, exitCode: 2 });
  }
}

/** The text of anything thrown, for a log line. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
