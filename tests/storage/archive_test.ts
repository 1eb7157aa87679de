import assert from "node:assert/strict";
import fc from "fast-check";
import { join } from "node:path";
import { extractArchive, FileReader, packFolder } from "../../storage/archive.ts";
import { failureOf, listTree, makeTree, withTempDir } from "./temp.ts";
import { extract, zip } from "./zips.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const never = (): AbortSignal => new AbortController().signal;

/** Packs `dir/from` and extracts it to `dir/to`. */
async function roundTrip(dir: string): Promise<void> {
  await Deno.mkdir(join(dir, "to"));
  await packFolder(join(dir, "from"), join(dir, "a.zip"), never());
  using file = await Deno.open(join(dir, "a.zip"));
  await extractArchive({ file, size: (await file.stat()).size }, join(dir, "to"), "a.zip", never());
}

Deno.test("what is packed comes out the same, empty folders included", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, {
      "from/run 1/best.ckpt": "weights",
      "from/run 1/logs/a.csv": "",
      "from/run 1/empty/": "",
      "from/naïve 日本 😀.txt": "é",
      "from/.hidden": "h",
      "from/a..b": "dots",
    });
    await roundTrip(dir);
    assert.deepEqual(await listTree(join(dir, "to")), await listTree(join(dir, "from")));
  }));

Deno.test("an empty folder packs to an archive of nothing", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "from/": "" });
    await roundTrip(dir);
    assert.deepEqual(await listTree(join(dir, "to")), {});
  }));

Deno.test("any tree comes out the same", () => {
  const name = fc.stringMatching(/^[a-z0-9é日 _-]{1,6}$/).map((each) => `n${each}.x`);
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
  const content = fc.string({ unit: "binary", maxLength: 2_000 }).filter((text) => text.isWellFormed());
  return fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.tuple(path, content), { maxLength: 8, selector: ([each]) => each }),
      (files) =>
        withTempDir(async (dir) => {
          await Deno.mkdir(join(dir, "from"));
          for (const [each, text] of files) {
            // a name that is a file already cannot be a folder as well
            await makeTree(join(dir, "from"), { [each]: text }).catch(() => {});
          }
          await roundTrip(dir);
          assert.deepEqual(await listTree(join(dir, "to")), await listTree(join(dir, "from")));
        }),
    ),
    { numRuns: 40 },
  );
});

Deno.test("megabytes that do not repeat come out the same", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "from/": "" });
    const bytes = new Uint8Array(3_000_001);
    for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    await Deno.writeFile(join(dir, "from/big"), bytes);
    await roundTrip(dir);
    const found = await Deno.readFile(join(dir, "to/big"));
    assert.ok(found.length === bytes.length && found.every((byte, index) => byte === bytes[index]));
  }));

Deno.test("a file from before the first year that ZIP knows is packed", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "from/old": "x" });
    await Deno.utime(join(dir, "from/old"), 0, 0);
    await roundTrip(dir);
    assert.deepEqual(await listTree(join(dir, "to")), { old: "x" });
  }));

Deno.test("links out of the folder are not packed", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, {
      "secret/key": "secret",
      "from/a": "x",
      "from/out": { link: "../secret/key" },
      "from/out_folder": { link: "../secret" },
      "from/dangling": { link: "nowhere" },
    });
    await roundTrip(dir);
    assert.deepEqual(await listTree(join(dir, "to")), { a: "x" });
  }));

Deno.test("packing does not overwrite", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "from/a": "x", "a.zip": "kept" });
    await assert.rejects(
      () => packFolder(join(dir, "from"), join(dir, "a.zip"), never()),
      Deno.errors.AlreadyExists,
    );
    assert.equal(await Deno.readTextFile(join(dir, "a.zip")), "kept");
  }));

for (
  const [what, from, signal] of [
    ["is aborted", "from", AbortSignal.abort(new Error("no more"))],
    ["fails", "gone", never()],
  ] as const
) {
  Deno.test(`packing that ${what} closes and removes its file`, () =>
    withTempDir(async (dir) => {
      await makeTree(dir, { "from/a": "x" });
      await failureOf(() => packFolder(join(dir, from), join(dir, "a.zip"), signal));
      assert.deepEqual(await listTree(dir), { "from/": "", "from/a": "x" });
    }));
}

Deno.test("deflated and stored archives are extracted, with and without entries for folders", () =>
  withTempDir(async (dir) => {
    const text = "hello ".repeat(20_000);
    for (const level of [0, 9]) {
      await extract(await zip([["top/"], ["top/a", text], ["other/deep/b", ""], ["other/"]], level), dir);
      assert.deepEqual(await listTree(join(dir, "into")), {
        "top/": "",
        "top/a": text,
        "other/": "",
        "other/deep/": "",
        "other/deep/b": "",
      });
      await Deno.remove(join(dir, "into"), { recursive: true });
    }
  }));

Deno.test("extracting that is aborted ends with the reason", () =>
  withTempDir(async (dir) => {
    const bytes = await zip([["a", "x"]]);
    await assert.rejects(() => extract(bytes, dir, AbortSignal.abort(new Error("no more"))), /no more/);
    assert.deepEqual(await listTree(join(dir, "into")), {});
  }));

Deno.test("an open file is read at any place, not beyond its end", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { file: "0123456789" });
    using file = await Deno.open(join(dir, "file"));
    const reader = new FileReader(file, 10);
    const read = async (offset: number, length: number): Promise<string> =>
      new TextDecoder().decode(await reader.readUint8Array(offset, length));
    assert.equal(await read(4, 3), "456");
    assert.equal(await read(0, 2), "01");
    assert.equal(await read(8, 100), "89");
    assert.equal(await read(10, 5), "");
    assert.equal(await read(50, 5), "");
    // shorter than it was said to be
    assert.equal(new TextDecoder().decode(await new FileReader(file, 20).readUint8Array(8, 12)), "89");
  }));
