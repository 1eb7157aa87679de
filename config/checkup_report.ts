/** What a `doctor` command shows: a line for each finding, what still runs on a terminal, and a summary. */
import { ExitCode, onStopSignal } from "./program.ts";
import { type Check, type Finding, runChecks, type Status } from "./checkup.ts";

const MARKS: Readonly<Record<Status, string>> = { ok: "ok  ", warning: "warn", failure: "FAIL" };
/** Exit code after Ctrl-C, as shells have it. */
const INTERRUPTED = 130;
/** Width of a terminal that does not tell. */
const USUAL_COLUMNS = 80;

/** How findings are shown. */
export interface ReportOptions {
  /** One JSON object a line. */
  json?: boolean | undefined;
  /** Leaves out what is as it should be. */
  quiet?: boolean | undefined;
}

/** How often each was found. */
type Tally = Readonly<Record<Status, number>>;

/**
 * Runs the checks and shows what they find, on stdout. Throws {@link ExitCode}: 1 when something is a failure, 130
 * after Ctrl-C, which lets the checks clean up.
 */
export async function reportChecks(checks: readonly Check[], { json, quiet }: ReportOptions): Promise<void> {
  const stop = new AbortController();
  const release = onStopSignal(() => stop.signal.aborted ? Deno.exit(INTERRUPTED) : stop.abort());
  const began = performance.now();
  const tally: Record<Status, number> = { ok: 0, warning: 0, failure: 0 };
  const line = Deno.stderr.isTerminal() && !json && !quiet ? new RunningLine() : undefined;
  for await (const finding of runChecks(checks, stop.signal, (names) => line?.show(names))) {
    tally[finding.status]++;
    if (quiet && finding.status === "ok") continue;
    line?.hide();
    console.log(json ? JSON.stringify({ event: "finding", ...finding }) : findingLine(finding));
    line?.draw();
  }
  line?.hide();
  const seconds = Math.round((performance.now() - began) / 100) / 10;
  const { ok, warning: warnings, failure: failures } = tally;
  if (json) console.log(JSON.stringify({ event: "summary", ok, warnings, failures, seconds }));
  else console.log(summaryLine(tally, seconds));
  release();
  if (stop.signal.aborted) throw new ExitCode(INTERRUPTED);
  if (failures > 0) throw new ExitCode(1);
}

/** How a finding is shown to people; lines after the first are indented. */
export function findingLine({ what, status, detail, hint }: Finding): string {
  const text = `${what}: ${detail}${hint === undefined ? "" : `\n${hint}`}`;
  return `${MARKS[status]}  ${text.replaceAll("\n", "\n      ")}`;
}

function summaryLine({ ok, warning, failure }: Tally, seconds: number): string {
  const count = (number: number, word: string): string => `${number} ${word}${number === 1 ? "" : "s"}`;
  const verdict = failure > 0
    ? "the setup does not work"
    : warning > 0
    ? "the setup works, but not all of it well"
    : "the setup works";
  return `\n${verdict}: ${count(failure, "failure")}, ${
    count(warning, "warning")
  }, ${ok} ok, in ${seconds} s`;
}

/** The last line of the terminal, which tells what is under way and goes when there is something to say. */
class RunningLine {
  #text = "";

  show(names: readonly string[]): void {
    this.#text = names.length === 0 ? "" : `…     looking at ${names.join(", ")}`;
    this.draw();
  }

  draw(): void {
    this.#write(this.#text.slice(0, columns() - 1));
  }

  hide(): void {
    this.#write("");
  }

  #write(text: string): void {
    Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${text}`));
  }
}

/** The terminal's width; some terminals say 0. */
function columns(): number {
  try {
    return Deno.consoleSize().columns || USUAL_COLUMNS;
  } catch {
    return USUAL_COLUMNS;
  }
}
