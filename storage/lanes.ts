/** Runs work beside its caller, no more than so much at a time. */
export class Lanes implements AsyncDisposable {
  readonly #most: number;
  readonly #running = new Set<Promise<void>>();
  #failures: unknown[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Starts work, as soon as there is room. Throws what earlier work threw, and starts nothing then. */
  async run(work: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#most) await Promise.race(this.#running);
    this.#throwFailure();
    const running: Promise<void> = work()
      .catch((error: unknown) => void this.#failures.push(error))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when all work has ended. Throws what some of it threw. */
  async done(): Promise<void> {
    await this[Symbol.asyncDispose]();
    this.#throwFailure();
  }

  /** Waits for what is running, whatever comes of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#running);
  }

  #throwFailure(): void {
    if (this.#failures.length > 0) throw this.#failures[0];
  }
}
