import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { clientConfig, modelIn, namesIn, startWorker, withLab } from "./lab.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples", import.meta.url));
const CONFIG = "minimal_instance.centroid.yaml";
const LABELS = "minimal_instance.pkg.slp";

Deno.test("bare labels with a configuration are trained, in place and over the channel, and nothing else is left", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const models: string[] = [];
    for (
      const [method, home, config] of [
        ["in place", join(test.clientMount, "alice"), clientConfig(test)],
        ["rtc", test.home, ""],
      ] as const
    ) {
      await Deno.mkdir(home, { recursive: true });
      await Deno.copyFile(join(EXAMPLES, LABELS), join(home, LABELS));
      const args = [
        join(home, LABELS),
        join(EXAMPLES, "package", CONFIG),
        "--session-string",
        worker.session,
      ];
      const run = await test.lab.runClient(config, ["train", ...args]);
      assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
      assert.equal(run.summary?.method, method);
      models.push(await modelIn(join(home, "models")));
      assert.deepEqual(await namesIn(home), [LABELS, "models"]);
    }
    assert.equal(models[0], models[1]);
  }));

Deno.test("a folder of labels and a configuration is a package", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    await Deno.copyFile(join(EXAMPLES, LABELS), join(test.home, LABELS));
    await Deno.copyFile(join(EXAMPLES, "package", CONFIG), join(test.home, CONFIG));
    const run = await test.lab.runClient("", ["train", test.home, "--session-string", worker.session]);
    assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
    await modelIn(join(test.home, "models"));
  }));

Deno.test("bare labels whose training fails leave nothing but what the runs have made", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const home = join(test.clientMount, "alice");
    await Deno.mkdir(home);
    await Deno.copyFile(join(EXAMPLES, LABELS), join(home, LABELS));
    const good = await Deno.readTextFile(join(EXAMPLES, "package", CONFIG));
    await Deno.writeTextFile(join(test.home, "bad.yaml"), good.replace("max_epochs: 8", "max_epochs: none"));
    const args = [join(home, LABELS), join(test.home, "bad.yaml"), "--session-string", worker.session];
    const run = await test.lab.runClient(clientConfig(test), ["train", ...args]);
    assert.equal(run.code, 1, run.stderr);
    assert.ok(!(await namesIn(home)).some((name) => name.startsWith(".")), (await namesIn(home)).join());
    assert.ok((await namesIn(home)).includes(LABELS));
  }));
