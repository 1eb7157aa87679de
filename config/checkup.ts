/** Checks of a setup: all run at once, each with a time limit, and none holds the others up. */
import { errorText, UserError } from "./user_error.ts";

/** A check that ran out of time gets so long to clean up after itself, in milliseconds. */
const CLEANUP_MS = 2_000;

/** `warning`: it works, but not well, or not for long. */
export type Status = "ok" | "warning" | "failure";

/** What was found, and what to do about it. */
export interface Finding {
  /** What was looked at, e.g. `storage backend vast`. */
  what: string;
  status: Status;
  detail: string;
  /** What to do about it. */
  hint?: string;
  /** The same for scripts, the unit in the name; null for what is not known. */
  figures?: Readonly<Record<string, number | string | null>>;
}

/** Something to look at. */
export interface Check {
  /** Shown while it is looked at, and when time runs out. */
  what: string;
  /** Milliseconds. */
  limitMs: number;
  /** What to do when time runs out. */
  lateHint?: string;
  /** Finds one thing after the other; what it throws is a failure. The signal is aborted when nobody waits any more. */
  look(signal: AbortSignal): AsyncIterable<Finding>;
}

/** A finding's detail; it is ok unless it says otherwise. */
export type Found = Omit<Finding, "what" | "status"> & { status?: Status };

/** One finding: what `look` tells, or the error that it throws as a failure. */
export async function find(what: string, look: () => Promise<Found>): Promise<Finding> {
  try {
    return { what, status: "ok", ...await look() };
  } catch (error) {
    return failure(what, error);
  }
}

/** An error as a finding. */
export function failure(what: string, error: unknown): Finding {
  const hint = error instanceof UserError ? error.hint : undefined;
  return { what, status: "failure", detail: errorText(error), ...(hint === undefined ? {} : { hint }) };
}

/** A check that has one finding. */
export function single(
  what: string,
  limitMs: number,
  look: (signal: AbortSignal) => Promise<Found>,
): Check {
  return {
    what,
    limitMs,
    async *look(signal): AsyncGenerator<Finding> {
      yield await find(what, () => look(signal));
    },
  };
}

/** A check under way, and what it has found so far. */
class Running {
  readonly #check: Check;
  readonly #found: Finding[] = [];
  #isOver = false;
  #wake = (): void => {};
  readonly over: Promise<void>;

  constructor(check: Check, stop: AbortSignal) {
    this.#check = check;
    this.over = this.#run(stop).finally(() => {
      this.#isOver = true;
      this.#wake();
    });
  }

  get what(): string {
    return this.#check.what;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** What it finds, as it comes. */
  async *findings(): AsyncGenerator<Finding> {
    for (;;) {
      const next = this.#found.shift();
      if (next) yield next;
      else if (this.#isOver) return;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async #run(stop: AbortSignal): Promise<void> {
    const { what, limitMs, lateHint } = this.#check;
    const abort = new AbortController();
    const looking = this.#look(abort.signal);
    const { promise: late, resolve } = Promise.withResolvers<string>();
    let cleanup: ReturnType<typeof setTimeout> | undefined;
    const interrupt = (): void => resolve("it was interrupted");
    const timer = setTimeout(() => resolve(`no answer within ${limitMs / 1000} s`), limitMs);
    stop.addEventListener("abort", interrupt);
    try {
      const detail = await Promise.race([looking, late]);
      if (detail === undefined) return;
      const hint = stop.aborted || lateHint === undefined ? {} : { hint: lateHint };
      this.#tell({ what, status: "failure", detail, ...hint });
      abort.abort(new UserError(detail));
      await Promise.race([looking, new Promise((done) => cleanup = setTimeout(done, CLEANUP_MS))]);
    } finally {
      clearTimeout(cleanup);
      clearTimeout(timer);
      stop.removeEventListener("abort", interrupt);
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    try {
      for await (const finding of this.#check.look(signal)) {
        if (signal.aborted) return;
        this.#tell(finding);
      }
    } catch (error) {
      // What comes after the end of its time has been told.
      if (!signal.aborted) this.#tell(failure(this.#check.what, error));
    }
  }

  #tell(finding: Finding): void {
    this.#found.push(finding);
    this.#wake();
  }
}

/**
 * Runs all checks at once, and gives out what they find in their order. Never throws. `onRunning` hears which are
 * still under way whenever that changes. When `stop` is aborted all of them end as if their time had run out.
 */
export async function* runChecks(
  checks: readonly Check[],
  stop: AbortSignal,
  onRunning: (names: readonly string[]) => void = () => {},
): AsyncGenerator<Finding> {
  const running = checks.map((check) => new Running(check, stop));
  const tell = (): void => onRunning(running.filter(({ isOver }) => !isOver).map(({ what }) => what));
  for (const each of running) void each.over.then(tell);
  tell();
  for (const each of running) yield* each.findings();
}
