/** The list on a terminal from which a person chooses a worker. */
import { UserError } from "../config/user_error.ts";
import { printable } from "../protocol/printable.ts";
import { gpuText, misfit, type Needs, type WorkerInfo } from "./choose_worker.ts";

/** Of a worker's id at least so many characters are shown, and at most. */
const LEAST_ID_CHARS = 8;
const MAX_ID_CHARS = 256;
/** Answer of who leaves the choice to the program. */
const BEST = "";

/** What the list is made of. */
export interface Choice {
  /** All workers of the room, the best first. */
  workers: readonly WorkerInfo[];
  needs: Needs;
  /** Storage backends of this machine. */
  ours: readonly string[];
  /** Whether one can be chosen that is busy: the job waits for it. */
  mayWait: boolean;
}

/** One line of the list; `disabled` says why it cannot be chosen. */
export interface ChoiceLine {
  name: string;
  value: string;
  disabled: string | false;
}

/** Whether there is a person to ask: never in a script. */
export function canAsk({ json = false }: { json?: boolean }): boolean {
  return !json && Deno.stdin.isTerminal() && Deno.stderr.isTerminal();
}

/** The lines of the list. */
export function choiceLines({ workers, needs, ours, mayWait }: Choice): ChoiceLine[] {
  const length = idLength(workers);
  const cells = workers.map((worker) => {
    const shared = worker.backends?.filter((name) => ours.includes(name)) ?? [];
    const storage = shared.length === 0 ? "" : `shares ${shared.join(", ")}`;
    return [worker.peerId.slice(0, length), worker.hostname, worker.status, gpuText(worker), storage]
      .map((each) => printable(each));
  });
  const widths = (cells[0] ?? []).map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)));
  return workers.map((worker, at) => {
    const isBusy = worker.status !== "available" && !mayWait;
    const reason = misfit(worker, needs) ?? (isBusy ? worker.status : undefined);
    const name = (cells[at] ?? []).map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")
      .trimEnd();
    return { name, value: worker.peerId, disabled: reason === undefined ? false : `(${printable(reason)})` };
  });
}

/** So many characters tell the workers apart: whole ids would fill the terminal. */
function idLength(workers: readonly WorkerInfo[]): number {
  let length = LEAST_ID_CHARS;
  const differ = (): boolean =>
    new Set(workers.map(({ peerId }) => peerId.slice(0, length))).size === workers.length;
  while (!differ() && length < MAX_ID_CHARS) length++;
  return length;
}

/**
 * Lets a person choose; undefined when the choice is left to the program, which it is without a question where there is
 * no choice. Throws `UserError` with exit code 130 after Ctrl-C, the abort reason.
 */
export async function askWorker(choice: Choice, signal: AbortSignal): Promise<string | undefined> {
  const lines = choiceLines(choice);
  if (lines.filter(({ disabled }) => disabled === false).length < 2) return undefined;
  // No script needs it.
  const [{ default: select }, { default: process }] = await Promise.all([
    import("@inquirer/select"),
    import("node:process"),
  ]);
  const best = { name: "whichever is best", value: BEST, disabled: false };
  try {
    const options = { message: "Which worker?", choices: [best, ...lines], loop: false, pageSize: 15 };
    const chosen = await select(options, { output: process.stderr, signal });
    return chosen === BEST ? undefined : chosen;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Error && error.name === "ExitPromptError")) throw error;
    throw new UserError("interrupted", { code: "INTERRUPTED" });
  }
}
