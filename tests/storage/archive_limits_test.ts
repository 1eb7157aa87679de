import assert from "node:assert/strict";
import { join } from "node:path";
import { ARCHIVE_LIMITS, type ArchiveLimits } from "../../storage/archive_check.ts";
import { extractArchive } from "../../storage/archive.ts";
import { PathValidationError } from "../../storage/containment.ts";
import { failureOf, listTree, makeTree, withTempDir } from "./temp.ts";
import { centralDirectory, extract, zip, type ZipEntry } from "./zips.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** What the log says of an archive that is refused before anything of it is unpacked. */
function detailOf(bytes: Uint8Array, limits: Partial<ArchiveLimits> = {}): Promise<string> {
  return withTempDir(async (dir) => {
    await makeTree(dir, { "into/": "" });
    await Deno.writeFile(join(dir, "a.zip"), bytes);
    using file = await Deno.open(join(dir, "a.zip"));
    const failure = await failureOf(() =>
      extractArchive(
        { file, size: bytes.length },
        join(dir, "into"),
        "project/a.zip",
        new AbortController().signal,
        { ...ARCHIVE_LIMITS, ...limits },
      )
    );
    assert.ok(failure instanceof PathValidationError, String(failure));
    assert.equal(failure.message, "File corrupted or invalid format: project/a.zip");
    assert.deepEqual(await listTree(join(dir, "into")), {});
    return failure.detail;
  });
}

const TWO: readonly ZipEntry[] = [["a/b", "x"], ["a/c", "y"]];

for (
  const [what, limits, entries, detail] of [
    ["files and folders", { entries: 2 }, TWO, /more than 2 files and folders/],
    ["folders above a file", { depth: 3 }, [["a/b/c/d", "x"]], /"a\/b\/c\/d" lies 3 folders deep; at most 2/],
    ["bytes", { bytes: 9 }, [["a", "12345"], ["b", "12345"]], /unpacks to 10 bytes; at most 9/],
  ] as const
) {
  Deno.test(`refuses an archive of too many ${what}`, async () => {
    assert.match(await detailOf(await zip(entries), limits), detail);
  });
}

Deno.test("an archive at its limits is taken", () =>
  withTempDir(async (dir) => {
    const bytes = await zip(TWO);
    await Deno.writeFile(join(dir, "a.zip"), bytes);
    await Deno.mkdir(join(dir, "into"));
    using file = await Deno.open(join(dir, "a.zip"));
    const limits = { entries: 3, depth: 2, bytes: 2, ratio: 1, ratioFrom: 2 };
    const never = new AbortController().signal;
    await extractArchive({ file, size: bytes.length }, join(dir, "into"), "a.zip", never, limits);
    assert.deepEqual(await listTree(join(dir, "into")), { "a/": "", "a/b": "x", "a/c": "y" });
  }));

Deno.test("refuses an archive that unpacks to very much more than it has", async () => {
  const bomb = await zip([["zeros", "\0".repeat(1_000_000)]], 9);
  assert.match(await detailOf(bomb, { ratioFrom: 999_999 }), /unpack to 1000000, over 200 times as many/);
});

for (
  const [what, entries, detail] of [
    ["a file twice", [["a/x", "1"], ["a/./x", "2"]], /"a\/x" is in it twice/],
    ["names that differ in case", [["a/x", "1"], ["a/X", "2"]], /"a\/x" and "a\/X" are one name/],
    ["folders that differ in case", [["Data/x", "1"], ["data/y", "2"]], /"Data" and "data" are one name/],
    ["a long s, which is an s elsewhere", [["s", "1"], ["\u017f", "2"]], /are one name/],
    ["a file that is a folder", [["a", "1"], ["a/b", "2"]], /"a" is a file and a folder in it/],
    ["a folder that is a file", [["a/b/c", "1"], ["a/b", "2"]], /"a\/b" is a file and a folder in it/],
    ["an empty folder that is a file", [["a/"], ["a", "1"]], /"a" is a file and a folder in it/],
  ] as const satisfies readonly (readonly [string, readonly ZipEntry[], RegExp])[]
) {
  Deno.test(`names what clashes: ${what}`, async () => {
    assert.match(await detailOf(await zip(entries)), detail);
  });
}

Deno.test("a folder's entry may come again, before or after its files", () =>
  withTempDir(async (dir) => {
    await extract(await zip([["a/b/"], ["a/b/c", "1"], ["a/"]]), dir);
    assert.deepEqual(await listTree(join(dir, "into")), { "a/": "", "a/b/": "", "a/b/c": "1" });
  }));

for (
  const [mode, kind] of [
    [0o120777, "a link"],
    [0o020666, "a device"],
    [0o060660, "a device"],
    [0o010644, "a named pipe"],
    [0o140755, "a socket"],
    [0o030000, "of an unknown kind"],
  ] as const
) {
  Deno.test(`refuses ${kind}, mode ${mode.toString(8)}`, async () => {
    const options = { externalFileAttributes: (mode << 16) >>> 0, versionMadeBy: 0x031e };
    assert.match(await detailOf(await zip([["odd", "x", options]])), new RegExp(`"odd" is ${kind}`));
  });
}

Deno.test("files and folders with any permissions are taken", () =>
  withTempDir(async (dir) => {
    const made = (mode: number): NonNullable<ZipEntry[2]> => ({
      externalFileAttributes: (mode << 16) >>> 0,
      versionMadeBy: 0x031e,
    });
    const entries: ZipEntry[] = [["a", "1", made(0o100755)], ["b", "2", made(0o104711)], ["c", "3", made(0)]];
    await extract(await zip(entries), dir);
    assert.deepEqual(await listTree(join(dir, "into")), { a: "1", b: "2", c: "3" });
    assert.equal((await Deno.stat(join(dir, "into/b"))).mode! & 0o7000, 0);
  }));

/** The second entry's record then tells of the first's bytes, or of ones among them. */
function overlapping(bytes: Uint8Array, offset: number): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const second = copy.findLastIndex((_, at) =>
    at < copy.length - 4 && view.getUint32(at, true) === 0x02014b50
  );
  assert.ok(second > centralDirectory(copy));
  view.setUint32(second + 42, offset, true);
  return copy;
}

Deno.test("refuses entries that share bytes", async () => {
  for (const level of [0, 6]) {
    const bytes = await zip([["a", "the same text"], ["b", "the same text"]], level);
    for (const offset of [0, 1, 10, 31]) {
      assert.match(await detailOf(overlapping(bytes, offset)), /shares bytes|is not where/);
    }
  }
});

Deno.test("a list of entries that is too long to be one is not read", () =>
  withTempDir(async (dir) => {
    const size = 2 ** 30;
    await Deno.writeFile(join(dir, "a.zip"), new Uint8Array());
    using file = await Deno.open(join(dir, "a.zip"), { read: true, write: true });
    await file.truncate(size);
    const end = new DataView(new ArrayBuffer(22));
    end.setUint32(0, 0x06054b50, true);
    for (const at of [8, 10]) end.setUint16(at, 1, true);
    end.setUint32(12, size - 22, true);
    await file.seek(size - 22, Deno.SeekMode.Start);
    await file.write(new Uint8Array(end.buffer));
    const failure = await failureOf(() =>
      extractArchive({ file, size }, dir, "a.zip", new AbortController().signal)
    );
    assert.ok(failure instanceof PathValidationError);
    assert.match(failure.detail, /at most 67108864/);
  }));
