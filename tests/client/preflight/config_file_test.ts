import assert from "node:assert/strict";
import fc from "fast-check";
import { readConfig } from "../../../client/preflight/config_file.ts";

Deno.test("config: what it names, each with its line, in YAML and in JSON", async () => {
  const yaml = `data_config:
  train_labels_path:
    - a.slp
    - "b.slp"
  val_labels_path: c.slp
  test_file_path: null
model_config:
  head_configs:
    single_instance: null
    bottomup:
      confmaps: { part_names: [x, y] }
      pafs: { edges: [[x, y]] }
`;
  assert.deepEqual(await readConfig("a.yaml", yaml), {
    training: [{ name: "a.slp", line: 3 }, { name: "b.slp", line: 4 }],
    others: [{ name: "c.slp", line: 5 }],
    nodes: [{ name: "x", line: 11 }, { name: "y", line: 11 }],
  });
  const json = '{\n"data_config": {"train_labels_path":\n"a.slp"}, "model_config": {}}';
  assert.deepEqual(await readConfig("a.json", json), {
    training: [{ name: "a.slp", line: 3 }],
    others: [],
    nodes: [],
  });
});

const bomb = ["a: &a [1,1,1,1,1,1,1,1,1,1]"].concat(
  ["b", "c", "d", "e", "f", "g", "h", "i"].map((name, index) => {
    const before = String.fromCharCode(97 + index);
    return `${name}: &${name} [${Array(10).fill(`*${before}`).join(",")}]`;
  }),
).join("\n");

for (
  const [name, text] of [
    ["aliases that multiply", bomb],
    ["deep lists", "[".repeat(100_000)],
    ["deep maps", "{a: ".repeat(50_000)],
    ["deep blocks", Array.from({ length: 1_000 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n")],
    ["an alias of itself", "a: &a\n  b: *a\n"],
    ["a key of the language", '{"__proto__": {"data_config": 1}, "constructor": 2}'],
    ["nothing", ""],
    ["control characters", "\u0000\u0001\ufeff"],
  ]
) {
  Deno.test(`config: ${name} give a finding, and soon`, async () => {
    const began = performance.now();
    const found = await readConfig("a.yaml", text!);
    assert.ok("level" in found && found.level === "failure", JSON.stringify(found).slice(0, 200));
    assert.ok(performance.now() - began < 20_000);
  });
}

Deno.test("config: any text gives what it names, or a finding", async () => {
  const word = fc.oneof(
    fc.constantFrom(
      "data_config:",
      "train_labels_path:",
      "model_config:",
      "\n",
      "  ",
      "- ",
      "[",
      "{",
      "&a",
      "*a",
      "!!",
    ),
    fc.string({ unit: "binary", maxLength: 20 }),
  );
  await fc.assert(fc.asyncProperty(fc.array(word), async (words) => {
    const found = await readConfig("a.yaml", words.join(""));
    assert.ok("level" in found || Array.isArray(found.training));
  }));
});

Deno.test("config: any JSON in the place of a value gives what it names, or a finding", async () => {
  await fc.assert(fc.asyncProperty(fc.jsonValue(), fc.jsonValue(), async (labels, heads) => {
    const config = { data_config: { train_labels_path: labels }, model_config: { head_configs: heads } };
    const found = await readConfig("a.json", JSON.stringify(config));
    if ("level" in found) return;
    for (const { name, line } of [...found.training, ...found.nodes]) {
      assert.ok(typeof name === "string" && line >= 1);
    }
  }));
});
