import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { checkLabels, makePackage } from "../../client/bare_labels.ts";
import { areLabels, checkPackage } from "../../client/given_package.ts";
import { ConfigError } from "../../config/user_error.ts";
import { listTree, makeTree, withTempDir } from "../storage/temp.ts";
import { readPlan } from "../../worker/package.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples", import.meta.url));
const LABELS = join(EXAMPLES, "minimal_instance.pkg.slp");

const CONFIG = `# a comment that stays
data_config:
  train_labels_path: [/home/alice/elsewhere.slp]
  val_labels_path: null
model_config: {}
trainer_config: {}
`;

/** A folder with real labels and the configurations `a.yaml` and `b.yaml`. */
function withLabels(use: (dir: string, labels: string) => Promise<void>): Promise<void> {
  return withTempDir(async (dir) => {
    await makeTree(dir, { "home/": "", "out/": "", "a.yaml": CONFIG, "b.yaml": CONFIG });
    await Deno.copyFile(LABELS, join(dir, "home/my labels.pkg.slp"));
    await use(dir, join(dir, "home/my labels.pkg.slp"));
  });
}

Deno.test("bare labels: a package beside them, as SLEAP makes it, that takes no room", () =>
  withLabels(async (dir, labels) => {
    const made = await makePackage(labels, [join(dir, "b.yaml"), join(dir, "a.yaml")], join(dir, "out"));
    assert.equal(join(made.folder, ".."), join(dir, "home"));
    const plan = await readPlan(made.folder, "x");
    assert.deepEqual(
      plan.lines.map((line) => line.kind === "train" && [line.config, line.runName]),
      [["b.yaml", "b"], ["a.yaml", "a"]],
    );
    const config = await Deno.readTextFile(join(made.folder, "a.yaml"));
    assert.match(config, /# a comment that stays/);
    assert.deepEqual(parse(config).data_config.train_labels_path, ["my labels.pkg.slp"]);
    const [given, linked] = [
      await Deno.stat(labels),
      await Deno.stat(join(made.folder, "my labels.pkg.slp")),
    ];
    assert.equal(given.ino, linked.ino);
    assert.equal(await made.remove(), undefined);
    assert.deepEqual(Object.keys(await listTree(join(dir, "home"))), ["my labels.pkg.slp"]);
    assert.equal(await Deno.readTextFile(join(dir, "a.yaml")), CONFIG);
  }));

Deno.test("bare labels: results that a worker left in the package stay", () =>
  withLabels(async (dir, labels) => {
    const made = await makePackage(labels, [join(dir, "a.yaml")], join(dir, "out"));
    await makeTree(made.folder, { "models/a/best.ckpt": "weights" });
    assert.equal(await made.remove(), made.folder);
    assert.deepEqual(await listTree(made.folder), {
      "models/": "",
      "models/a/": "",
      "models/a/best.ckpt": "weights",
    });
  }));

Deno.test({
  name: "bare labels: where nothing can be made beside them the package is elsewhere (not for root)",
  ignore: Deno.build.os === "windows" || Deno.uid() === 0,
  fn: () =>
    withLabels(async (dir, labels) => {
      await Deno.chmod(join(dir, "home"), 0o555);
      const made = await makePackage(labels, [join(dir, "a.yaml")], join(dir, "out"));
      assert.equal(join(made.folder, ".."), join(dir, "out"));
      assert.equal(await made.remove(), undefined);
      await Deno.chmod(join(dir, "home"), 0o755);
    }),
});

for (
  const [name, text, found] of [
    ["c.txt", CONFIG, /cannot name a training run/],
    ["my config.yaml", CONFIG, /cannot name a training run/],
    ["-c.yaml", CONFIG, /cannot name a training run/],
    ["c.yaml", "a: [", /is not YAML/],
    ["c.yaml", "just text", /it has no data_config/],
    ["c.yaml", "data_config: {}\nmodel_config: {}\n", /it has no trainer_config/],
    ["c.yaml", CONFIG.replace("null", "[val.slp]"), /val_labels_path names \["val.slp"\]/],
  ] as const
) {
  Deno.test(`bare labels: refuses a configuration: ${name}, ${found}`, () =>
    withLabels(async (dir, labels) => {
      await Deno.writeTextFile(join(dir, name), text);
      await assert.rejects(
        makePackage(labels, [join(dir, "a.yaml"), join(dir, name)], dir),
        (error) => error instanceof ConfigError && found.test(error.message),
      );
      assert.deepEqual(Object.keys(await listTree(join(dir, "home"))), ["my labels.pkg.slp"]);
    }));
}

Deno.test("bare labels: refuses two configurations of one name, and one that is not there", () =>
  withLabels(async (dir, labels) => {
    await makeTree(dir, { "other/a.yaml": CONFIG });
    const both = [join(dir, "a.yaml"), join(dir, "other/a.yaml")];
    await assert.rejects(makePackage(labels, both, dir), /two configurations are called a.yaml/);
    await assert.rejects(makePackage(labels, [join(dir, "none.yaml")], dir), /cannot read the configuration/);
  }));

Deno.test("bare labels: what are no labels is refused", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "text.slp": "not HDF5 at all", "empty.slp": "" });
    await Deno.copyFile(LABELS, join(dir, "labels.h5"));
    for (const name of ["text.slp", "empty.slp", "labels.h5"]) {
      await assert.rejects(checkLabels(join(dir, name)), /is no labels file/);
    }
    await assert.rejects(checkLabels(join(dir, "none.slp")), /cannot read the labels/);
    await checkLabels(LABELS);
  }));

Deno.test("what is given: labels with configurations, or a package without", () =>
  withLabels(async (dir, labels) => {
    await makeTree(dir, {
      "script/train-script.sh": "",
      "script/a.yaml": "",
      "plain/x.slp": "",
      "plain/b.yaml": "",
      "plain/a.yml": "",
      "none/a.yaml": "",
    });
    assert.equal(await areLabels(labels, "train", ["a.yaml"]), true);
    assert.equal(await areLabels(join(dir, "plain"), "train", []), false);
    await assert.rejects(areLabels(labels, "train", []), /are labels only: expected the configurations/);
    await assert.rejects(areLabels(join(dir, "plain"), "train", ["a.yaml"]), /is not a .slp file/);
    assert.equal((await checkPackage(join(dir, "script"), "train")).script, "train-script.sh");
    assert.equal((await checkPackage(join(dir, "plain"), "train")).script, "a.yml");
    for (const [name, kind] of [["plain", "track"], ["script", "track"], ["none", "train"]] as const) {
      await assert.rejects(checkPackage(join(dir, name), kind), /is not a package: expected t.*-script.sh/);
    }
  }));
