import { ProgressLines } from "../config/progress.ts";
import { printable } from "../protocol/printable.ts";
import type { ClientEvent, Screen } from "./event.ts";
import { LineScreen } from "./line_screen.ts";
import { canDraw } from "./terminal.ts";

export type { ClientEvent, Screen, Summary } from "./event.ts";
export { lineOf } from "./event_text.ts";

/** How a command is to tell what it does. */
export interface ScreenFlags {
  json?: boolean;
  quiet?: boolean;
}

/** The screen that the flags ask for; `result`: the events for which the command is run, shown with `--quiet` too. */
export async function screenFor(
  { json = false, quiet = false }: ScreenFlags,
  result: ClientEvent["event"] = "summary",
): Promise<Screen> {
  if (json) return quiet ? quietScreen(jsonScreen(), result) : jsonScreen();
  if (quiet) return quietScreen(new LineScreen(), result);
  if (!canDraw()) return new LineScreen();
  // What measures the width of characters takes a quarter of a program's start.
  const { textScreen } = await import("./terminal_screen.ts");
  return textScreen();
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
