import stringWidth from "string-width";
import type { Terminal, TerminalSize } from "./terminal.ts";

/** It is drawn at most this often, in milliseconds: a log may be faster than any eye. */
const EVERY_MS = 40;

/** Terminals that know these show a frame when it is complete; others pass over them. */
const [BEGIN_FRAME, END_FRAME] = ["\x1b[?2026h", "\x1b[?2026l"];
const ERASE_REST_OF_LINE = "\x1b[K";
const ERASE_BELOW = "\x1b[J";

/** Lines at the bottom of a terminal that are drawn over and over, while others are printed above them for good. */
export class LiveArea {
  readonly #terminal: Terminal;
  readonly #draw: (size: TerminalSize) => readonly string[];
  /** Widths of the lines that are drawn, in columns. */
  #drawn: readonly number[] = [];
  #printed: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastAt = -Infinity;
  #isClosed = false;

  /** `draw` makes the lines; what does not fit into the width, less one, is cut off by {@link cutToWidth} there. */
  constructor(terminal: Terminal, draw: (size: TerminalSize) => readonly string[]) {
    this.#terminal = terminal;
    this.#draw = draw;
  }

  /** Prints a line for good, above the others. */
  print(line: string): void {
    this.#printed.push(line);
    this.refresh();
  }

  /** What is drawn has changed. */
  refresh(): void {
    if (this.#timer !== undefined) return;
    const pause = this.#lastAt + EVERY_MS - performance.now();
    if (pause <= 0 || this.#isClosed) this.flush();
    else this.#timer = setTimeout(() => this.flush(), pause);
  }

  /** Draws at once. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lastAt = performance.now();
    const size = this.#terminal.size();
    const lines = this.#draw(size);
    const printed = this.#printed.splice(0);
    if (lines.length === 0 && this.#drawn.length === 0 && printed.length === 0) return;
    const frame = [
      BEGIN_FRAME,
      this.#toTop(size.columns),
      ...(printed.length > 0 ? [ERASE_BELOW, ...printed.map((line) => `${line}\r\n`)] : []),
      // Below the last line, the cursor is where no terminal moves it when its width changes.
      ...lines.map((line) => `${line}${ERASE_REST_OF_LINE}\r\n`),
      ERASE_BELOW,
      END_FRAME,
    ];
    this.#drawn = lines.map((line) => stringWidth(line));
    this.#terminal.write(frame.join(""));
  }

  /** Draws for the last time; what is printed from now on is printed at once. */
  close(): void {
    this.#isClosed = true;
    this.flush();
  }

  /** To where the first line begins: in a terminal that became narrower, lines have become several. */
  #toTop(columns: number): string {
    if (this.#drawn.length === 0) return "";
    const rows = this.#drawn.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / columns)), 0);
    return `\r\x1b[${rows}A`;
  }
}

/** As much of a plain text as fits into so many columns. */
export function cutToWidth(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text;
  let [kept, width] = ["", 0];
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    width += stringWidth(segment);
    if (width > columns) break;
    kept += segment;
  }
  return kept;
}
