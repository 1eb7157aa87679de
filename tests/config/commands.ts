/** The commands of a program, for tests that go through all of them. */
import type { Command } from "commander";

/** A command, and all below it that its help shows. */
export function commandsOf(command: Command): Command[] {
  const shown = command.createHelp().visibleCommands(command).filter((each) => each.name() !== "help");
  return [command, ...shown.flatMap(commandsOf)];
}

/** A command and those above it. */
export function lineage(command: Command): Command[] {
  return command.parent ? [command, ...lineage(command.parent)] : [command];
}

/** Its words, that of the program first. */
export function wordsOf(command: Command): string[] {
  return lineage(command).toReversed().map((each) => each.name());
}
