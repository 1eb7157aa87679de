/** The terminal on stderr. */

/** A terminal, as far as it is needed to draw on it. */
export interface Terminal {
  /** Its width and height now. */
  size(): TerminalSize;
  write(text: string): void;
}

/** In characters. */
export interface TerminalSize {
  columns: number;
  rows: number;
}

/** Size of a terminal that does not tell. */
const USUAL: TerminalSize = { columns: 80, rows: 24 };
/** A smaller terminal gets plain lines. */
const LEAST = { columns: 30, rows: 6 };

/** The terminal on stderr. */
export function stderrTerminal(): Terminal {
  const encoder = new TextEncoder();
  return {
    size: terminalSize,
    write: (text) => {
      const bytes = encoder.encode(text);
      for (let done = 0; done < bytes.length;) done += Deno.stderr.writeSync(bytes.subarray(done));
    },
  };
}

/** Some terminals say 0. */
export function terminalSize(): TerminalSize {
  try {
    const { columns, rows } = Deno.consoleSize();
    return { columns: columns || USUAL.columns, rows: rows || USUAL.rows };
  } catch {
    return USUAL;
  }
}

/** Whether stderr is a terminal on which something can be drawn. */
export function canDraw(): boolean {
  if (!Deno.stderr.isTerminal() || Deno.env.get("TERM") === "dumb") return false;
  const { columns, rows } = terminalSize();
  return columns >= LEAST.columns && rows >= LEAST.rows;
}
