/** Programs on a pseudo-terminal, and what a person sees there. */
import xterm from "@xterm/headless";

/** Whatever does not come within so many milliseconds does not come. */
const LIMIT_MS = 60_000;

/** Whether there is what makes pseudo-terminals: `script` of util-linux. */
export const hasPty = Deno.build.os === "linux" &&
  await new Deno.Command("script", { args: ["--version"], stdout: "null" }).output().then(
    ({ success }) => success,
    () => false,
  );

/** What a test's name says where it is skipped. */
export const PTY_NOTE = hasPty ? "" : " (skipped: needs script of util-linux)";

/** How a program is run. */
export interface PtyOptions {
  columns?: number;
  rows?: number;
  env?: Record<string, string>;
}

/** A program that runs on a terminal of its own. */
export class Pty {
  readonly #child: Deno.ChildProcess;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;
  readonly #emulator: xterm.Terminal;
  readonly #done: Promise<void>;
  readonly #waiting = new Set<() => void>();
  #isOver = false;
  #device = "";
  #begin!: () => void;
  /** Settles when the program is about to begin: keys before that would be seen before anything else. */
  readonly #begun: Promise<void> = new Promise((resolve) => this.#begin = resolve);
  /** What was to be seen in the end. */
  #last: string[] | undefined;
  /** All that the terminal was sent. */
  raw = "";

  /** `command` is run by a shell; its terminal has the name that the first line says. */
  constructor(command: string, { columns = 80, rows = 24, env = {} }: PtyOptions = {}) {
    this.#emulator = new xterm.Terminal({ cols: columns, rows, scrollback: 10_000, allowProposedApi: true });
    // Whoever runs the tests may want no colours of theirs.
    const colors = "NO_COLOR" in env ? "" : "unset NO_COLOR; ";
    const shell = `${colors}stty cols ${columns} rows ${rows}; tty; exec ${command}`;
    this.#child = new Deno.Command("script", {
      args: ["-qefc", shell, "/dev/null"],
      env: { TERM: "xterm-256color", SHELL: "/bin/sh", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#keys = this.#child.stdin.getWriter();
    this.#done = this.#collect();
  }

  async #collect(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.#child.stdout) {
      let text = decoder.decode(bytes, { stream: true });
      if (this.#device === "") {
        this.raw += text;
        const found = /^(\/dev\/\S+)\r\n/.exec(this.raw);
        if (!found) continue;
        this.#device = found[1]!;
        this.#begin();
        text = this.raw = this.raw.slice(found[0].length);
      } else this.raw += text;
      await new Promise<void>((resolve) => this.#emulator.write(text, resolve));
      for (const wake of [...this.#waiting]) wake();
    }
    this.#isOver = true;
    this.#begin();
    for (const wake of [...this.#waiting]) wake();
  }

  /** All lines, those that have scrolled away first; blank ones at the end are left out. */
  get lines(): string[] {
    if (this.#last) return this.#last;
    const buffer = this.#emulator.buffer.active;
    const lines = Array.from({ length: buffer.length }, (_, index) => {
      return buffer.getLine(index)?.translateToString(true) ?? "";
    });
    return lines.slice(0, lines.findLastIndex((line) => line !== "") + 1);
  }

  /** Those lines as one text. */
  get text(): string {
    return this.lines.join("\n");
  }

  /** Whether a part of a frame has come: nobody is to see that. */
  get #isInFrame(): boolean {
    return this.raw.lastIndexOf("\x1b[?2026h") > this.raw.lastIndexOf("\x1b[?2026l");
  }

  /** Waits until the screen matches. Throws with the screen when the program ends first, or time runs out. */
  async until(pattern: RegExp): Promise<void> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      for (const wake of [...this.#waiting]) wake();
    }, LIMIT_MS);
    try {
      while (this.#isInFrame || !pattern.test(this.text)) {
        if (isLate || this.#isOver) {
          throw new Error(`${isLate ? "time ran out" : "it ended"} without ${pattern}:\n${this.text}`);
        }
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            this.#waiting.delete(wake);
            resolve();
          };
          this.#waiting.add(wake);
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Presses keys; `\x03` is Ctrl-C. */
  async type(keys: string): Promise<void> {
    await this.#begun;
    await this.#keys.write(new TextEncoder().encode(keys));
  }

  /** Gives the terminal another size; its program gets SIGWINCH. */
  async resize(columns: number, rows: number): Promise<void> {
    this.#emulator.resize(columns, rows);
    const args = ["-F", this.#device, "cols", String(columns), "rows", String(rows)];
    const { success } = await new Deno.Command("stty", { args }).output();
    if (!success) throw new Error(`${this.#device} cannot be resized`);
  }

  /** The program's exit code, when all that it wrote was read. */
  async exited(): Promise<number> {
    const { code } = await this.#child.status;
    await this.#done;
    await this.#keys.close().catch(() => {});
    this.#last = this.lines;
    this.#emulator.dispose();
    return code;
  }

  /** Ends it, if it has not ended. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch { /* It has ended. */ }
    await this.exited();
  }
}
