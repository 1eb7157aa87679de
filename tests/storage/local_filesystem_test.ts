import assert from "node:assert/strict";
import { join } from "node:path";
import { LocalFilesystem } from "../../storage/local.ts";
import { assertFault, bytesOf, conformance, drain, streamOf } from "./conformance.ts";
import { assertRefused, makeTree, withTempDir } from "./temp.ts";

Deno.test.sanitizer?.({ ops: true, resources: true });

conformance("local", (use) => withTempDir((dir) => use(new LocalFilesystem(dir))));

Deno.test("links inside the root are followed, others are refused and list as nothing", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, {
      "secret": "s",
      "root/f": "content",
      "root/d/g": "",
      "root/to-file": { link: "f" },
      "root/to-folder": { link: "d" },
      "root/out": { link: "../secret" },
      "root/dangling": { link: "nowhere" },
    });
    const storage = new LocalFilesystem(join(dir, "root"));
    const found = await Array.fromAsync(storage.list(""), (entry) => {
      return `${entry.name} ${entry.isFile ? "file" : entry.isFolder ? "folder" : "nothing"}`;
    });
    assert.deepEqual(found.sort(), [
      "d folder",
      "dangling nothing",
      "f file",
      "out nothing",
      "to-file file",
      "to-folder folder",
    ]);
    assert.equal(new TextDecoder().decode(await drain(await storage.read("to-file"))), "content");
    for (const path of ["out", "dangling"]) {
      await assertRefused(() => storage.stat(path), "outside");
      await assertRefused(() => storage.read(path), "outside");
      await assertRefused(() => storage.copy(path, "x"), "outside");
    }
  }));

Deno.test("a link is removed or replaced itself, not what it leads to", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, {
      "secret/s": "s",
      "root/f": "content",
      "root/out": { link: "../secret" },
      "root/too": { link: "../secret/s" },
      "root/to-file": { link: "f" },
    });
    const storage = new LocalFilesystem(join(dir, "root"));
    await storage.remove("out");
    await storage.write("too", streamOf(bytesOf(3)));
    await storage.move("to-file", "moved");
    assert.equal(await Deno.readTextFile(join(dir, "secret/s")), "s");
    assert.equal(await Deno.readTextFile(join(dir, "root/f")), "content");
    assert.equal((await Deno.lstat(join(dir, "root/moved"))).isFile, true);
    assert.deepEqual([...Deno.readDirSync(join(dir, "root"))].map(({ name }) => name).sort(), [
      "f",
      "moved",
      "too",
    ]);
  }));

Deno.test("a root that is not there is gone, and back when it is", () =>
  withTempDir(async (dir) => {
    const storage = new LocalFilesystem(join(dir, "root"));
    await assertFault(() => storage.exists("f"), "gone");
    await assertFault(() => storage.stat(""), "gone");
    await assertFault(() => storage.write("f", streamOf(bytesOf(1))), "gone");
    await Deno.mkdir(join(dir, "root"));
    await storage.write("f", streamOf(bytesOf(1)));
    assert.equal(await storage.exists("f"), true);
  }));

Deno.test("names that could not be asked for are not listed", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "good": "", "back\\slash": "", "new\nline": "", "CON": "" });
    const storage = new LocalFilesystem(dir);
    assert.deepEqual((await Array.fromAsync(storage.list(""))).map(({ name }) => name), ["good"]);
  }));
