import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from "@zip-js/zip-js";
import { PathValidationError } from "../../storage/containment.ts";
import { failureOf, listTree, withTempDir } from "./temp.ts";
import { centralDirectory, extract, lie, zip, type ZipEntry } from "./zips.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Read, and unpacked, at a time. */
const PIECE = 2 ** 18;

/** Bytes that differ from place to place; every third run of 64 KiB packs well. */
function content(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (at >> 16) % 3 === 0 ? at >> 12 : (at * 2654435761) >>> 11;
  return bytes;
}

Deno.test("files of every size around that of a piece come out the same, stored and deflated", () =>
  withTempDir(async (dir) => {
    const around = [0, 1, 2].flatMap((pieces) => [-1, 0, 1].map((more) => pieces * PIECE + more));
    const sizes = [...around.filter((size) => size >= 0), 11 * PIECE, 20 * PIECE + 7];
    const writer = new ZipWriter(new Uint8ArrayWriter(), { useWebWorkers: false });
    const names = sizes.flatMap((size) => [0, 6].map((level) => ({ size, level, name: `${size}-${level}` })));
    for (const { name, size, level } of names) {
      await writer.add(name, new Uint8ArrayReader(content(size)), { level });
    }
    await extract(await writer.close(), dir);
    for (const { name, size } of names) {
      const found = await Deno.readFile(join(dir, "into", name));
      assert.ok(
        found.length === size && content(size).every((byte, at) => byte === found[at]),
        `${name}: ${found.length}`,
      );
    }
  }));

Deno.test("many small files in many folders, and a large one among them, come out the same", () =>
  withTempDir(async (dir) => {
    const large = "large ".repeat(100_000);
    const entries = Array.from({ length: 500 }, (_, index): ZipEntry => [
      index === 250 ? "large" : `${index % 7}/${index % 11}/${index}`,
      index === 250 ? large : `text ${index} `.repeat(index),
    ]);
    await extract(await zip(entries, 6), dir);
    const found = Object.entries(await listTree(join(dir, "into"))).filter(([name]) => !name.endsWith("/"));
    assert.deepEqual(Object.fromEntries(found), Object.fromEntries(entries));
  }));

/** Extracts what is refused, and gives what the log says; no unfinished file may be left. */
async function detailOf(bytes: Uint8Array, dir: string): Promise<string> {
  const failure = await failureOf(() => extract(bytes, dir));
  assert.ok(failure instanceof PathValidationError && failure.refusal === "corrupt", String(failure));
  const names = Object.keys(await listTree(join(dir, "into")));
  assert.ok(!names.some((name) => name.includes("partial")), names.join());
  return failure.detail;
}

for (const [size, kind] of [[1_000, "small"], [3 * PIECE, "large"]] as const) {
  for (const level of [0, 6]) {
    Deno.test(`a ${kind} file that is not as the archive says is named, level ${level}`, () =>
      withTempDir(async (dir) => {
        const bytes = await zip([["odd", "0123456789".repeat(size / 10)]], level);
        for (const wrong of [0, 1, size - 1, size + 1]) {
          assert.match(await detailOf(lie(bytes, "size", wrong), dir), /"odd"|length|larger/i);
        }
        assert.match(await detailOf(lie(bytes, "crc", 1), dir), /"odd" fails its checksum/);
        const moved = bytes.slice();
        moved[0] = 0;
        assert.match(await detailOf(moved, dir), /"odd" is not where/);
      }));
  }
}

Deno.test("an archive that is bad at its end leaves no unfinished file of those before", () =>
  withTempDir(async (dir) => {
    const entries = Array.from({ length: 40 }, (_, index): ZipEntry => [`f${index}`, "x".repeat(20_000)]);
    const bytes = await zip(entries);
    // A byte of the last file.
    const at = centralDirectory(bytes) - 100;
    bytes[at] = bytes[at]! ^ 1;
    assert.match(await detailOf(bytes, dir), /"f39" fails its checksum/);
  }));

Deno.test("extracting is aborted in the midst of a file, which goes", () =>
  withTempDir(async (dir) => {
    for (const level of [0, 1]) {
      const writer = new ZipWriter(new Uint8ArrayWriter(), { useWebWorkers: false, level });
      await writer.add("large", new Uint8ArrayReader(content(200 * PIECE)));
      const bytes = await writer.close();
      const abort = new AbortController();
      const watching = (async (): Promise<void> => {
        for (;; await new Promise((resolve) => setTimeout(resolve, 1))) {
          const names = await Array.fromAsync(Deno.readDir(join(dir, "into"))).catch(() => []);
          if (names.some(({ name }) => name.startsWith(".partial-"))) {
            return abort.abort(new Error("no more"));
          }
        }
      })();
      await assert.rejects(() => extract(bytes, dir, abort.signal), /no more/);
      await watching;
      assert.deepEqual(await listTree(join(dir, "into")), {});
    }
  }));

/** `labels.txt` as 7-Zip packs it with `-mm=Deflate64`, which Windows uses for files of more than 2 GiB. */
const DEFLATE64 = [
  "UEsDBBUAAAAJAAAAIQBoIqInWQAAAF4BAAAKAAAAbGFiZWxzLnR4dD3QqxWAMBAFUZ8qKCHJflMOAhyG/gWCnai56p09e7/ncx29",
  "/R3VWZWqVq3q1ahmdbGzBweYQIACAw4CJGB5drBvnUCAAgMOAiRgWToYYL9BgAIDDgIkWO0DUEsBAj8DFQAAAAkAAAAhAGgioidZ",
  "AAAAXgEAAAoAAAAAAAAAAAAggKSBAAAAAGxhYmVscy50eHRQSwUGAAAAAAEAAQA4AAAAgQAAAAAA",
].join("");

Deno.test("a file that is packed as Windows packs large ones comes out", () =>
  withTempDir(async (dir) => {
    await extract(Buffer.from(DEFLATE64, "base64"), dir);
    const text = Array.from({ length: 40 }, (_, index) => `frame ${index}\n`).join("");
    assert.deepEqual(await listTree(join(dir, "into")), { "labels.txt": text });
  }));
