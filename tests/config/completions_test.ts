import assert from "node:assert/strict";
import { addCompletions, scriptOf } from "../../config/completions.ts";
import { createProgram, runProgram } from "../../config/program.ts";

/** What `completions` prints; with `own`, of a program that has the flags itself, as worker and signaling server do. */
async function print(args: readonly string[], own: boolean): Promise<{ stdout: string; stderr: string }> {
  let [stdout, stderr] = ["", ""];
  const program = createProgram("prog", "does things", "");
  if (own) { for (const flag of ["--json", "--verbose", "--quiet"]) program.option(flag); }
  addCompletions(program);
  const { log, error } = console;
  console.log = (text: string) => stdout += `${text}\n`;
  console.error = (text: string) => stderr += `${text}\n`;
  try {
    assert.equal(await runProgram(program, ["completions", ...args]), 0);
    return { stdout, stderr };
  } finally {
    Object.assign(console, { log, error });
  }
}

for (const own of [false, true]) {
  const whose = own ? "the program's own flags" : "flags of the command";
  for (const shell of ["bash", "zsh", "fish"] as const) {
    Deno.test(`completions ${shell}: the script alone, or as JSON, or with what to do with it (${whose})`, async () => {
      const script = scriptOf(shell, "prog");
      for (const args of [[shell], [shell, "--quiet"], ["--quiet", shell]]) {
        assert.deepEqual(await print(args, own), { stdout: `${script}\n`, stderr: "" });
      }
      const json = await print([shell, "--json"], own);
      assert.equal(json.stdout.trimEnd().split("\n").length, 1);
      assert.deepEqual(JSON.parse(json.stdout), { event: "completions", shell, script });
      const told = await print([shell, "--verbose"], own);
      assert.equal(told.stdout, `${script}\n`);
      assert.match(
        told.stderr,
        new RegExp(`~/\\.(bashrc|zshrc|config/fish/config\\.fish)[^]*prog completions ${shell}`),
      );
    });
  }
}
