import assert from "node:assert/strict";
import manifest from "../../deno.json" with { type: "json" };
import { PROGRAMS, runArguments } from "../../scripts/programs.ts";

Deno.test("the tasks run the programs with the permissions that the binaries have", () => {
  const tasks = new Map<string, { command: string }>(Object.entries(manifest.tasks));
  for (const { entry } of PROGRAMS) {
    const name = entry.split("/")[0]!;
    assert.equal(tasks.get(name)?.command, `deno ${runArguments(entry).join(" ")}`);
  }
});
