/** Sizes, rates and progress as people read them; shared by the command lines. */

/** A progress line in a log comes every so many milliseconds. */
const LINE_EVERY_MS = 5_000;
/** A rate is that of the last so many milliseconds: what was moved before an interruption tells nothing of now. */
const RATE_WINDOW_MS = 15_000;
/** No rate is told before so many milliseconds. */
const RATE_AFTER_MS = 100;

/** A size in powers of 1024. */
export function sizeText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes, 0];
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** Rate and time left of one movement of bytes; what was there when it began does not count as moved. */
export class ProgressMeter {
  readonly #now: () => number;
  #samples: { at: number; done: number }[] = [];

  /** `now`: milliseconds, for tests. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** `12.3 MiB/s, 1:05 left` when so many bytes are there; empty before anything can be said. */
  rate(done: number, total: number): string {
    const at = this.#now();
    this.#samples.push({ at, done });
    // One sample older than the window is kept, so that there is always something to compare with.
    while (this.#samples.length > 2 && at - this.#samples[1]!.at > RATE_WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0]!;
    const [moved, elapsed] = [done - first.done, at - first.at];
    if (moved <= 0 || elapsed < RATE_AFTER_MS) return "";
    const perSecond = moved / (elapsed / 1000);
    const left = Math.ceil((total - done) / perSecond);
    const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    return `${(perSecond / 2 ** 20).toFixed(1)} MiB/s${done < total ? `, ${time} left` : ""}`;
  }
}

/** Progress for a log: the first and the last of each kind, and one line every few seconds between. */
export class ProgressLines {
  readonly #now: () => number;
  readonly #kinds = new Map<string, { meter: ProgressMeter; last: number }>();

  /** `now`: milliseconds, for tests. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** `what: 12% of 5.0 GiB (12.3 MiB/s, 1:05 left)`; undefined when nothing is to be told yet. */
  line(what: string, done: number, total: number): string | undefined {
    const kind = this.#kinds.get(what) ?? { meter: new ProgressMeter(this.#now), last: -Infinity };
    this.#kinds.set(what, kind);
    const now = this.#now();
    if (done < total && now - kind.last < LINE_EVERY_MS) return undefined;
    kind.last = now;
    const rate = kind.meter.rate(done, total);
    const percent = total === 0 ? 100 : Math.floor(100 * done / total);
    if (done >= total) this.#kinds.delete(what);
    return `${what}: ${percent}% of ${sizeText(total)}${rate === "" ? "" : ` (${rate})`}`;
  }
}
