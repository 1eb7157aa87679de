/** Says that a run is still starting while it prints nothing: silence is no failure. */

/** The first word comes after so much silence, in milliseconds; each next pause is twice as long … */
const FIRST_MS = 30_000;
/** … but no longer than this. */
const LONGEST_MS = 600_000;

/** Watches one run after the other; call {@link StartupWatch.end} when the last is over. */
export class StartupWatch {
  readonly #say: (text: string) => void;
  readonly #firstMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `say` takes what a person is to read. */
  constructor(say: (text: string) => void, firstMs: number = FIRST_MS) {
    this.#say = say;
    this.#firstMs = firstMs;
  }

  /** A run begins. */
  begin(name: string): void {
    this.end();
    const began = performance.now();
    const wait = (ms: number): void => {
      this.#timer = setTimeout(() => {
        this.#say(`run ${name} is still starting; it has printed nothing for ${elapsed(began)}`);
        wait(Math.min(2 * ms, LONGEST_MS));
      }, ms);
    };
    wait(this.#firstMs);
  }

  /** The run has printed something, or is over. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Time since then, e.g. `45 s`, `20 min`. */
function elapsed(since: number): string {
  const seconds = Math.round((performance.now() - since) / 1000);
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
