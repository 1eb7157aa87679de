/** A program on a terminal of its own, made by Python's `pty`. */

/** Copies what the program writes to its own output, and its own input to the program's terminal. */
const PTY = `import pty, sys
status = pty.spawn(sys.argv[1:])
sys.exit(status >> 8 if status & 127 == 0 else 128 + (status & 127))`;
/** A program gets this long to show something, in milliseconds. */
const LIMIT_MS = 60_000;

/** Dispose of it, or its program stays. */
export class Terminal {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<void>;
  #wake = Promise.withResolvers<void>();
  #hasEnded = false;
  /** All that was written to it. */
  text = "";

  constructor(command: readonly string[], env: Record<string, string>) {
    this.#child = new Deno.Command("python3", {
      args: ["-c", PTY, ...command],
      env: { ...env, TERM: "xterm", NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      this.text += text;
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    }
    this.#hasEnded = true;
    this.#wake.resolve();
  }

  /** Types keys. */
  type(keys: string): void {
    void this.#input.write(new TextEncoder().encode(keys)).catch(() => {});
  }

  /** Waits until something is shown. Throws with all that was when the program ends, or time runs out. */
  async shows(pattern: RegExp): Promise<void> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#wake.resolve();
    }, LIMIT_MS);
    try {
      while (!pattern.test(this.text)) {
        if (isLate || this.#hasEnded) throw new Error(`it does not show ${pattern}:\n${this.text}`);
        await this.#wake.promise;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Its exit code. */
  async ended(): Promise<number> {
    await this.#reading;
    return (await this.#child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.#child.kill("SIGKILL");
    await this.#input.close().catch(() => {});
    await this.ended();
  }
}
