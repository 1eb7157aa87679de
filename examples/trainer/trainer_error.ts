/** A failure that a person is meant to read: one line for stderr, and the exit status of the trainer. */
export class TrainerError extends Error {
  /** Exit status: 1 bad input, 2 bad command line, 3 the failure that `fail_at_epoch` asks for. */
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.name = "TrainerError";
    this.exitCode = exitCode;
  }
}
