import type { ErrorCode } from "../config/error_code.ts";
import { ConfigError, UserError } from "../config/user_error.ts";

/** The worker ran the job, and it failed. */
export class JobFailedError extends UserError {
  static override readonly code: ErrorCode = "JOB_FAILED";
}

/** The job has begun, and is left to itself, as was asked. */
export class Detached extends Error {}

/** The connection to the worker ended before the job did. */
export class WorkerLostError extends UserError {
  /** Whether the first run had begun. */
  readonly started: boolean;

  constructor(started: boolean) {
    super(`the connection to the worker was lost ${started ? "during the job" : "before the job began"}`, {
      code: started ? "WORKER_LOST" : "WORKER_GONE",
      hint: started
        ? "if the worker lives the job goes on; come back to it with: sleap-rtc-client attach (its id: sleap-rtc-client jobs)"
        : "was the worker stopped? submit the job again when it, or another, is there",
    });
    this.started = started;
  }
}

/** The worker does not take the job this way; the next method is tried. */
export class RefusedError extends UserError {
  static override readonly code: ErrorCode = "JOB_REFUSED";
}

/** A package, labels or configurations that cannot be used. Exit code 2. */
export class GivenPackageError extends ConfigError {
  static override readonly code: ErrorCode = "PACKAGE_INVALID";
}
