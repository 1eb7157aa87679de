/** Ctrl-C: what it ends, and what a person is asked before it does. */
import { EXIT } from "../config/error_code.ts";
import { onStopSignal, type StopSignal } from "../config/program.ts";
import { UserError } from "../config/user_error.ts";
import type { Screen } from "./event.ts";

const ENTER = ["\n", "\r"];

/** What can be done about a job that runs. None of it throws. */
export interface JobControl {
  id: string;
  /** Leaves it to itself; undefined where the worker ends a job whose client leaves. */
  detach: (() => void) | undefined;
  /** Asks for its early end. */
  stop(): void;
  /** Undefined where the end of the whole submission cancels it. */
  cancel: (() => void) | undefined;
}

/** Is told which job runs, so that Ctrl-C can be about it; undefined when none does any more. */
export type HoldJob = (job: JobControl | undefined) => void;

/**
 * Runs until done or Ctrl-C. While a job runs and a person sits at a terminal, Ctrl-C asks what is to become of it, and
 * a second one leaves at once. Anywhere else the first aborts, which `consequence` explains, and the second ends the
 * program. Returns whether the job was left by a second Ctrl-C.
 */
export async function interruptible(
  screen: Screen,
  consequence: string,
  body: (signal: AbortSignal, hold: HoldJob) => Promise<void>,
): Promise<boolean> {
  const interrupts = new Interrupts(screen, consequence);
  const release = onStopSignal((signal) => interrupts.take(signal));
  try {
    await body(interrupts.signal, interrupts.hold);
    return interrupts.hasLeft;
  } finally {
    interrupts.hold(undefined);
    screen.close();
    release();
  }
}

class Interrupts {
  readonly #screen: Screen;
  readonly #consequence: string;
  readonly #abort = new AbortController();
  readonly #canAsk: boolean;
  #job: JobControl | undefined;
  #isAsking = false;
  #hasLeft = false;

  constructor(screen: Screen, consequence: string) {
    this.#screen = screen;
    this.#consequence = consequence;
    this.#canAsk = screen.ask !== undefined && Deno.stdin.isTerminal() && Deno.stderr.isTerminal();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  readonly hold: HoldJob = (job) => {
    this.#job = job;
    // Nothing is left to be asked.
    if (!job && this.#isAsking) this.#endQuestion();
  };

  take(signal: StopSignal): void {
    if (this.signal.aborted || this.#hasLeft) return this.#exit();
    if (!this.#job || signal !== "SIGINT" || !this.#canAsk) return this.#stop(this.#consequence);
    if (this.#isAsking) this.#leave(this.#job);
    else void this.#ask();
  }

  #stop(consequence: string): void {
    this.#screen.show({ event: "warning", text: `stopping; ${consequence}` });
    this.#abort.abort(new UserError("interrupted", { code: "INTERRUPTED" }));
  }

  #exit(): never {
    this.#endQuestion();
    this.#screen.close();
    Deno.exit(EXIT.interrupted);
  }

  /** The second Ctrl-C. */
  #leave(job: JobControl): void {
    this.#endQuestion();
    if (!job.detach) return this.#stop("the worker ends the job");
    this.#hasLeft = true;
    this.#detach(job, job.detach);
  }

  #detach({ id }: JobControl, detach: () => void): void {
    const text = `left: the job goes on; come back with: sleap-rtc-client attach ${id}`;
    this.#screen.show({ event: "warning", text });
    detach();
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    const detach = this.#job?.detach ? "(d)etach, " : "";
    this.#screen.ask?.(`${detach}(s)top early and keep what was trained, (c)ancel, or go on [Enter]?`);
    while (this.#isAsking) {
      for (const key of await readKeys()) {
        // Meanwhile it may have ended, or been left.
        if (!this.#isAsking || !this.#job) return;
        if (this.#answer(key, this.#job)) this.#endQuestion();
      }
    }
  }

  /** Whether it is one. */
  #answer(key: string, job: JobControl): boolean {
    if (ENTER.includes(key)) return true;
    if (key === "d" && job.detach) this.#detach(job, job.detach);
    else if (key === "s") {
      job.stop();
      this.#screen.show({ event: "info", text: "the job was asked to end early" });
    } else if (key === "c" && job.cancel) {
      job.cancel();
      this.#screen.show({ event: "info", text: "the job was asked to end" });
    } else if (key === "c") this.#stop("the job is cancelled");
    else return false;
    return true;
  }

  #endQuestion(): void {
    if (!this.#isAsking) return;
    this.#isAsking = false;
    Deno.stdin.setRaw(false);
    this.#screen.ask?.(undefined);
  }
}

/** A read that nobody waits for any more cannot be taken back: the next question gets what it reads. */
let reading: Promise<string> | undefined;

/** The next keys, in lower case; Enter when there will be none. Ctrl-C goes on to be a signal. */
async function readKeys(): Promise<string> {
  Deno.stdin.setRaw(true, { cbreak: true });
  const buffer = new Uint8Array(16);
  reading ??= Deno.stdin.read(buffer).then(
    (read) => read === null ? "\n" : new TextDecoder().decode(buffer.subarray(0, read)).toLowerCase(),
    () => "\n",
  );
  const keys = await reading;
  reading = undefined;
  return keys;
}
