import assert from "node:assert/strict";
import { join } from "node:path";
import { createInside } from "../../storage/containment.ts";
import { assertRefused, failureOf, listTree, makeTree, withTempDir } from "./temp.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

Deno.test("a new file is not visible before commit, and whole afterwards", () =>
  withTempDir(async (dir) => {
    const target = await createInside(dir, "a/b/file");
    assert.equal(target.path, join(dir, "a/b/file"));
    await target.file.write(bytes("half"));
    await assert.rejects(() => Deno.lstat(target.path), Deno.errors.NotFound);
    await target.file.write(bytes(" and half"));
    await target.commit();
    assert.deepEqual(await listTree(dir), { "a/": "", "a/b/": "", "a/b/file": "half and half" });
    await target.discard();
    assert.equal(await Deno.readTextFile(target.path), "half and half");
  }));

Deno.test("discard leaves nothing, also twice", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { file: "old" });
    const target = await createInside(dir, "file");
    await target.file.write(bytes("new"));
    assert.equal(await Deno.readTextFile(join(dir, "file")), "old");
    await target.discard();
    await target.discard();
    assert.deepEqual(await listTree(dir), { file: "old" });
  }));

Deno.test("commit replaces what was there in one step", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { file: "old" });
    using reader = await Deno.open(join(dir, "file"));
    const target = await createInside(dir, "file", { durable: false });
    await target.file.write(bytes("new"));
    await target.commit();
    assert.deepEqual(await listTree(dir), { file: "new" });
    const seen = new Uint8Array(9);
    assert.equal(await reader.read(seen), 3);
    assert.equal(new TextDecoder().decode(seen.subarray(0, 3)), "old");
  }));

Deno.test("a link where the file is to be is replaced, not followed", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, {
      "outside/victim": "untouched",
      "root/to_file": { link: "../outside/victim" },
      "root/to_new": { link: "../outside/new" },
    });
    for (const name of ["to_file", "to_new"]) {
      const target = await createInside(join(dir, "root"), name);
      await target.file.write(bytes("mine"));
      await target.commit();
    }
    assert.deepEqual(await listTree(dir), {
      "outside/": "",
      "outside/victim": "untouched",
      "root/": "",
      "root/to_file": "mine",
      "root/to_new": "mine",
    });
  }));

Deno.test("a path that names no file is refused", () =>
  withTempDir(async (dir) => {
    for (const each of ["", ".", "./", "./."]) {
      await assertRefused(() => createInside(dir, each), "outside", each);
    }
    assert.deepEqual(await listTree(dir), {});
  }));

Deno.test("a folder where the file is to be makes commit fail, and nothing is left", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "taken/inner": "kept" });
    const target = await createInside(dir, "taken");
    await target.file.write(bytes("x"));
    await failureOf(() => target.commit());
    await target.discard();
    assert.deepEqual(await listTree(dir), { "taken/": "", "taken/inner": "kept" });
  }));

Deno.test("a folder that was taken away meanwhile makes commit fail, and discard does not complain", () =>
  withTempDir(async (dir) => {
    const target = await createInside(dir, "folder/file");
    await Deno.remove(join(dir, "folder"), { recursive: true });
    await failureOf(() => target.commit());
    await target.discard();
    assert.deepEqual(await listTree(dir), {});
  }));

Deno.test({
  name: "a folder that was moved away and replaced by a link meanwhile: nothing is left in either place",
  // Elsewhere the system does not tell where an open file lies.
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withTempDir(async (dir) => {
      const [root, outside] = [join(dir, "root"), join(dir, "outside")];
      for (const path of [join(root, "folder"), outside]) await Deno.mkdir(path, { recursive: true });
      const target = await createInside(root, "folder/new");
      await target.file.write(new TextEncoder().encode("written"));
      await Deno.rename(join(root, "folder"), join(dir, "away"));
      await Deno.symlink(outside, join(root, "folder"));
      await assert.rejects(target.commit());
      await target.discard();
      for (const path of [outside, join(dir, "away")]) assert.deepEqual([...Deno.readDirSync(path)], []);
    }),
});

Deno.test("two writers of one name do not meet; the last to commit wins whole", () =>
  withTempDir(async (dir) => {
    const [first, second] = [await createInside(dir, "file"), await createInside(dir, "file")];
    await first.file.write(bytes("first, and long"));
    await second.file.write(bytes("second"));
    await first.commit();
    await second.commit();
    assert.deepEqual(await listTree(dir), { file: "second" });
  }));

Deno.test({
  name: "a file gets the mode that was asked for",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withTempDir(async (dir) => {
      for (const [name, mode] of [["secret", 0o600], ["plain", undefined]] as const) {
        const target = await createInside(dir, name, mode === undefined ? {} : { mode });
        await target.commit();
        assert.equal(((await Deno.stat(target.path)).mode ?? 0) & 0o777, mode ?? 0o644 & ~Deno.umask());
      }
    }),
});

Deno.test("a name of 255 bytes fits, although the temporary name is another", () =>
  withTempDir(async (dir) => {
    const target = await createInside(dir, "é".repeat(127) + "x");
    await target.commit();
    assert.equal(Object.keys(await listTree(dir))[0]?.length, 128);
  }));
