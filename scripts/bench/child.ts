import { SMALL_HEAP } from "../programs.ts";
import { TextLineStream } from "../text_lines.ts";

/** A child process that is told and tells by lines of text. Dispose of it, or it stays. */
export class LineChild implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  /** Starts a module of the project with the arguments, and V8 as client and worker have it. */
  constructor(module: string, args: readonly string[]) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", SMALL_HEAP, "-A", new URL(module, import.meta.url).pathname, ...args],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#lines = this.#process.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
      .getReader();
    this.#writer = this.#process.stdin.getWriter();
  }

  /** Its next line. Throws when it has ended. */
  async line(): Promise<string> {
    const { value } = await this.#lines.read();
    if (value === undefined) throw new Error("a measuring process ended early");
    return value;
  }

  async tell(line: string): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(`${line}\n`));
  }

  /** Most memory that it ever had, in MiB; NaN where the system does not say. */
  async peakRssMib(): Promise<number> {
    try {
      const status = await Deno.readTextFile(`/proc/${this.#process.pid}/status`);
      return Number(/^VmHWM:\s*(\d+) kB/m.exec(status)?.[1]) / 1024;
    } catch {
      return NaN;
    }
  }

  /** Processor time that it has used, in seconds; NaN where the system does not say. */
  async cpuSeconds(): Promise<number> {
    try {
      const stat = await Deno.readTextFile(`/proc/${this.#process.pid}/stat`);
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      // User and system time in hundredths of a second.
      return (Number(fields[11]) + Number(fields[12])) / 100;
    } catch {
      return NaN;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#process.status;
    await this.#lines.cancel();
    await this.#writer.abort().catch(() => {});
  }
}
