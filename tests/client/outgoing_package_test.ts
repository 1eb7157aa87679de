import assert from "node:assert/strict";
import { join } from "node:path";
import { outgoingPackage } from "../../client/outgoing_package.ts";
import { UserError } from "../../config/user_error.ts";
import { makeTree, withTempDir } from "../storage/temp.ts";

async function keyOf(path: string): Promise<string> {
  const { key } = await outgoingPackage(path);
  assert.match(key!, /^[0-9a-f]{64}$/);
  return key!;
}

async function namesOf(path: string): Promise<string[]> {
  return (await outgoingPackage(path)).files.map(({ name }) => name);
}

Deno.test("outgoing package: a file is one file, under the name that it was given by", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "real.zip": "12345", "link.zip": { link: "real.zip" } });
    for (const name of ["real.zip", "link.zip"]) {
      const { purpose, files } = await outgoingPackage(join(dir, name));
      assert.deepEqual([purpose, files.map(({ name, size }) => [name, size])], ["package", [[name, 5]]]);
      using file = await files[0]!.open();
      const buffer = new Uint8Array(9);
      assert.equal(await file.read(buffer), 5);
    }
  }));

Deno.test("outgoing package: a folder is its files, earlier results at the top left out, links followed", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, {
      "elsewhere/data": "1234567",
      "pkg/train-script.sh": "x",
      "pkg/b/models/kept": "x",
      "pkg/models/run/best.ckpt": "x",
      "pkg/models.txt": "x",
      "pkg/empty/": "",
      "pkg/data": { link: "../elsewhere/data" },
    });
    const { purpose, files } = await outgoingPackage(join(dir, "pkg"));
    assert.equal(purpose, "folder");
    assert.deepEqual(files.map(({ name, size }) => [name, size]), [
      ["b/models/kept", 1],
      ["data", 7],
      ["models.txt", 1],
      ["train-script.sh", 1],
    ]);
  }));

Deno.test("outgoing package: links to folders, and to nothing, are named", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "pkg/a": "x", "other/b": "x" });
    for (const link of ["../other", "nothing", "self"]) {
      await Deno.symlink(link, join(dir, "pkg/self"));
      await assert.rejects(outgoingPackage(join(dir, "pkg")), (error) => {
        return error instanceof UserError && error.message.includes(join(dir, "pkg/self"));
      });
      await Deno.remove(join(dir, "pkg/self"));
    }
    assert.deepEqual(await namesOf(join(dir, "pkg")), ["a"]);
    await assert.rejects(outgoingPackage(join(dir, "none")), Deno.errors.NotFound);
  }));

Deno.test("outgoing package: the key stays while the files do, however they are named", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "pkg/a": "1", "pkg/b/c": "2", "pkg/models/run": "x", "p.zip": "1" });
    const key = await keyOf(join(dir, "pkg"));
    assert.equal(await keyOf(join(dir, "pkg")), key);
    assert.equal(await keyOf(join(dir, "pkg/../pkg/")), key);
    await Deno.symlink("pkg", join(dir, "linked"));
    assert.equal(await keyOf(join(dir, "linked")), key);
    await Deno.writeTextFile(join(dir, "pkg/models/run"), "new results");
    await (await Deno.open(join(dir, "pkg/a"))).close();
    assert.equal(await keyOf(join(dir, "pkg")), key);
    assert.notEqual(await keyOf(join(dir, "p.zip")), key);
  }));

/** What must change the key of a folder with the files `a` and `b/c`. */
const CHANGES: Readonly<Record<string, (pkg: string) => Promise<void>>> = {
  "a file is longer": (pkg) => Deno.writeTextFile(join(pkg, "a"), "12"),
  "a file was written to": (pkg) => Deno.utime(join(pkg, "a"), new Date(), new Date(Date.now() + 1_000)),
  "another file has taken its place": async (pkg) => {
    const { atime, mtime } = await Deno.stat(join(pkg, "a"));
    await Deno.writeTextFile(join(pkg, "new"), "9");
    await Deno.rename(join(pkg, "new"), join(pkg, "a"));
    await Deno.utime(join(pkg, "a"), atime!, mtime!);
  },
  "a file has another name": (pkg) => Deno.rename(join(pkg, "a"), join(pkg, "z")),
  "a file is gone": (pkg) => Deno.remove(join(pkg, "a")),
  "a file came": (pkg) => Deno.writeTextFile(join(pkg, "b/d"), ""),
};
for (const [name, change] of Object.entries(CHANGES)) {
  Deno.test(`outgoing package: the key is another when ${name}`, () =>
    withTempDir(async (dir) => {
      await makeTree(dir, { "pkg/a": "1", "pkg/b/c": "2" });
      const key = await keyOf(join(dir, "pkg"));
      await change(join(dir, "pkg"));
      assert.notEqual(await keyOf(join(dir, "pkg")), key);
    }));
}
