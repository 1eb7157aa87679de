/** Time that passes when a test says so: for what lasts seconds. */

interface Timer {
  at: number;
  every: number | undefined;
  run: () => void;
}

/** `performance.now`, and the timers that are made while it stands. */
export class FakeClock {
  #now = performance.now();
  #last = 1_000_000_000;
  readonly #timers = new Map<number, Timer>();

  /** Lets so many milliseconds pass, timer by timer. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await this.#quiet();
      const [next] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at);
      if (!next || next[1].at > end) break;
      const [id, timer] = next;
      this.#now = Math.max(this.#now, timer.at);
      if (timer.every === undefined) this.#timers.delete(id);
      else timer.at += timer.every;
      timer.run();
    }
    this.#now = end;
  }

  /** The machine sleeps: no timer runs meanwhile. */
  sleep(ms: number): void {
    this.#now += ms;
    for (const timer of this.#timers.values()) timer.at = Math.max(timer.at, this.#now);
  }

  /** Promises that are settled have had their effects. */
  async #quiet(): Promise<void> {
    for (let each = 0; each < 20; each++) await Promise.resolve();
  }

  #start(run: () => void, ms: number, every: number | undefined): number {
    this.#timers.set(++this.#last, { at: this.#now + ms, every, run });
    return this.#last;
  }

  /** Runs a test in this time. */
  static async use(test: (clock: FakeClock) => Promise<void>): Promise<void> {
    const clock = new FakeClock();
    const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis;
    const stop = (real: (id?: number) => void) => (id?: number): void => {
      if (id === undefined || !clock.#timers.delete(id)) real(id);
    };
    Object.assign(globalThis, {
      setTimeout: (run: () => void, ms = 0): number => clock.#start(run, ms, undefined),
      setInterval: (run: () => void, ms = 0): number => clock.#start(run, ms, ms),
      clearTimeout: stop(clearTimeout),
      clearInterval: stop(clearInterval),
    });
    Object.defineProperty(performance, "now", { value: () => clock.#now, configurable: true });
    try {
      await test(clock);
    } finally {
      Object.assign(globalThis, { setTimeout, setInterval, clearTimeout, clearInterval });
      Reflect.deleteProperty(performance, "now");
    }
  }
}
