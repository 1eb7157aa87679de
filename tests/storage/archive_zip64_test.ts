import assert from "node:assert/strict";
import { join } from "node:path";
import { extractArchive } from "../../storage/archive.ts";
import { listTree, withTempDir } from "./temp.ts";
import { writeSparseArchive } from "./zip64.ts";
import { extract, zip, type ZipEntry } from "./zips.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const GIB = 2 ** 30;
const LONG = Deno.env.has("SLEAP_RTC_LONG_TESTS");

async function extractFile(path: string, folder: string): Promise<void> {
  await Deno.mkdir(folder);
  using file = await Deno.open(path);
  const { size } = await file.stat();
  await extractArchive({ file, size }, folder, "a.zip", new AbortController().signal);
}

/** More than the first ZIP format can count. */
const MANY = 65_600;

Deno.test("an archive of 65,600 entries is extracted to its end", () =>
  withTempDir(async (dir) => {
    // One folder in as many spellings, so that the disk has little to do.
    const spelling = (index: number): string => index.toString(2).replaceAll("0", "/").replaceAll("1", "./");
    const folders = Array.from({ length: MANY - 2 }, (_, index): ZipEntry => [`folder/${spelling(index)}`]);
    await extract(await zip([["first", "1"], ...folders, ["folder/last", "2"]]), dir);
    assert.deepEqual(await listTree(join(dir, "into")), { first: "1", "folder/": "", "folder/last": "2" });
  }));

Deno.test({
  name: "an archive of 65,600 files is extracted (set SLEAP_RTC_LONG_TESTS)",
  ignore: !LONG,
  fn: () =>
    withTempDir(async (dir) => {
      const entries = Array.from({ length: MANY }, (_, index): ZipEntry => [`${index % 64}/${index}`, ""]);
      await extract(await zip(entries), dir);
      let files = 0;
      for (let folder = 0; folder < 64; folder++) {
        for await (const { name, isFile } of Deno.readDir(join(dir, "into", String(folder)))) {
          assert.ok(isFile && Number(name) % 64 === folder, name);
          files++;
        }
      }
      assert.equal(files, MANY);
    }),
});

Deno.test("files that lie beyond 4 GiB are extracted", () =>
  withTempDir(async (dir) => {
    await writeSparseArchive(join(dir, "a.zip"), [
      { name: "first", offset: 0, zeros: 5 },
      { name: "far", offset: 5 * GIB, zeros: 3_000_000 },
      { name: "last", offset: 5 * GIB + 4_000_000, zeros: 7 },
    ]);
    await extractFile(join(dir, "a.zip"), join(dir, "into"));
    for (const [name, size] of [["first", 5], ["far", 3_000_000], ["last", 7]] as const) {
      const found = await Deno.readFile(join(dir, "into", name));
      assert.ok(found.length === size && found.every((byte) => byte === 0), name);
    }
  }));

Deno.test({
  name: "a file of more than 4 GiB is extracted (set SLEAP_RTC_LONG_TESTS)",
  ignore: !LONG,
  fn: () =>
    withTempDir(async (dir) => {
      const zeros = 4 * GIB + 4_321;
      await writeSparseArchive(join(dir, "a.zip"), [
        { name: "huge", offset: 0, zeros },
        { name: "after", offset: zeros + 100, zeros: 7 },
      ]);
      await extractFile(join(dir, "a.zip"), join(dir, "into"));
      assert.equal((await Deno.stat(join(dir, "into/huge"))).size, zeros);
      assert.equal((await Deno.stat(join(dir, "into/after"))).size, 7);
    }),
});
