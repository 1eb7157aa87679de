import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import type { JobResult } from "../../worker/job.ts";
import { readPlan } from "../../worker/package.ts";
import { failureText, publishResults } from "../../worker/results.ts";
import { PackageError } from "../../protocol/package_script.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { names } from "./session_lab.ts";

/** Calls a test with the true path of a folder that holds these files. */
function withFiles(files: Record<string, string>, test: (dir: string) => Promise<void>): Promise<void> {
  return withTempDir(async (made) => {
    const dir = await Deno.realPath(made);
    for (const [name, content] of Object.entries(files)) {
      await Deno.mkdir(dirname(join(dir, name)), { recursive: true });
      await Deno.writeTextFile(join(dir, name), content);
    }
    await test(dir);
  });
}

const TRAIN = "sleap-nn train --config-name a.yaml\n";
const TRACK = "sleap-nn track a.slp\n";

for (
  const [name, files, kind, folder] of [
    [
      "a folder named like the file",
      { "pkg/train-script.sh": TRAIN, "other/train-script.sh": TRAIN },
      "train",
      "pkg",
    ],
    ["a flat package", { "train-script.sh": TRAIN, "models/m/x": "" }, "train", ""],
    ["the only top folder", { "renamed/train-script.sh": TRAIN }, "train", "renamed"],
    [
      "a flat track package with a folder of its name",
      { "track-script.sh": TRACK, "pkg/x": "" },
      "track",
      "",
    ],
    [
      "both scripts: inference wins",
      { "pkg/train-script.sh": TRAIN, "pkg/track-script.sh": TRACK },
      "track",
      "pkg",
    ],
  ] as const
) {
  Deno.test(`package: ${name}`, () =>
    withFiles(files, async (dir) => {
      const plan = await readPlan(dir, "pkg");
      assert.deepEqual([plan.kind, plan.folder, plan.lines.length], [kind, join(dir, folder), 1]);
    }));
}

Deno.test("package: the kind decides when it is given", () =>
  withFiles({ "pkg/train-script.sh": TRAIN, "pkg/track-script.sh": TRACK }, async (dir) => {
    assert.equal((await readPlan(dir, "pkg", "train")).kind, "train");
    await Deno.remove(join(dir, "pkg/train-script.sh"));
    await assert.rejects(
      readPlan(dir, "pkg", "train"),
      (error) => error instanceof PackageError && error.message === "No train-script.sh found in the package",
    );
  }));

Deno.test("package: without a script both names are told; a huge one is no script", () =>
  withFiles(
    { "a/x": "", "b/train-script.sh": TRAIN, "c/train-script.sh": "#".repeat(1024 * 1024 + 1) },
    async (dir) => {
      await assert.rejects(readPlan(dir, "pkg"), (error) =>
        error instanceof PackageError &&
        error.message === "No train-script.sh or track-script.sh found in the package");
      await assert.rejects(readPlan(join(dir, "c"), "c"), PackageError);
    },
  ));

const CONFIG = "data_config: {}\nmodel_config: {}\ntrainer_config: {}\n";

for (
  const [name, files, folder, runs] of [
    [
      "labels and configurations, each a run, in the order of their names",
      { "labels.v001.slp": "", "b.centroid.yaml": CONFIG, "a.instance.yml": CONFIG, "notes.yaml": "by: me" },
      "",
      ["a.instance", "b.centroid"],
    ],
    [
      "the same in a folder, with earlier results beside",
      { "pkg/x.pkg.slp": "", "pkg/a.yaml": CONFIG, "pkg/models/a/training_config.yaml": CONFIG },
      "pkg",
      ["a"],
    ],
    ["a script wins", { "x.slp": "", "b.yaml": CONFIG, "train-script.sh": TRAIN }, "", ["a"]],
  ] as const
) {
  Deno.test(`package without a script: ${name}`, () =>
    withFiles(files, async (dir) => {
      const plan = await readPlan(dir, "pkg", "train");
      assert.deepEqual([plan.kind, plan.folder], ["train", join(dir, folder)]);
      assert.deepEqual(plan.lines.map((line) => line.kind === "train" && line.runName), runs);
    }));
}

for (
  const [name, files, text] of [
    ["no labels", { "a.yaml": CONFIG }, /No train-script.sh or track-script.sh found/],
    ["no configuration", { "x.slp": "", "a.yaml": "by: me" }, /No train-script.sh or track-script.sh found/],
    ["a huge configuration", { "x.slp": "", "a.yaml": CONFIG + "#".repeat(2 ** 20) }, /no script or config/],
    ["a name that no run can have", { "x.slp": "", "$(id).yaml": CONFIG }, /cannot name a training run/],
  ] as const
) {
  Deno.test(`package without a script, refused: ${name}`, () =>
    withFiles(files, async (dir) => {
      await assert.rejects(readPlan(dir, "pkg"), (error) => {
        return error instanceof PackageError && text.test(error.message);
      });
    }));
}

function result(fields: Partial<JobResult>): JobResult {
  return { kind: "train", models: undefined, predictions: [], failed: [], runs: 1, began: 0, ...fields };
}

const SIGNAL = new AbortController().signal;

Deno.test("results: runs go to models/ below the output, taken names get a number", () =>
  withFiles({ "job/models/a/x": "1", "job/models/b/x": "22", "out/models/a/x": "old" }, async (dir) => {
    const size = await publishResults(result({ models: join(dir, "job/models") }), join(dir, "out"), SIGNAL);
    assert.deepEqual([size.files, size.bytes], [2, 3]);
    assert.deepEqual(size.made.map(({ name }) => name).toSorted(), ["models/a-2", "models/b"]);
    assert.deepEqual(names(join(dir, "out/models")), ["a", "a-2", "b"]);
    assert.equal(await Deno.readTextFile(join(dir, "out/models/a/x")), "old");
  }));

Deno.test("results: an output folder called models is used itself, results in place stay", () =>
  withFiles({ "job/models/a/x": "1", "out/models/keep": "" }, async (dir) => {
    await publishResults(result({ models: join(dir, "job/models") }), join(dir, "out/models"), SIGNAL);
    assert.deepEqual(names(join(dir, "out/models")), ["a", "keep"]);
    await publishResults(result({ models: join(dir, "job/models") }), join(dir, "job"), SIGNAL);
    assert.deepEqual(names(join(dir, "job/models")), ["a"]);
  }));

Deno.test("results: predictions go into the output itself", () =>
  withFiles({ "job/x.predictions.slp": "1", "out/keep": "" }, async (dir) => {
    const predictions = [join(dir, "job/x.predictions.slp")];
    await publishResults(result({ kind: "track", predictions }), join(dir, "out"), SIGNAL);
    assert.deepEqual(names(join(dir, "out")), ["keep", "x.predictions.slp"]);
  }));

Deno.test("results: a link among the runs does not bring what it leads to", () =>
  withFiles({ "job/models/a/x": "1", "bob/secret/x": "s", "out/keep": "" }, async (dir) => {
    await Deno.symlink(join(dir, "bob/secret"), join(dir, "job/models/b"));
    await Deno.symlink(join(dir, "bob/secret/x"), join(dir, "job/models/c"));
    await publishResults(result({ models: join(dir, "job/models") }), join(dir, "out"), SIGNAL).catch(
      () => {},
    );
    const found = names(join(dir, "out/models"));
    assert.ok(!found.includes("b") && !found.includes("c"), found.join());
  }));

Deno.test("results: what a client is told of failed runs", () => {
  assert.equal(failureText(result({})), undefined);
  assert.match(failureText(result({ runs: 0 }))!, /no line/);
  const failed = [{ name: "a", status: 1 }, { name: "b", status: -9 }];
  assert.equal(
    failureText(result({ runs: 3, failed })),
    "2 of 3 runs failed: a (exit code 1), b (exit code -9)",
  );
});
