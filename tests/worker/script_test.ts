import assert from "node:assert/strict";
import fc from "fast-check";
import {
  PackageError,
  parseTrackScript,
  parseTrainScript,
  readTrackScript,
  readTrainScript,
  type ScriptLine,
} from "../../protocol/package_script.ts";
import { commandFor } from "../../worker/script.ts";

/** Script, and the configs and run names it gives. */
const TRAIN: readonly [script: string, runs: readonly (readonly [config: string, name: string])[]][] = [
  ["sleap-nn train --config-dir . --config-name sub/a.centroid.yaml x=1", [[
    "sub/a.centroid.yaml",
    "a.centroid",
  ]]],
  ["sleap-train --config-name b.yaml", [["b.yaml", "b"]]],
  ["sleap-nn train --config-name\tc.yaml", [["c.yaml", "c"]]],
  ["  \tsleap-nn   train  --config-name c.yaml", [["c.yaml", "c"]]],
  ["sleap-nn train --config-name a.yaml --config-name b.yaml", [["b.yaml", "b"]]],
  ["sleap-nn train --config-name a.yaml\r\nsleap-nn train --config-name b.yaml\r\n", [["a.yaml", "a"], [
    "b.yaml",
    "b",
  ]]],
  ['sleap-nn train --config-name "a.yaml"', [["a.yaml", "a"]]],
  ["sleap-nn train --config-name plain", [["plain", "plain"]]],
  ["# sleap-nn train --config-name a.yaml", []],
  ["sleap-nn train --config-name=d.yaml", []],
  ["sleap-nn train \\\n  --config-name a.yaml", []],
  ["sleap-nn track --config-name a.yaml", []],
  ["echo sleap-nn train --config-name a.yaml", []],
  ["sleap-nn training --config-name a.yaml", []],
  ["sleap-nn train", []],
  ["sleap-nn train --config-name", []],
  ["", []],
];

for (const [script, runs] of TRAIN) {
  Deno.test(`train script: ${JSON.stringify(script)} gives ${runs.length} runs`, () => {
    const found = parseTrainScript(script);
    assert.deepEqual(found, runs.map(([config, runName]) => ({ kind: "train", config, runName })));
  });
}

const HOSTILE_CONFIGS = [
  "/etc/passwd",
  "../a.yaml",
  "sub/../../a.yaml",
  "..\\a.yaml",
  "\\\\server\\share\\a.yaml",
  "C:/a.yaml",
  "~/a.yaml",
  "..",
  "-x.yaml",
  "sub/-x.yaml",
  "a;b.yaml",
  "$(id).yaml",
  "a,b.yaml",
  "{run_name}",
  "a::b.yaml",
  "..yaml",
  "../a=b.yaml",
  "/data/user=bob/c.yaml",
  "../../user=bob/c.yaml",
];

for (const config of HOSTILE_CONFIGS) {
  Deno.test(`train script: the config ${JSON.stringify(config)} is refused`, () => {
    assert.throws(() => parseTrainScript(`sleap-nn train --config-name ${config}`), PackageError);
  });
}

/** Script, and the arguments of its runs. */
const TRACK: readonly [script: string, runs: readonly (readonly string[])[]][] = [
  ["sleap-nn track --data_path a.slp -o out.slp", [["--data_path", "a.slp", "-o", "out.slp"]]],
  ["  sleap-nn  track \\\n  --data_path a.slp \\\n --model_paths models/m\n", [[
    "--data_path",
    "a.slp",
    "--model_paths",
    "models/m",
  ]]],
  ["sleap-nn track \\\r\n --data_path a.slp\n", [["--data_path", "a.slp"]]],
  ["sleap-nn track --data_path a.slp\r\n", [["--data_path", "a.slp"]]],
  ["sleap-nn track --data_path a.slp \\", [["--data_path", "a.slp"]]],
  ["sleap-nn track a\nsleap-nn track b", [["a"], ["b"]]],
  ["# sleap-nn track a", []],
  ["sleap-nn train --config-name a.yaml", []],
  ["sleap-nn tracker a", []],
];

for (const [script, runs] of TRACK) {
  Deno.test(`track script: ${JSON.stringify(script)} gives ${runs.length} runs`, () => {
    const found = parseTrackScript(script);
    assert.deepEqual(found, runs.map((words) => ({ kind: "track", arguments: words })));
  });
}

const HOSTILE_ARGUMENTS = [
  "/etc/passwd",
  "--data_path=/etc/passwd",
  "--data_path=../a",
  "a/../../b",
  "~root",
  "D:\\x",
  "../a=b.slp",
  "/data/user=bob/a.slp",
  "--opt=key=/etc/passwd",
  "-o/etc/cron.d/x",
];

for (const word of HOSTILE_ARGUMENTS) {
  Deno.test(`track script: the argument ${JSON.stringify(word)} is refused`, () => {
    assert.throws(() => parseTrackScript(`sleap-nn track ${word}`), PackageError);
  });
}

Deno.test("scripts: any text gives lines or a PackageError, nothing else", () => {
  const word = fc.oneof(
    fc.constantFrom(
      "sleap-nn train",
      "sleap-nn track",
      "--config-name",
      " ",
      "\n",
      "\\\n",
      "\r",
      "a=b",
      "../",
    ),
    fc.string({ unit: "binary" }),
  );
  fc.assert(fc.property(fc.array(word), (words) => {
    for (const parse of [parseTrainScript, parseTrackScript]) {
      try {
        for (const line of parse(words.join(""))) {
          if (line.kind === "track") continue;
          assert.ok(!line.config.startsWith("/") && !line.config.split("/").includes(".."));
          assert.ok(!/[/\\:]/.test(line.runName) && !line.runName.startsWith("-"));
        }
      } catch (error) {
        assert.ok(error instanceof PackageError, String(error));
      }
    }
  }));
});

Deno.test("scripts: lines that no worker runs are told with their numbers; comments and blank ones are not", () => {
  const train =
    "#!/bin/sh\n\nmodule load cuda\nsleap-nn train \\\n  --config-name a.yaml\nsleap-nn train --config-name b";
  assert.deepEqual(readTrainScript(train).filter(({ ignored }) => ignored).map(({ line }) => line), [
    3,
    4,
    5,
  ]);
  assert.deepEqual(readTrainScript(train).filter(({ run }) => run).map(({ line }) => line), [6]);
  const track = "sleap-nn track \\\n  a.slp\ncd x\n# y\nsleap-nn track \\\n \\\n b.slp\necho";
  const rows = readTrackScript(track);
  assert.deepEqual(rows.map(({ line, run, ignored }) => [line, run !== undefined, ignored !== undefined]), [
    [1, true, false],
    [3, false, true],
    [4, false, false],
    [5, true, false],
    [8, false, true],
  ]);
});

Deno.test("track script: a refused argument is told with the line that its command begins in", () => {
  const script = "# one\nsleap-nn track \\\n a.slp\nsleap-nn track \\\n /etc/passwd\n";
  assert.throws(() => parseTrackScript(script), /^PackageError: line 4 of the script/);
});

Deno.test("commands: placeholders are filled in everywhere, other words stay", () => {
  const line: ScriptLine = { kind: "train", config: "sub/$&.yaml", runName: "a" };
  const template = ["p", "--config-name", "{config}", "x={run_name}/{run_name}", "{arguments}"];
  assert.deepEqual(commandFor(line, template), ["p", "--config-name", "sub/$&.yaml", "x=a/a", "{arguments}"]);
  const track: ScriptLine = { kind: "track", arguments: ["a", "{config}"] };
  assert.deepEqual(commandFor(track, ["p", "{arguments}", "{config}"]), ["p", "a", "{config}", "{config}"]);
  assert.deepEqual(commandFor({ kind: "track", arguments: [] }, ["p", "{arguments}"]), ["p"]);
});

Deno.test("commands: a config that looks like a placeholder stays what it is", () => {
  const line: ScriptLine = { kind: "train", config: "{run_name}/a.yaml", runName: "a" };
  assert.deepEqual(commandFor(line, ["{config}"]), ["{run_name}/a.yaml"]);
});
