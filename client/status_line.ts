/** Width of a terminal that does not tell. */
const USUAL_COLUMNS = 80;

/** A line at the bottom of the terminal that is written over again and again. */
export class StatusLine {
  #text = "";

  /** Shows a text, cut to the terminal's width; an empty one takes the line away. */
  set(text: string): void {
    if (text === this.#text) return;
    this.#text = text;
    this.#draw();
  }

  /** Prints something for good, above the line. */
  above(print: () => void): void {
    if (this.#text === "") return print();
    this.#write("");
    print();
    this.#draw();
  }

  #draw(): void {
    this.#write(this.#text.slice(0, Math.max(0, columns() - 1)));
  }

  #write(text: string): void {
    const CLEAR = "\r\x1b[K";
    Deno.stderr.writeSync(new TextEncoder().encode(CLEAR + text));
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
