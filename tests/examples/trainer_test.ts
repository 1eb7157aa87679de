import assert from "node:assert/strict";
import { join } from "node:path";
import { z } from "zod";
import { CONFIG, LABELS, MODEL, replaceInLabels, runTrainer, train, withPackage } from "./trainer_run.ts";

const X_OF_FIRST_POINT = 92.65220773208894;
const X_OF_ALL_POINTS = [X_OF_FIRST_POINT, 152.34188115939048, 205.9300539013689, 278.63521449272383];

const modelSchema = z.object({
  run_name: z.string(),
  node_names: z.array(z.string()),
  loss_history: z.array(z.number()),
  weights: z.object({ dtype: z.literal("float32"), length: z.number(), base64: z.base64() }),
});

function readModel(folder: string): z.infer<typeof modelSchema> {
  return modelSchema.parse(JSON.parse(Deno.readTextFileSync(join(folder, MODEL))));
}

/** The weights of a run on a fresh package after `change`. */
function weightsAfter(change: (folder: string) => Promise<void>, ...overrides: string[]): Promise<string> {
  return withPackage(async (folder) => {
    await change(folder);
    const run = await train(folder, ...overrides);
    assert.equal(run.code, 0, run.stderr);
    return readModel(folder).weights.base64;
  });
}

const nothing = (): Promise<void> => Promise.resolve();

Deno.test("a run prints its epochs, and writes model, log and configuration", () =>
  withPackage(async (folder) => {
    const run = await train(folder);
    assert.deepEqual([run.code, run.stderr], [0, ""]);
    const epochs = run.stdout.split("\n").filter((line) =>
      /^Epoch \d+\/8 {2}loss=0\.\d{6} {2}time=\d+\.\d\ds$/.test(line)
    );
    assert.equal(epochs.length, 8);

    const model = readModel(folder);
    assert.equal(model.run_name, "fly");
    assert.deepEqual(model.node_names, ["A", "B"]);
    const weights = Uint8Array.fromBase64(model.weights.base64);
    assert.equal(weights.length, 4 * model.weights.length);
    assert.ok(new Float32Array(weights.buffer).every(Number.isFinite));

    const log = Deno.readTextFileSync(join(folder, "models/fly/training_log.csv"));
    const lines = model.loss_history.map((loss, i) => `${i + 1},${loss}`);
    assert.equal(log, ["epoch,loss", ...lines, ""].join("\n"));
    const config = Deno.readTextFileSync(join(folder, "models/fly/training_config.yaml"));
    assert.match(config, /controller_port: 9000/);
    assert.match(config, /run_name: fly/);
  }));

Deno.test("the loss falls to a tenth and the peaks lie within 3 px of the labels", () =>
  withPackage(async (folder) => {
    const run = await train(folder);
    const history = readModel(folder).loss_history;
    assert.ok((history.at(-1) ?? 1) < (history[0] ?? 0) / 10, history.join(" "));
    const errors = [...run.stdout.matchAll(/node [AB]: ([\d.]+) px/g)].map((match) => Number(match[1]));
    assert.equal(errors.length, 2);
    assert.ok(errors.every((error) => error < 3), run.stdout);
  }));

Deno.test("two runs leave the same bytes", async () => {
  const files = ["best_model.json", "training_log.csv", "training_config.yaml"];
  const [first, second] = await Promise.all(
    [1, 2].map(() =>
      withPackage(async (folder) => {
        assert.equal((await train(folder)).code, 0);
        return files.map((name) => Deno.readTextFileSync(join(folder, "models/fly", name)));
      })
    ),
  );
  assert.deepEqual(first, second);
});

Deno.test("other labels and other settings give other models", async () => {
  const weights = await Promise.all([
    weightsAfter(nothing),
    weightsAfter((folder) => replaceInLabels(folder, X_OF_FIRST_POINT, X_OF_FIRST_POINT + 1)),
    weightsAfter(nothing, "trainer_config.max_epochs=4"),
    weightsAfter(nothing, "trainer_config.optimizer.lr=0.001"),
    weightsAfter(nothing, "model_config.head_configs.centroid.confmaps.sigma=4"),
  ]);
  assert.equal(new Set(weights).size, weights.length);
});

Deno.test("fail_at_epoch ends the run with status 3 and keeps the model so far", () =>
  withPackage(async (folder) => {
    const run = await train(folder);
    assert.equal(run.code, 3);
    assert.equal(run.stderr, "error: stopped after epoch 2, as trainer_config.fail_at_epoch asks\n");
    assert.match(run.stdout, /Epoch 2\/8/);
    assert.doesNotMatch(run.stdout, /Epoch 3\/8/);
    assert.equal(readModel(folder).loss_history.length, 2);
  }, { config: { fail_at_epoch: 2 } }));

Deno.test("epoch_delay_s slows a run down and changes nothing else", async () => {
  const begin = performance.now();
  const slow = await weightsAfter(nothing, "trainer_config.max_epochs=3", "trainer_config.epoch_delay_s=0.4");
  assert.ok(performance.now() - begin >= 800);
  assert.equal(slow, await weightsAfter(nothing, "trainer_config.max_epochs=3"));
});

/** What is wrong with a package, and what the trainer says and ends with. */
interface Failure {
  title: string;
  spoil?: (folder: string) => Promise<void>;
  overrides?: string[];
  message: RegExp;
  code: number;
}

const FAILURES: Failure[] = [
  {
    title: "missing config",
    spoil: (folder) => Deno.remove(join(folder, CONFIG)),
    message: /config file not found: minimal_instance\.centroid\.yaml/,
    code: 1,
  },
  {
    title: "config that is no YAML",
    spoil: (folder) => Deno.writeTextFile(join(folder, CONFIG), "a: [1"),
    message: /config file is not valid YAML/,
    code: 1,
  },
  {
    title: "config without labels",
    spoil: (folder) => Deno.writeTextFile(join(folder, CONFIG), "name: x\n"),
    message: /bad setting data_config/,
    code: 1,
  },
  {
    title: "missing labels",
    spoil: (folder) => Deno.remove(join(folder, LABELS)),
    message: /labels file not found: minimal_instance\.pkg\.slp/,
    code: 1,
  },
  {
    title: "labels that are no HDF5",
    spoil: (folder) => Deno.writeTextFile(join(folder, LABELS), "no such thing"),
    message: /not a readable HDF5 file: minimal_instance\.pkg\.slp/,
    code: 1,
  },
  {
    title: "labels cut short",
    spoil: (folder) => Deno.truncate(join(folder, LABELS), 20_000),
    message: /not a readable HDF5 file/,
    code: 1,
  },
  {
    title: "labels without a point",
    spoil: async (folder) => {
      for (const x of X_OF_ALL_POINTS) await replaceInLabels(folder, x, NaN);
    },
    message: /no labelled points to learn from/,
    code: 1,
  },
  {
    title: "an override without =",
    overrides: ["max_epochs"],
    message: /bad override 'max_epochs'/,
    code: 2,
  },
  {
    title: "an override into a value",
    overrides: ["trainer_config.max_epochs.x=1"],
    message: /bad override 'trainer_config\.max_epochs\.x'/,
    code: 2,
  },
  {
    title: "an override of the wrong kind",
    overrides: ["trainer_config.max_epochs=many"],
    message: /bad setting trainer_config\.max_epochs/,
    code: 1,
  },
  {
    title: "a blank run name",
    overrides: ["trainer_config.run_name= "],
    message: /run_name: must not be blank/,
    code: 1,
  },
  {
    title: "a blank ckpt_dir",
    overrides: ["trainer_config.ckpt_dir="],
    message: /ckpt_dir: must not be blank/,
    code: 1,
  },
  {
    title: "a target outside the folder",
    overrides: ["trainer_config.ckpt_dir=../elsewhere"],
    message: /Requires write access/,
    code: 1,
  },
  {
    title: "a learning rate far too high",
    overrides: ["trainer_config.optimizer.lr=1e30"],
    message: /training diverged in epoch \d+/,
    code: 1,
  },
];

for (const { title, spoil, overrides = [], message, code } of FAILURES) {
  Deno.test(`one clear line on stderr: ${title}`, () =>
    withPackage(async (folder) => {
      await spoil?.(folder);
      const run = await train(folder, ...overrides);
      assert.equal(run.code, code, run.stderr);
      assert.match(run.stderr, /^error: [^\n]+\n$/);
      assert.match(run.stderr, message);
    }));
}

Deno.test("a command line without train or a config gets the usage and status 2", () =>
  withPackage(async (folder) => {
    for (const args of [[], ["track"], ["train"], ["train", "--config-name"]]) {
      const run = await runTrainer(folder, args);
      assert.equal(run.code, 2);
      assert.match(run.stderr, /^error: usage: train --config-name/);
    }
  }));
