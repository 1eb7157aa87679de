import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { publish } from "../../storage/copy.ts";
import { failureOf, listTree, makeTree, withTempDir } from "./temp.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const unix = Deno.build.os !== "windows";

Deno.test("a folder appears whole, with its size", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "run/best.ckpt": "12345", "run/logs/a.txt": "12", "run/empty/": "", "out/": "" });
    const found = await publish(join(dir, "run"), join(dir, "out"), "run");
    assert.deepEqual(found, { files: 2, bytes: 7, path: join(dir, "out/run") });
    assert.deepEqual(await listTree(join(dir, "out/run")), await listTree(join(dir, "run")));
    assert.deepEqual(
      Object.keys(await listTree(join(dir, "out"))).filter((name) => name.includes(".partial")),
      [],
    );
  }));

Deno.test("a file, and an empty folder, are published alike", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "a.slp": "123", "empty/": "", "out/": "" });
    const file = await publish(join(dir, "a.slp"), join(dir, "out"), "b.slp");
    assert.deepEqual(file, { files: 1, bytes: 3, path: join(dir, "out/b.slp") });
    const folder = await publish(join(dir, "empty"), join(dir, "out"), "e");
    assert.deepEqual(folder, { files: 0, bytes: 0, path: join(dir, "out/e") });
    assert.deepEqual(await listTree(join(dir, "out")), { "b.slp": "123", "e/": "" });
  }));

Deno.test("what has the name already is kept, and numbers are counted up from 2", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, {
      "run/a": "new",
      "out/run/a": "old",
      "out/run-2": "a file",
      "out/run-3": { link: "nowhere" },
      "out/run-4/": "",
    });
    const { path } = await publish(join(dir, "run"), join(dir, "out"), "run");
    assert.equal(path, join(dir, "out/run-5"));
    assert.deepEqual(await listTree(join(dir, "out")), {
      "run/": "",
      "run/a": "old",
      "run-2": "a file",
      "run-3": "-> nowhere",
      "run-4/": "",
      "run-5/": "",
      "run-5/a": "new",
    });
  }));

for (
  const [kind, tree] of [
    ["files", { "source": "x" }],
    ["folders", { "source/a": "x" }],
    ["empty folders", { "source/": "" }],
  ] as const
) {
  Deno.test(`${kind} published at the same time under one name all get one of their own`, () =>
    withTempDir(async (dir) => {
      await makeTree(dir, { ...tree, "out/": "" });
      const found = await Promise.all(
        Array.from({ length: 8 }, () => publish(join(dir, "source"), join(dir, "out"), "same")),
      );
      assert.equal(new Set(found.map(({ path }) => basename(path))).size, 8);
      assert.equal([...Deno.readDirSync(join(dir, "out"))].length, 8);
    }));
}

Deno.test("links to files inside become those files; others are left out, and nothing of theirs comes along", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, {
      "secret": "secret",
      "secrets/a": "secret",
      "run/sub/best.ckpt": "weights",
      "run/last.ckpt": { link: "sub/best.ckpt" },
      "run/absolute": { link: join(dir, "run/sub/best.ckpt") },
      "run/out_file": { link: "../secret" },
      "run/out_folder": { link: "../secrets" },
      "run/in_folder": { link: "sub" },
      "run/up": { link: ".." },
      "out/": "",
    });
    const { files } = await publish(join(dir, "run"), join(dir, "out"), "run");
    assert.deepEqual(await listTree(join(dir, "out")), {
      "run/": "",
      "run/sub/": "",
      "run/sub/best.ckpt": "weights",
      "run/last.ckpt": "weights",
      "run/absolute": "weights",
    });
    assert.equal(files, 3);
  }));

for (const [what, link] of [["lead nowhere", "nowhere"], ["lead in a circle", "broken"]] as const) {
  Deno.test(`links that ${what} are left out, the rest is published`, () =>
    withTempDir(async (dir) => {
      await makeTree(dir, { "run/a": "x", "run/broken": { link }, "out/": "" });
      await publish(join(dir, "run"), join(dir, "out"), "run");
      assert.deepEqual(await listTree(join(dir, "out")), { "run/": "", "run/a": "x" });
    }));
}

Deno.test("a source that is a link is published as what it leads to", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "real/a": "x", "run": { link: "real" }, "out/": "" });
    await publish(join(dir, "run"), join(dir, "out"), "run");
    assert.deepEqual(await listTree(join(dir, "out")), { "run/": "", "run/a": "x" });
  }));

Deno.test({
  name: "a pipe is left out without waiting for its other end",
  ignore: !unix,
  fn: () =>
    withTempDir(async (dir) => {
      await makeTree(dir, { "run/a": "x", "out/": "" });
      const { success } = await new Deno.Command("mkfifo", { args: [join(dir, "run/pipe")] }).output();
      assert.ok(success);
      await publish(join(dir, "run"), join(dir, "out"), "run");
      assert.deepEqual(await listTree(join(dir, "out")), { "run/": "", "run/a": "x" });
    }),
});

Deno.test("nothing is left when publishing is aborted or fails", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "run/a": "x", "run/b/c": "y", "out/": "" });
    const signal = AbortSignal.abort(new Error("no more"));
    await assert.rejects(() => publish(join(dir, "run"), join(dir, "out"), "run", signal), /no more/);
    await failureOf(() => publish(join(dir, "gone"), join(dir, "out"), "run"));
    await failureOf(() => publish(join(dir, "run"), join(dir, "out/gone"), "run"));
    await failureOf(() => publish(join(dir, "run"), join(dir, "out"), "x".repeat(300)));
    assert.deepEqual(await listTree(join(dir, "out")), {});
  }));

Deno.test({
  name: "modes are kept, also where the group may write",
  ignore: !unix,
  fn: () =>
    withTempDir(async (dir) => {
      await makeTree(dir, { "run/script": "x", "out/": "" });
      await Deno.chmod(join(dir, "run/script"), 0o775);
      await publish(join(dir, "run"), join(dir, "out"), "run");
      assert.equal(((await Deno.stat(join(dir, "out/run/script"))).mode ?? 0) & 0o777, 0o775);
    }),
});
