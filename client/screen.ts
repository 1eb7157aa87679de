import { ProgressLines } from "../config/progress.ts";
import { printable } from "../protocol/printable.ts";
import type { ClientEvent, Screen } from "./event.ts";
import { lineOf } from "./event_text.ts";
import { stderrTerminal, terminalSize } from "./live_area.ts";
import { TerminalScreen } from "./terminal_screen.ts";

export type { ClientEvent, Screen, Summary } from "./event.ts";
export { lineOf } from "./event_text.ts";

/** A smaller terminal gets plain lines. */
const LEAST = { columns: 30, rows: 6 };

/** How a command is to tell what it does. */
export interface ScreenFlags {
  json?: boolean;
  quiet?: boolean;
}

/** The screen that the flags ask for; `result`: the events for which the command is run, shown with `--quiet` too. */
export function screenFor(
  { json = false, quiet = false }: ScreenFlags,
  result: ClientEvent["event"] = "summary",
): Screen {
  const screen = json ? jsonScreen() : quiet ? new LineScreen() : textScreen();
  return quiet ? quietScreen(screen, result) : screen;
}

/** Lets warnings and the result pass; errors are no events. */
function quietScreen(screen: Screen, result: ClientEvent["event"]): Screen {
  return {
    show: (event) => {
      if (event.event === "warning" || event.event === result) screen.show(event);
    },
    // Where nobody can be asked, nobody is.
    ...(screen.ask && { ask: (question: string | undefined): void => screen.ask?.(question) }),
    close: () => screen.close(),
  };
}

/** One JSON object a line on stdout. */
export function jsonScreen(): Screen {
  const lines = new ProgressLines();
  return {
    show(event): void {
      const isDue = event.event !== "progress" ||
        lines.line(event.what, event.done, event.total) !== undefined;
      if (isDue) console.log(JSON.stringify(event));
    },
    close(): void {},
  };
}

/**
 * For people: the job's output on stdout, everything else on stderr, line by line. Where stderr is a terminal, what
 * moves is drawn at its bottom.
 */
export function textScreen(): Screen {
  return canDraw() ? new TerminalScreen(stderrTerminal()) : new LineScreen();
}

function canDraw(): boolean {
  if (!Deno.stderr.isTerminal() || Deno.env.get("TERM") === "dumb") return false;
  const { columns, rows } = terminalSize();
  return columns >= LEAST.columns && rows >= LEAST.rows;
}

class LineScreen implements Screen {
  readonly #lines = new ProgressLines();

  show(event: ClientEvent): void {
    if (event.event === "progress") {
      const line = this.#lines.line(event.what, event.done, event.total);
      if (line !== undefined) console.error(line);
      return;
    }
    const line = lineOf(event);
    if (line === undefined) return;
    if (event.event === "log" || event.event === "summary") console.log(line);
    else console.error(line);
  }

  ask(question: string | undefined): void {
    if (question !== undefined) console.error(question);
  }

  close(): void {}
}

/** Rows as aligned columns, made printable; the first row is the heading. */
export function table(cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map((cell) => printable(cell)));
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length))
  );
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd();
  const [heading, ...body] = rows;
  return [line(heading ?? []), widths.map((width) => "-".repeat(width)).join("  "), ...body.map(line)].join(
    "\n",
  );
}
