/**
 * Parses command lines as the real programs do, and runs none. A process of its own, since the programs load the
 * native library: reads `[{program, args}]` from stdin, writes what is wrong with each, or null, to stdout.
 */
import { type Command, CommanderError } from "commander";
import { z } from "zod";
import { errorText } from "../../config/user_error.ts";

const callSchema = z.array(
  z.object({ program: z.enum(["client", "worker", "signaling"]), args: z.array(z.string()) }),
);

/** Takes the action from a command and those below it; what they would print is kept quiet. */
function disarm(command: Command): Command {
  command.exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} });
  // A command without an action of its own, such as `config`, is to go on without one.
  if (Reflect.get(command, "_actionHandler")) command.action(() => {});
  command.commands.forEach(disarm);
  return command;
}

async function mistakeIn(program: string, args: readonly string[]): Promise<string | null> {
  const { createCommand } = await import(`../../${program}/main.ts`);
  try {
    await disarm(createCommand()).parseAsync(args, { from: "user" });
    return null;
  } catch (error) {
    // Help and version are asked for.
    return error instanceof CommanderError && error.exitCode === 0 ? null : errorText(error);
  }
}

const calls = callSchema.parse(JSON.parse(await new Response(Deno.stdin.readable).text()));
const mistakes: (string | null)[] = [];
for (const { program, args } of calls) mistakes.push(await mistakeIn(program, args));
console.log(JSON.stringify(mistakes));
Deno.exit(0);
