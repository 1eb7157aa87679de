/** What may come next on a command line: subcommands, flags, and values that are known. */
import type { Argument, Command, Option } from "commander";

/** Values that only a machine knows, by `--long-name` of a flag or `<argument>`. */
export type KnownValues = Readonly<Record<string, () => readonly string[] | Promise<readonly string[]>>>;

/** One word that may come, and what it is. */
export interface Candidate {
  word: string;
  about: string;
}

/** What may come next. */
export interface Completion {
  candidates: Candidate[];
  /** Whether a path may come as well. */
  files: boolean;
}

/** Placeholders that stand for a path. */
const PATHS = /file|folder|path|package|configs/;

/**
 * What may stand in the place of the last word, which may be empty, behind the others; the program's name is none of
 * them. What is known of values and cannot be read is left out.
 */
export async function complete(
  program: Command,
  words: readonly string[],
  known: KnownValues,
): Promise<Completion> {
  // Bash hands over `--flag=value` in three words.
  const plain = words.flatMap((word) => /^--[\w-]+=/.test(word) ? word.split(/=(.*)/s, 2) : [word])
    .filter((word) => word !== "=");
  const current = plain.at(-1) ?? "";
  const { command, option, place } = walk(program, plain.slice(0, -1));
  if (option) return matching(await valuesOf(option, option.long ?? "", known), current);
  if (current.startsWith("-")) return matching({ candidates: flagsOf(command), files: false }, current);
  const argument = command.registeredArguments[place] ??
    command.registeredArguments.findLast((each) => each.variadic);
  const values = argument
    ? await valuesOf(argument, argument.name(), known)
    : { candidates: [], files: false };
  const commands = place === 0 ? subcommandsOf(command) : [];
  return matching({ ...values, candidates: [...commands, ...values.candidates] }, current);
}

/** Where a command line has come to: its command, a flag that waits for its value, and how many arguments there were. */
function walk(
  program: Command,
  words: readonly string[],
): { command: Command; option: Option | undefined; place: number } {
  let [command, option, place] = [program, undefined as Option | undefined, 0];
  for (const word of words) {
    if (option) option = undefined;
    else if (word.startsWith("-")) {
      const found = optionsOf(command).find(({ long, short }) => word === long || word === short);
      option = found && (found.required || found.optional) ? found : undefined;
    } else {
      const next = place === 0 ? command.commands.find((each) => each.name() === word) : undefined;
      if (next) command = next;
      else place++;
    }
  }
  return { command, option, place };
}

async function valuesOf(
  of: Option | Argument,
  name: string,
  known: KnownValues,
): Promise<Completion> {
  const described = "flags" in of ? of.flags : of.name();
  const words = of.argChoices ?? await Promise.try(() => known[name]?.()).catch(() => []);
  return {
    // One that a shell would take for two is left out.
    candidates: (words ?? []).filter((word) => /^[^\s\p{Cc}]+$/u.test(word)).map((word) => ({
      word,
      about: "",
    })),
    files: words === undefined && PATHS.test(described.replace(/^.*?[<[]/, "")),
  };
}

function flagsOf(command: Command): Candidate[] {
  const help = { word: "--help", about: "show help" };
  return [
    ...optionsOf(command).filter(({ hidden, long }) => !hidden && long)
      .map(({ long, description }) => ({ word: long!, about: description })),
    help,
  ];
}

/** A command takes the flags of those above it as well, but for `--version`. */
function optionsOf(command: Command): Option[] {
  const above = command.parent ? optionsOf(command.parent).filter(({ long }) => long !== "--version") : [];
  return [...command.options, ...above];
}

function subcommandsOf(command: Command): Candidate[] {
  return command.createHelp().visibleCommands(command).filter((each) => each.name() !== "help")
    .map((each) => ({ word: each.name(), about: each.description() }));
}

function matching({ candidates, files }: Completion, begin: string): Completion {
  return { candidates: candidates.filter(({ word }) => word.startsWith(begin)), files };
}
