import assert from "node:assert/strict";
import { Command, Option } from "commander";
import { complete, type KnownValues } from "../../config/complete.ts";

const KNOWN: KnownValues = {
  job: () => ["job_1", "job_2", "two words"],
  "--storage": () => Promise.resolve(["vast", "lab"]),
  "--broken": () => {
    throw new Error("no configuration");
  },
};

function program(): Command {
  const root = new Command("prog").version("1");
  root.command("train").argument("<package>", "").argument("[configs...]", "")
    .addOption(new Option("--transfer <way>", "how").choices(["auto", "copy"]))
    .option("--storage <name>", "which").option("--broken <name>", "").option("--config <file>", "")
    .option("--json", "as JSON");
  root.command("hidden", { hidden: true });
  const results = root.command("results").description("What jobs have made.");
  results.command("fetch").argument("<job>", "").option("--into <folder>", "");
  results.command("verify").argument("<job>", "");
  return root;
}

/** A command line up to the cursor, and the words that may come; `files` where paths may. */
const CASES: readonly [string, readonly string[]][] = [
  ["", ["train", "results"]],
  ["re", ["results"]],
  ["hid", []],
  ["results ", ["fetch", "verify"]],
  ["results v", ["verify"]],
  ["results fetch ", ["job_1", "job_2"]],
  ["results fetch job_1 ", []],
  ["results fetch --in", ["--into"]],
  ["results fetch --into ", ["files"]],
  ["results fetch --into here job_", ["job_1", "job_2"]],
  ["train ", ["files"]],
  ["train a.slp b.yaml ", ["files"]],
  ["train --transfer ", ["auto", "copy"]],
  ["train --transfer c", ["copy"]],
  ["train --transfer=c", ["copy"]],
  ["train --transfer = c", ["copy"]],
  ["train --storage v", ["vast"]],
  ["train --broken ", []],
  ["train --json --storage ", ["vast", "lab"]],
  ["train --config ", ["files"]],
  ["train --j", ["--json"]],
];

for (const [line, expected] of CASES) {
  Deno.test(`completion: "${line}" goes on with ${expected.join(" ") || "nothing"}`, async () => {
    const { candidates, files } = await complete(program(), line.split(" "), KNOWN);
    assert.deepEqual([...candidates.map(({ word }) => word), ...(files ? ["files"] : [])], expected);
  });
}
