import assert from "node:assert/strict";
import { join } from "node:path";
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from "@zip-js/zip-js";
import { UserError } from "../../config/user_error.ts";
import { PackageError } from "../../protocol/package_script.ts";
import { ARCHIVE_LIMITS } from "../../storage/archive_check.ts";
import { ArchiveFiles } from "../../storage/package_archive.ts";
import { planPackage } from "../../storage/package_plan.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { lie, zip } from "./zips.ts";

const NEVER = new AbortController().signal;

/** Calls a test with an open archive of these bytes. */
function withArchive(
  bytes: Uint8Array,
  test: (files: ArchiveFiles, path: string) => Promise<void>,
): Promise<void> {
  return withTempDir(async (dir) => {
    const path = join(dir, "pkg.zip");
    await Deno.writeFile(path, bytes);
    using files = await ArchiveFiles.open(path, NEVER);
    await test(files, path);
  });
}

Deno.test("package in a ZIP: folders are those that are named, and those that files lie in", async () => {
  const bytes = await zip([["pkg/sub/a.txt", "a"], ["pkg/b.txt", "b"], ["empty/"], ["top.txt", "t"]]);
  await withArchive(bytes, async (files) => {
    const names = async (folder: string): Promise<string[]> =>
      (await files.list(folder)).map(({ name, isFile, isDirectory }) => {
        assert.notEqual(isFile, isDirectory);
        return isFile ? name : `${name}/`;
      }).toSorted();
    assert.deepEqual(await names(""), ["empty/", "pkg/", "top.txt"]);
    assert.deepEqual(await names("pkg"), ["b.txt", "sub/"]);
    assert.deepEqual(await names("pkg/sub"), ["a.txt"]);
    assert.deepEqual(await names("pk"), []);
    assert.deepEqual(await names("empty"), []);
    assert.equal(await files.readText("pkg/sub/a.txt"), "a");
    assert.equal(await files.readText("pkg/none"), undefined);
    assert.equal(await files.readText("pkg"), undefined);
    assert.equal(files.unpackedBytes, 3);
  });
});

Deno.test("package in a ZIP: its plan is that of the unpacked one", async () => {
  const script = "sleap-nn train --config-name a.yaml\n";
  for (
    const [entries, folder] of [
      [[["pkg/train-script.sh", script]], "pkg"],
      [[["train-script.sh", script], ["models/m/x", ""]], ""],
      [[["renamed/train-script.sh", script]], "renamed"],
    ] as const
  ) {
    await withArchive(await zip([...entries], 6), async (files) => {
      const plan = await planPackage(files, "pkg");
      assert.deepEqual([plan.kind, plan.folder, plan.script, plan.lines.length], [
        "train",
        folder,
        "train-script.sh",
        1,
      ]);
    });
  }
});

for (const level of [0, 6]) {
  Deno.test(`package in a ZIP, level ${level}: the beginning of a large file is read, and no more`, async () => {
    const large = crypto.getRandomValues(new Uint8Array(60_000)).slice();
    const writer = new ZipWriter(new Uint8ArrayWriter(), { useWebWorkers: false, level });
    await writer.add(
      "a",
      new Uint8ArrayReader(new Uint8Array([...large, ...large, ...large, ...large, ...large])),
    );
    await withArchive(await writer.close(), async (files, path) => {
      const file = files.find("a")!;
      assert.deepEqual(await files.readHead(file, 1_000), large.subarray(0, 1_000));
      assert.equal((await files.readHead(file, 10 ** 9)).length, 300_000);
      if (level > 0) return;
      const at = await files.begin(file);
      assert.deepEqual((await Deno.readFile(path)).subarray(at, at + 60_000), large);
    });
  });
}

Deno.test("package in a ZIP: what cannot be read is a UserError, one after the other", async () => {
  const good = await zip([["pkg/a", "content"]], 6);
  await withArchive(lie(good, "crc", 1), async (files) => {
    await assert.rejects(files.readText("pkg/a"), UserError);
  });
  await withArchive(lie(good, "size", 3), async (files) => {
    await assert.rejects(files.readText("pkg/a"), UserError);
  });
  await withArchive(lie(good, "size", 2 ** 30), async (files) => {
    await assert.rejects(files.readText("pkg/a"), PackageError);
    // No memory is taken for what the archive claims.
    await assert.rejects(files.readHead(files.find("pkg/a")!, 2 ** 20), UserError);
  });
});

Deno.test("package in a ZIP: one that would not be unpacked is not opened", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "pkg.zip");
    await Deno.writeFile(path, await zip([["a", "x".repeat(5_000)]], 6));
    const few = { ...ARCHIVE_LIMITS, bytes: 4_999 };
    await assert.rejects(ArchiveFiles.open(path, NEVER, few), /it unpacks to 5000 bytes; at most 4999/);
    const small = { ...ARCHIVE_LIMITS, ratio: 2, ratioFrom: 1_000 };
    await assert.rejects(ArchiveFiles.open(path, NEVER, small), /over 2 times as many/);
    await Deno.writeTextFile(path, "PK no zip");
    await assert.rejects(ArchiveFiles.open(path, NEVER), UserError);
    await assert.rejects(ArchiveFiles.open(path, AbortSignal.abort(new Error("enough"))), /enough/);
  }));
