/** The look into a package that `train` and `track` take before bytes move: quiet when all is well. */
import { Conversation } from "../conversation.ts";
import type { Connection } from "../connect.ts";
import type { Screen } from "../screen.ts";
import { pause } from "../../signaling/presence.ts";
import { askWorker } from "./ask_worker.ts";
import type { PackageToCheck } from "./check.ts";
import { type Finding, findingText, PackageFaultsError } from "./finding.ts";
import type { Questions } from "./questions.ts";

/** A look beside a job leaves the first moments to that, in milliseconds: one that is over by then needs none. */
const BESIDE_AFTER_MS = 250;

/** How a worker is reached, and what it can do. */
type Reached = Pick<Connection, "pipe" | "features">;

/** Looks into one package, once, beside all else that a submission does; dispose of it when that is over. */
export class Preflight implements Disposable {
  readonly #over = new AbortController();
  readonly #given: PackageToCheck;
  readonly #screen: Screen;
  readonly #signal: AbortSignal;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking: Promise<Questions> | undefined;

  constructor(given: PackageToCheck, screen: Screen, signal: AbortSignal) {
    [this.#given, this.#screen] = [given, screen];
    this.#signal = AbortSignal.any([signal, this.#over.signal]);
  }

  /** Aborts, with a {@link PackageFaultsError}, when the package cannot succeed; and when the caller's signal does. */
  get signal(): AbortSignal {
    return this.#signal;
  }

  /** Begins to look, after so many milliseconds unless somebody waits for it before. */
  begin(afterMs: number): void {
    this.#timer ??= setTimeout(() => void this.#look().catch(() => {}), afterMs);
  }

  /**
   * Asks a worker, when the look is over. `isSent`: whether the package goes over the channel. Warnings are shown.
   * Throws {@link PackageFaultsError}, `WorkerLostError`, the abort reason.
   */
  async before({ pipe, features }: Reached, isSent: boolean): Promise<void> {
    const questions = await this.#look();
    const talk = { conversation: new Conversation(pipe), screen: this.#screen, signal: this.#signal };
    this.#showOrThrow(await askWorker(talk, features, questions, isSent));
  }

  /**
   * The same while a job runs whose package lies where the worker reads it: nothing is to be saved by waiting. A
   * package that cannot succeed aborts {@link signal}. Never throws.
   */
  async beside(conversation: Conversation, features: Connection["features"]): Promise<void> {
    try {
      await pause(BESIDE_AFTER_MS, this.#signal);
      this.#signal.throwIfAborted();
      const { files, packedBytes } = await this.#look();
      using aside = conversation.aside("PREFLIGHT_REPORT");
      const talk = { conversation: aside, screen: this.#screen, signal: this.#signal };
      // The job takes the room that it needs already.
      const questions = { files, packedBytes, unpackedBytes: undefined };
      this.#showOrThrow(await askWorker(talk, features, questions, false));
    } catch {
      // What is wrong with the package is told by the signal, a lost worker noticed by who follows the job.
    }
  }

  #look(): Promise<Questions> {
    clearTimeout(this.#timer);
    this.#looking ??= this.#lookOnce();
    return this.#looking;
  }

  async #lookOnce(): Promise<Questions> {
    // What reads archives is loaded by the commands that need it.
    const { checkContents } = await import("./check.ts");
    const { findings, questions } = await checkContents(this.#given, this.#signal);
    this.#showOrThrow(findings);
    return questions;
  }

  #showOrThrow(findings: readonly Finding[]): void {
    this.#signal.throwIfAborted();
    try {
      showOrThrow(findings, this.#screen);
    } catch (error) {
      this.#over.abort(error);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#over.abort();
  }
}

/**
 * Looks into a package, and returns what a worker is to be asked. Warnings are shown. Throws
 * {@link PackageFaultsError} for one that cannot succeed, the abort reason.
 */
export async function preflight(
  given: PackageToCheck,
  screen: Screen,
  signal: AbortSignal,
): Promise<Questions> {
  const { checkContents } = await import("./check.ts");
  const { findings, questions } = await checkContents(given, signal);
  showOrThrow(findings, screen);
  return questions;
}

function showOrThrow(findings: readonly Finding[], screen: Screen): void {
  for (const finding of findings.filter(({ level }) => level === "warning")) {
    const hint = finding.hint === undefined ? "" : ` (${finding.hint})`;
    screen.show({ event: "warning", text: findingText(finding) + hint });
  }
  const failures = findings.filter(({ level }) => level === "failure");
  if (failures.length > 0) throw new PackageFaultsError(failures);
}
