import assert from "node:assert/strict";
import type { Command } from "commander";
import { createCommand as createClient } from "../../client/main.ts";
import { createCommand as createSignaling } from "../../signaling/main.ts";
import { createCommand as createWorker } from "../../worker/main.ts";
import { commandsOf, lineage, wordsOf } from "./commands.ts";

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => text += part });
  command.outputHelp();
  return text;
}

/** Whether it does something, and is not there for its subcommands alone. */
function acts(command: Command): boolean {
  return command.commands.length === 0 || (command.parent === null && command.name() !== "sleap-rtc-client");
}

for (const program of [createClient(), createWorker(), createSignaling()]) {
  for (const command of commandsOf(program)) {
    const name = wordsOf(command).join(" ");
    Deno.test(`${name}: says what it does, with examples that name it, and how it can tell it`, () => {
      assert.match(command.description(), /^[A-Z].*\.$/);
      const help = helpOf(command);
      const [, examples = ""] = help.split("\nExamples:\n");
      assert.ok(examples.includes(name), `the examples of ${name} do not name it:\n${help}`);
      if (!acts(command)) return;
      const flags = lineage(command).flatMap((each) => each.options.map(({ long }) => long));
      for (const flag of ["--json", "--quiet", "--verbose"]) assert.ok(flags.includes(flag), flag);
    });
  }
  Deno.test(`${program.name()}: says what its exit codes mean`, () => {
    assert.match(helpOf(program), /\nExit codes: 0 done; 1 .* 2 [^]* 130 ended by Ctrl-C\.\n/);
  });
}

Deno.test("--min-gpu-memory is a flag of the commands that choose a worker, and of no other", () => {
  const choosing = commandsOf(createClient())
    .filter(({ options }) => options.some(({ long }) => long === "--min-gpu-memory"))
    .map((command) => command.name());
  assert.deepEqual(choosing, ["train", "track", "plan", "workers", "check", "suggest"]);
});
