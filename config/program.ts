/** What the three command lines have in common. */
import { getLogger } from "@logtape/logtape";
import { Command, CommanderError, Option } from "commander";
import { EXIT, exitCodeOf } from "./error_code.ts";
import { configureLog, type LogOptions } from "./log.ts";
import { ConfigError, errorCode, errorText, UserError } from "./user_error.ts";
import { versionText } from "./version.ts";

const logger = getLogger(["sleap-rtc", "program"]);

/** What the numbers mean with which programs end. */
const EXIT_CODES = `
Exit codes: 0 done; 1 the job failed, a check found something, or something else went wrong; 2 the command line, a
setting or the input is wrong; 3 no server or worker is there, or none has time; 4 the worker was lost, the job may go
on; 130 ended by Ctrl-C.`;

/** Flags of every command that prints. */
const OUTPUT_FLAGS = [
  ["--verbose", "log more"],
  ["--quiet", "say nothing but warnings, errors and the result"],
  ["--json", "one JSON object a line on stdout"],
] as const;

/** Adds `--verbose`, `--quiet` and `--json` where a command has them not yet; returns it. */
export function withOutputFlags(command: Command): Command {
  for (const [flag, help] of OUTPUT_FLAGS) {
    if (!command.options.some(({ long }) => long === flag)) command.option(flag, help);
  }
  return command;
}

/** A program with version, and help that ends with examples and exit codes. */
export function createProgram(name: string, description: string, examples: string): Command {
  return new Command(name)
    .description(description)
    .version(versionText(name))
    .allowExcessArguments(false)
    .showHelpAfterError("hint: see --help")
    .addHelpText("after", `\nExamples:\n${examples}\n${EXIT_CODES}`)
    .hook("preAction", async (_program, command) => {
      const flags = command.optsWithGlobals<LogOptions>();
      // Commands whose output is all there is to tell log nothing unless asked to.
      if (!flags.verbose) return;
      await configureLog(flags);
      logger.debug("{version} on {os} {arch}", { version: versionText(name), ...Deno.build });
    })
    .exitOverride();
}

/** The flag of all programs that says how log lines look. */
export function logFormatOption(): Option {
  return new Option(
    "--log-format <format>",
    "how log lines on stderr look (default: json with --json, else text)",
  )
    .choices(["json", "text"]);
}

/** Parses the arguments and runs the action they name; returns the exit code. What goes wrong is on stderr. */
export async function runProgram(program: Command, args: readonly string[]): Promise<number> {
  const json = args.includes("--json");
  try {
    // `deno task NAME -- ARGUMENTS` hands on the dashes as well.
    await program.parseAsync(args[0] === "--" ? args.slice(1) : args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof ExitCode) return error.code;
    if (!(error instanceof CommanderError)) return reportError(error, json);
    // commander has said what is wrong, or shown what was asked for
    if (error.exitCode === 0) return EXIT.done;
    return reportUsage(error, json);
  }
}

/** Thrown by an action that has said everything and ends with an exit code other than 0. */
export class ExitCode extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`exit code ${code}`);
    this.code = code;
  }
}

/** Says on stderr what went wrong, what to do about it and its code; in JSON also on stdout. Returns the exit code. */
export function reportError(error: unknown, json = false): number {
  const code = errorCode(error);
  console.error(`error: ${errorText(error)}`);
  if (error instanceof UserError && error.hint !== undefined) console.error(`hint: ${error.hint}`);
  console.error(`code: ${code}`);
  if (json) printErrorEvent(error);
  return exitCodeOf(code);
}

/** The same for a command line that is not understood, of which the text is on stderr already. */
function reportUsage({ code, message }: CommanderError, json: boolean): number {
  console.error("code: USAGE");
  const text = code === "commander.help" ? "which command?" : message.replace(/^error: /, "");
  if (json) printErrorEvent(new UserError(text, { code: "USAGE", hint: "see --help" }));
  return exitCodeOf("USAGE");
}

/** The last line of a `--json` run that an error ended. */
function printErrorEvent(error: unknown): void {
  const code = errorCode(error);
  const hint = error instanceof UserError ? error.hint ?? null : null;
  const event = { event: "error", code, message: errorText(error), hint, exit_code: exitCodeOf(code) };
  console.log(JSON.stringify(event));
}

/** How a program is asked to stop: Ctrl-C, or a polite kill. */
export type StopSignal = "SIGINT" | "SIGTERM";

/** Calls `stop` at Ctrl-C or a polite kill; returns what takes the handlers away again. */
export function onStopSignal(stop: (signal: StopSignal) => void): () => void {
  // Windows has no SIGTERM.
  const signals: readonly StopSignal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  const handlers = signals.map((signal) => [signal, (): void => stop(signal)] as const);
  for (const [signal, handler] of handlers) Deno.addSignalListener(signal, handler);
  return () => handlers.forEach(([signal, handler]) => Deno.removeSignalListener(signal, handler));
}

/** A whole number from the command line. Throws {@link ConfigError}. */
export function parseWholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new ConfigError(`expected a whole number, found "${text}"`);
}
