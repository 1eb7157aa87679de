/**
 * Runs a program that goes on until it is stopped, as a person does who has seen that it works:
 * `until_ready.ts PATTERN PROGRAM ARGUMENTS…`. Ends it by Ctrl-C once a line matches, and with its exit code.
 */
import { LabProcess } from "../../../scripts/local_lab.ts";

const [pattern = "", ...command] = Deno.args;
const process = new LabProcess(command, { cwd: Deno.cwd(), env: Deno.env.toObject() });
try {
  await process.line(new RegExp(pattern));
} finally {
  const code = await process.stop();
  console.log(process.output);
  if (code !== 0) Deno.exit(code);
}
