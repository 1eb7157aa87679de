import assert from "node:assert/strict";
import { join } from "node:path";
import { PathValidationError } from "../../storage/containment.ts";
import { InsufficientSpaceError } from "../../storage/copy.ts";
import { HOSTILE } from "./hostile.ts";
import { assertRefused, failureOf, listTree, makeTree, withTempDir } from "./temp.ts";
import { centralDirectory, extract, lie, rename, zip, type ZipEntry } from "./zips.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Extracts into a folder beside one that must stay as it is, and expects a refusal as corrupt. */
function assertCorrupt(bytes: Uint8Array): Promise<void> {
  return withTempDir(async (dir) => {
    await makeTree(dir, { "beside/file": "untouched", "into/": "" });
    await assertRefused(() => extract(bytes, dir), "corrupt", "project/received.zip");
    await Deno.remove(join(dir, "into"), { recursive: true });
    assert.deepEqual(await listTree(dir), { "beside/": "", "beside/file": "untouched" });
  });
}

/** `S_IFLNK | 0777`, as an archive made on Unix stores it. */
const LINK = { externalFileAttributes: (0o120777 << 16) >>> 0, versionMadeBy: 0x031e } as const;

const HONEST: ZipEntry = ["honest", "hello world"];

for (
  const name of [
    "../evil",
    "a/../../evil",
    "../beside/file",
    "a/../../beside/file",
    "/tmp/evil",
    "//evil",
    "..",
    "a/..",
    "C:/evil",
    "nul",
    "a/con.txt",
    "a\nb",
    "a\u202eb",
    "a\u200bb",
    "\uff0e\uff0e/evil",
    "%2e%2e/evil",
    "x".repeat(256),
  ]
) {
  Deno.test(`refuses an archive with the entry ${JSON.stringify(name.slice(0, 30))}`, async () => {
    await assertCorrupt(await zip([HONEST, [name, "evil"]]));
    await assertCorrupt(await zip([[`${name}/`], HONEST]));
  });
}

Deno.test("refuses every hostile text as an entry's name", () =>
  withTempDir(async (dir) => {
    const names = HOSTILE.filter((text) => text.length < 1_000 && text.isWellFormed());
    assert.ok(names.length > 300);
    const accepted: string[] = [];
    for (const name of names) {
      const bytes = await zip([[name, "evil"]]);
      await extract(bytes, dir).then(() => accepted.push(name), () => {});
      const outside = Object.keys(await listTree(dir)).filter((path) => !path.startsWith("into/"));
      assert.deepEqual(outside, [], JSON.stringify(name));
    }
    assert.deepEqual(accepted, []);
  }));

Deno.test("refuses names that a writer would not write: steps and backslashes in raw bytes", async () => {
  const bytes = await zip([["aa_bb_cccc", "evil"]]);
  for (
    const name of [
      "../bb_cccc",
      "aa\\..\\cccc",
      "..\\bb_cccc",
      "C:\\b_ccccc".slice(0, 10),
      "\\\\srv\\cccc",
      "aa_b\0_cccc",
    ]
  ) {
    await assertCorrupt(rename(bytes, "aa_bb_cccc", name));
  }
});

Deno.test("refuses links, to anywhere", async () => {
  for (const to of ["../beside", "/etc/passwd", "honest"]) {
    await assertCorrupt(await zip([HONEST, ["link", to, LINK]]));
    await assertCorrupt(await zip([["link", to, LINK], ["link/file", "evil"]]));
  }
});

Deno.test("does not write through a link that lies in the folder already", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "beside/file": "untouched", "into/out": { link: "../beside" } });
    for (const name of ["out/file", "out/new", "out/deep/new"]) {
      await assertRefused(async () => await extract(await zip([[name, "evil"]]), dir), "corrupt");
    }
    await assertRefused(async () => await extract(await zip([["out/folder/"]]), dir), "corrupt");
    assert.deepEqual(await listTree(join(dir, "beside")), { file: "untouched" });
  }));

Deno.test("refuses encrypted entries, by either kind of encryption or by the flag alone", async () => {
  await assertCorrupt(await zip([["a", "secret", { password: "p" }]]));
  await assertCorrupt(await zip([["a", "secret", { password: "p", zipCrypto: true }]]));
  await assertCorrupt(lie(await zip([HONEST]), "flags", 1));
});

for (
  const [first, second] of [
    ["a/file", "A/FILE"],
    ["train-script.sh", "Train-Script.sh"],
    ["\u00e9", "e\u0301"],
    ["file", "./file"],
    ["a/file", "a//file"],
    ["a/file", "a/./file"],
  ] as const
) {
  Deno.test(`refuses ${JSON.stringify(first)} and ${JSON.stringify(second)} in one archive`, async () => {
    await assertCorrupt(await zip([[first, "one"], [second, "two"]]));
    await assertCorrupt(await zip([[second, "one"], [first, "two"]]));
  });
}

Deno.test("refuses one name twice, and a file where a folder is", async () => {
  await assertCorrupt(rename(await zip([["one", "1"], ["two", "2"]]), "two", "one"));
  await assertCorrupt(await zip([["a", "1"], ["a/b", "2"]]));
  await assertCorrupt(await zip([["a/b", "2"], ["a", "1"]]));
  await assertCorrupt(await zip([["a/"], ["a", "1"]]));
});

Deno.test("refuses what is no archive", async () => {
  const noise = crypto.getRandomValues(new Uint8Array(65_536));
  const text = new TextEncoder().encode("PK\x03\x04 but not really ".repeat(100));
  for (
    const bytes of [new Uint8Array(), new Uint8Array([0x50, 0x4b]), noise, text, new Uint8Array(1 << 20)]
  ) {
    await assertCorrupt(bytes);
  }
});

Deno.test("refuses an archive that is cut off, wherever", async () => {
  const bytes = await zip([["top/"], ["top/a", "hello ".repeat(10)], ["top/b", "x"]], 6);
  for (let end = 0; end < bytes.length; end += 3) await assertCorrupt(bytes.subarray(0, end));
});

Deno.test("refuses an archive without its beginning", async () => {
  const bytes = await zip([["a", "hello ".repeat(50)]]);
  await assertCorrupt(bytes.subarray(40));
});

Deno.test("a changed byte of content fails the checksum, stored or deflated", async () => {
  for (const level of [0, 6]) {
    const bytes = await zip([["a", "hello world, this is a text of some length ".repeat(20)]], level);
    const [begin, end] = [40, centralDirectory(bytes) - 20];
    for (let at = begin; at < end; at += Math.ceil((end - begin) / 20)) {
      const flipped = bytes.slice();
      flipped[at] = (flipped[at] ?? 0) ^ 0x10;
      await assertCorrupt(flipped);
    }
  }
});

Deno.test("any changed byte is refused, or does not matter to what comes out inside", () =>
  withTempDir(async (dir) => {
    const bytes = await zip([HONEST]);
    for (let at = 0; at < bytes.length; at++) {
      for (const bits of [0x01, 0x41, 0x80]) {
        const flipped = bytes.slice();
        flipped[at] = (flipped[at] ?? 0) ^ bits;
        try {
          await extract(flipped, dir);
          const contents = Object.entries(await listTree(join(dir, "into"))).filter(([name]) =>
            !name.endsWith("/")
          );
          for (const [, text] of contents) assert.equal(text, "hello world", `byte ${at}`);
        } catch (error) {
          assert.ok(
            error instanceof PathValidationError || error instanceof InsufficientSpaceError,
            `byte ${at}: ${error}`,
          );
        }
        await Deno.remove(join(dir, "into"), { recursive: true });
        assert.deepEqual(await listTree(dir), {});
      }
    }
  }));

Deno.test("refuses entries that are smaller or larger than they say, or whose checksum is another's", async () => {
  for (const level of [0, 6]) {
    const bytes = await zip([["a", "hello world ".repeat(50)]], level);
    for (const size of [0, 1, 599, 601, 5_000]) await assertCorrupt(lie(bytes, "size", size));
    for (const size of [0, 5, 0x7fffffff]) await assertCorrupt(lie(bytes, "compressedSize", size));
    for (const crc of [0, 0xffffffff]) await assertCorrupt(lie(bytes, "crc", crc));
  }
});

Deno.test("an archive that says it unpacks to more than is free is refused before anything is written", () =>
  withTempDir(async (dir) => {
    const huge = withSize(await zip([["a", "x"], ["b", "y"]]), 2n ** 52n);
    const failure = await failureOf(() => extract(huge, dir));
    assert.ok(failure instanceof InsufficientSpaceError, String(failure));
    assert.deepEqual(await listTree(join(dir, "into")), {});
  }));

/** Gives the first entry a size of 64 bits: a further field is put into its central record. */
function withSize(bytes: Uint8Array, size: bigint): Uint8Array {
  const at = centralDirectory(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [nameLength, extraLength] = [view.getUint16(at + 28, true), view.getUint16(at + 30, true)];
  const extra = new Uint8Array(12);
  const extraView = new DataView(extra.buffer);
  extraView.setUint16(0, 1, true);
  extraView.setUint16(2, 8, true);
  extraView.setBigUint64(4, size, true);
  const cut = at + 46 + nameLength;
  const grown = new Uint8Array([...bytes.subarray(0, cut), ...extra, ...bytes.subarray(cut)]);
  const grownView = new DataView(grown.buffer);
  grownView.setUint32(at + 24, 0xffffffff, true);
  grownView.setUint16(at + 30, extraLength + extra.length, true);
  const end = grown.length - 22;
  grownView.setUint32(end + 12, grownView.getUint32(end + 12, true) + extra.length, true);
  return grown;
}
