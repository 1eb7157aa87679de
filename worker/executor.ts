/** Starts the configured job programs and cuts their output into log messages. */
import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";

/** A program that is asked to end gets this long before it is killed, in milliseconds. */
const GRACE_MS = 3_000;
/** What a program leaves behind may hold its output open for so long after its end, in milliseconds. */
const LINGER_MS = 5_000;
/** A piece of output without a line end is passed on at this length (PROTOCOL.md section 12.2). */
const MAX_PIECE_LENGTH = 65_536;

/** A job program that could not be started, or a run that failed. */
export class JobError extends UserError {
  static override readonly code: ErrorCode = "JOB_PROGRAM";
}

/**
 * Cuts output at `\r` and `\n` (PROTOCOL.md section 12.2): a piece ended by `\n` comes out as `{text}\n`, one ended by
 * `\r` as `\r{text}`; empty pieces are skipped.
 */
export class OutputCutter {
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** The pieces that are complete after these bytes. */
  push(bytes: Uint8Array): string[] {
    return this.#cut(this.#decoder.decode(bytes, { stream: true }));
  }

  /** What is left at the end of the output. */
  end(): string[] {
    const pieces = this.#cut(this.#decoder.decode());
    if (this.#rest !== "") pieces.push(`${this.#rest}\n`);
    this.#rest = "";
    return pieces;
  }

  #cut(text: string): string[] {
    const pieces: string[] = [];
    this.#rest += text;
    let start = 0;
    for (const { index, 0: separator } of this.#rest.matchAll(/[\r\n]/g)) {
      const piece = this.#rest.slice(start, index);
      if (piece !== "") pieces.push(separator === "\n" ? `${piece}\n` : `\r${piece}`);
      start = index + 1;
    }
    this.#rest = this.#rest.slice(start);
    if (this.#rest.length > MAX_PIECE_LENGTH) {
      pieces.push(`\r${this.#rest}`);
      this.#rest = "";
    }
    return pieces;
  }
}

/** What the executor needs from its surroundings. */
export interface ExecutorOptions {
  /** All that the program sees of the environment. */
  environment: Readonly<Record<string, string>>;
  /** Signals a process group, as the sandbox may not do that itself; `pid` leads the group. */
  killGroup: (pid: number, signal: "SIGINT" | "SIGTERM" | "SIGKILL") => void;
  /** Kills what the program has started and is in another group. */
  killStrays?: () => void;
  /** Told of each process group while it runs, so that it can be ended when this isolate cannot do it any more. */
  onGroup?: (pid: number, isRunning: boolean) => void;
}

/** Takes a piece of output; the program is slowed until it resolves. */
export type OutputSink = (piece: string) => Promise<void>;

/**
 * Runs a program to its end, in a process group of its own, with nothing but the given environment.
 * Returns its exit status, a negative signal number when it was killed. An abort ends the whole group and then
 * throws the abort reason. Throws {@link JobError} when it cannot be started.
 */
export async function execute(
  command: readonly string[],
  cwd: string,
  onOutput: OutputSink,
  signal: AbortSignal,
  { environment, killGroup, killStrays, onGroup }: ExecutorOptions,
): Promise<number> {
  signal.throwIfAborted();
  const [program = "", ...args] = command;
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args,
      cwd,
      clearEnv: true,
      env: { ...environment, PYTHONUNBUFFERED: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: true,
    }).spawn();
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "it is not installed" : String(error);
    throw new JobError(`the job program "${program}" cannot be started: ${reason}`, {
      hint: "set [worker.jobs.train] command in the worker's sleap-rtc.toml",
      cause: error,
    });
  }
  onGroup?.(child.pid, true);
  const group = new ProcessGroup(child, killGroup, killStrays);
  const stop = (): void => group.stop();
  signal.addEventListener("abort", stop, { once: true });
  let linger: ReturnType<typeof setTimeout> | undefined;
  void child.status.then(() => linger = setTimeout(() => group.killRest(), LINGER_MS));
  try {
    await Promise.all([
      pump(child.stdout, onOutput, signal),
      pump(child.stderr, onOutput, signal),
      child.status,
    ]);
  } catch (error) {
    // Output that nobody takes: the program must not go on unseen.
    group.stop();
    throw error;
  } finally {
    await group.ended();
    clearTimeout(linger);
    onGroup?.(child.pid, false);
    signal.removeEventListener("abort", stop);
  }
  signal.throwIfAborted();
  const status = await child.status;
  // The shell's 128 + n for a program that signal n ended.
  return status.signal === null ? status.code : 128 - status.code;
}

/** A program with all that it has started. */
class ProcessGroup {
  readonly #child: Deno.ChildProcess;
  readonly #kill: ExecutorOptions["killGroup"];
  readonly #killStrays: ExecutorOptions["killStrays"];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    child: Deno.ChildProcess,
    kill: ExecutorOptions["killGroup"],
    killStrays: ExecutorOptions["killStrays"],
  ) {
    this.#child = child;
    this.#kill = kill;
    this.#killStrays = killStrays;
  }

  /** Asks the group to end, and kills it when it does not. */
  stop(): void {
    if (this.#timer !== undefined) return;
    this.#kill(this.#child.pid, "SIGTERM");
    this.#timer = setTimeout(() => this.killRest(), GRACE_MS);
  }

  /** Kills all that there is, also what is in another group and holds the output open. */
  killRest(): void {
    this.#kill(this.#child.pid, "SIGKILL");
    this.#killStrays?.();
  }

  /** Waits for the program. Of a group that was stopped nothing stays, even what ignores a polite request. */
  async ended(): Promise<void> {
    await this.#child.status;
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#kill(this.#child.pid, "SIGKILL");
  }
}

async function pump(
  stream: ReadableStream<Uint8Array>,
  onOutput: OutputSink,
  signal: AbortSignal,
): Promise<void> {
  const cutter = new OutputCutter();
  for await (const bytes of stream) {
    // After an abort the pipe is still emptied, so that the program can end.
    if (!signal.aborted) { for (const piece of cutter.push(bytes)) await onOutput(piece); }
  }
  if (!signal.aborted) { for (const piece of cutter.end()) await onOutput(piece); }
}
