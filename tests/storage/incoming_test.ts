import assert from "node:assert/strict";
import { join } from "node:path";
import { PathValidationError } from "../../storage/containment.ts";
import { checkNames, IncomingFolder, removeForsaken } from "../../storage/incoming.ts";
import { listTree, withTempDir } from "./temp.ts";

const KEY = "0123456789abcdef".repeat(4);
const ENTRIES = [{ name: "a", size: 4 }, { name: "x/b", size: 2 }];

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).toSorted();
}

async function write(folder: IncomingFolder, number: number, text: string, offset = 0): Promise<void> {
  using file = await folder.write(number, offset);
  await file.write(new TextEncoder().encode(text));
}

async function read(folder: IncomingFolder): Promise<string> {
  let text = "";
  for await (const { file, bytes } of folder.read()) text += `${file}${new TextDecoder().decode(bytes)} `;
  return text;
}

Deno.test("incoming: what is kept is found by the same key and list, and by no other", () =>
  withTempDir(async (root) => {
    const first = await IncomingFolder.open(root, KEY, ENTRIES);
    await write(first, 0, "1234");
    await write(first, 1, "5");
    await first.keep();
    const second = await IncomingFolder.open(root, KEY, ENTRIES);
    assert.equal(await read(second), "01234 15 ");
    await write(second, 1, "6", 1);
    assert.equal(await read(second), "01234 156 ");
    await second.keep();
    const other = await IncomingFolder.open(root, "f".repeat(64), ENTRIES);
    assert.equal(await read(other), "");
    await other.discard();
    const changed = await IncomingFolder.open(root, KEY, [{ name: "a", size: 4 }]);
    assert.equal(await read(changed), "");
    await changed.discard();
    assert.deepEqual(names(root), []);
  }));

Deno.test("incoming: without a key nothing is found again", () =>
  withTempDir(async (root) => {
    const folder = await IncomingFolder.open(root, null, ENTRIES);
    await write(folder, 0, "1234");
    const other = await IncomingFolder.open(root, null, ENTRIES);
    assert.equal(await read(other), "");
    await folder.discard();
    await other.discard();
    assert.deepEqual(names(root), []);
  }));

Deno.test("incoming: files move to their target, and nothing else is left", () =>
  withTempDir(async (root) => {
    const folder = await IncomingFolder.open(root, KEY, ENTRIES);
    await write(folder, 0, "1234");
    await write(folder, 1, "56");
    await folder.moveTo(join(root, "target"));
    assert.deepEqual(await listTree(root), {
      "target/": "",
      "target/a": "1234",
      "target/x/": "",
      "target/x/b": "56",
    });
  }));

Deno.test("incoming: a folder in use is left to its user, the next gets another", () =>
  withTempDir(async (root) => {
    const first = await IncomingFolder.open(root, KEY, ENTRIES);
    await write(first, 0, "1234");
    const second = await IncomingFolder.open(root, KEY, ENTRIES);
    assert.notEqual(second.files, first.files);
    assert.equal(await read(second), "");
    await second.discard();
    assert.equal(await read(first), "01234 ");
    await first.discard();
    assert.deepEqual(names(root), []);
  }));

Deno.test("incoming: who waits for a folder that its user removes gets one all the same, for itself alone", () =>
  withTempDir(async (root) => {
    for (let round = 0; round < 20; round++) {
      const first = await IncomingFolder.open(root, KEY, ENTRIES);
      const waiting = [IncomingFolder.open(root, KEY, ENTRIES), IncomingFolder.open(root, KEY, ENTRIES)];
      await new Promise((resolve) => setTimeout(resolve, round));
      await first.discard();
      const folders = await Promise.all(waiting);
      assert.notEqual(folders[0]!.files, folders[1]!.files);
      for (const folder of folders) await write(folder, 1, "5");
      for (const folder of folders) await folder.discard();
    }
    assert.deepEqual(names(root), []);
  }));

Deno.test("incoming: what nobody came back for in three days goes, what is in use or younger stays", () =>
  withTempDir(async (root) => {
    const age = async (path: string): Promise<void> => {
      const old = new Date(Date.now() - 4 * 24 * 3600_000);
      for (const name of names(path)) await Deno.utime(join(path, name), old, old);
      await Deno.utime(path, old, old);
    };
    const open = (key: string): Promise<IncomingFolder> => IncomingFolder.open(root, key.repeat(64), ENTRIES);
    const [old, young, used] = [await open("a"), await open("b"), await open("c")];
    await old.keep();
    await young.keep();
    for (const key of ["a", "c"]) await age(join(root, key.repeat(64)));
    await Deno.writeTextFile(join(root, "a file"), "");
    await removeForsaken(root);
    assert.deepEqual(names(root), ["a file", "b".repeat(64), "c".repeat(64), `${"c".repeat(64)}.lock`]);
    await used.discard();
  }));

Deno.test("incoming: names come back as they may be used", () => {
  const [entry] = checkNames([{ name: "./a//b/./c", size: 1 }]);
  assert.deepEqual(entry, { name: "a/b/c", size: 1 });
  assert.throws(() => checkNames([{ name: "a/".repeat(64) + "a", size: 1 }]), PathValidationError);
});
