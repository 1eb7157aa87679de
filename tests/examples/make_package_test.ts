import assert from "node:assert/strict";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { makePackage } from "../../examples/make_package.ts";
import { CONFIG, LABELS, readZip, withTempDir } from "./trainer_run.ts";

const SLP = new URL("../../examples/minimal_instance.pkg.slp", import.meta.url);
const text = new TextDecoder();

Deno.test("a package has one top folder named like the file, with script, config and labels", () =>
  withTempDir(async (dir) => {
    await makePackage(join(dir, "my.job.zip"));
    const files = await readZip(join(dir, "my.job.zip"));
    assert.deepEqual([...files.keys()].sort(), [
      `my.job/${CONFIG}`,
      `my.job/${LABELS}`,
      "my.job/train-script.sh",
    ]);
    assert.deepEqual(files.get(`my.job/${LABELS}`), await Deno.readFile(SLP));
    const script = text.decode(files.get("my.job/train-script.sh"));
    const lines = script.split("\n").filter((line) => /^\s*(sleap-nn train|sleap-train)\s/.test(line));
    assert.deepEqual(lines, [`sleap-nn train --config-dir . --config-name ${CONFIG}`]);
  }));

Deno.test("the same options give the same bytes", () =>
  withTempDir(async (dir) => {
    const options = { paddingBytes: 3_000_001, config: { max_epochs: 2 } };
    await Deno.mkdir(join(dir, "other"));
    await makePackage(join(dir, "a.zip"), options);
    await makePackage(join(dir, "other", "a.zip"), options);
    const [first, second] = [join(dir, "a.zip"), join(dir, "other", "a.zip")].map((path) =>
      Deno.readFileSync(path)
    );
    assert.ok(first !== undefined && second !== undefined);
    // Not deepEqual: its report on a difference of megabytes takes minutes.
    assert.ok(first.length === second.length && first.every((byte, i) => byte === second[i]));
  }));

Deno.test("padding has the size asked for and cannot be compressed", () =>
  withTempDir(async (dir) => {
    for (const paddingBytes of [0, 1, 1 << 20, (1 << 20) + 5]) {
      const target = join(dir, "padded.zip");
      await makePackage(target, { paddingBytes });
      const padding = (await readZip(target)).get("padded/padding.bin");
      assert.equal(padding?.length, paddingBytes);
      const squeezed = new Blob([new Uint8Array(padding ?? [])]).stream().pipeThrough(
        new CompressionStream("gzip"),
      );
      assert.ok((await new Response(squeezed).bytes()).length >= paddingBytes);
    }
  }));

Deno.test("config is merged into trainer_config, section by section", () =>
  withTempDir(async (dir) => {
    const target = join(dir, "job.zip");
    await makePackage(target, { config: { max_epochs: 3, fail_at_epoch: 2, optimizer: { amsgrad: true } } });
    const config = z.record(z.string(), z.record(z.string(), z.unknown()))
      .parse(parse(text.decode((await readZip(target)).get(`job/${CONFIG}`))));
    assert.equal(config["trainer_config"]?.["max_epochs"], 3);
    assert.equal(config["trainer_config"]?.["fail_at_epoch"], 2);
    assert.deepEqual(config["trainer_config"]?.["optimizer"], { lr: 0.002, amsgrad: true });
    assert.deepEqual(config["data_config"]?.["train_labels_path"], [LABELS]);
  }));

Deno.test("a bad size is refused before anything is written", () =>
  withTempDir(async (dir) => {
    for (const paddingBytes of [-1, 1.5, NaN]) {
      await assert.rejects(() => makePackage(join(dir, "job.zip"), { paddingBytes }), RangeError);
    }
    assert.deepEqual([...Deno.readDirSync(dir)], []);
  }));
