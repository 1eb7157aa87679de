import assert from "node:assert/strict";
import { formatChunkHeader, parseChunk } from "../../protocol/files.ts";
import { formatAck, formatFrame, parseFrame } from "../../protocol/link.ts";

const DOCS = await Deno.readTextFile(new URL("../../docs/protocol.md", import.meta.url));
const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** The bytes that the documentation has in the row that begins so. */
function vector(row: string): Uint8Array<ArrayBuffer> {
  const line = DOCS.split("\n").find((each) => each.startsWith(`| ${row}`));
  const hex = /`([0-9a-f]+)`\s*\|$/.exec(line ?? "")?.[1];
  assert.ok(hex, `no vector for ${row}`);
  return Uint8Array.fromHex(hex);
}

Deno.test("frames are those of the documentation's test vectors", () => {
  const text = "JOB_ID::job_1a2b3c4d";
  assert.deepEqual(formatFrame("text", 1, bytes(text)), vector("text 1"));
  assert.deepEqual(parseFrame(vector("text 1")), { kind: "text", sequence: 1, text });
  const chunk = { id: 1, file: 2, offset: 5_000_000_000 };
  const header = formatChunkHeader(chunk);
  assert.deepEqual(formatFrame("bytes", 2 ** 32 + 5, header, bytes("abc")), vector("bytes 4,294"));
  const frame = parseFrame(vector("bytes 4,294"));
  assert.ok(frame?.kind === "bytes" && frame.sequence === 4_294_967_301);
  const parsed = parseChunk(frame.bytes)!;
  assert.deepEqual({ ...parsed, bytes: new Uint8Array(parsed.bytes) }, { ...chunk, bytes: bytes("abc") });
  assert.deepEqual(formatAck(7, 9, 3), vector("acknowledgement of 7"));
  assert.deepEqual(formatFrame("bye", 0), vector("farewell"));
});
