import assert from "node:assert/strict";
import fc from "fast-check";
import {
  beginSchema,
  cancelSchema,
  doneSchema,
  fileEndSchema,
  formatChunkHeader,
  listSchema,
  MAX_CHUNK_BYTES,
  MAX_FILES,
  offerSchema,
  parseChunk,
  readySchema,
} from "../../protocol/files.ts";
import { formatFrame } from "../../protocol/link.ts";
import { MAX_MESSAGE_BYTES } from "../../protocol/message.ts";

const number = fc.nat({ max: 2 ** 32 - 1 });

Deno.test("chunks: what is formatted parses back", () => {
  const chunk = fc.record({
    id: number,
    file: number,
    offset: fc.maxSafeNat(),
    bytes: fc.uint8Array({ minLength: 1 }),
  });
  fc.assert(fc.property(chunk, ({ bytes, ...place }) => {
    assert.deepEqual(parseChunk(Uint8Array.of(...formatChunkHeader(place), ...bytes)), { ...place, bytes });
  }));
});

Deno.test("chunks: the largest fits one message of a link", () => {
  const header = formatChunkHeader({ id: 1, file: 2, offset: 3 });
  assert.equal(formatFrame("bytes", 1, header, new Uint8Array(MAX_CHUNK_BYTES)).length, MAX_MESSAGE_BYTES);
});

Deno.test("chunks: hostile bytes never throw; empty ones, and offsets that no number holds, are nothing", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const chunk = parseChunk(bytes);
      if (!chunk) return;
      assert.ok(Number.isSafeInteger(chunk.offset) && chunk.bytes.length > 0);
    }),
    { numRuns: 3_000 },
  );
  assert.equal(parseChunk(formatChunkHeader({ id: 1, file: 1, offset: 1 })), undefined);
  assert.equal(parseChunk(new Uint8Array(17).fill(255)), undefined);
});

const SHA = "ab".repeat(32);
const OFFER = { id: 1, purpose: "package", key: SHA, files: 1, bytes: 5 };

Deno.test("messages about files: good ones are taken, unknown keys passed over", () => {
  assert.deepEqual(offerSchema.parse({ ...OFFER, more: 1 }), OFFER);
  assert.deepEqual(offerSchema.parse({ ...OFFER, key: null, files: 0, bytes: 0 }).key, null);
  const cancel = { id: 1, by: "sender", code: "a new one", reason: "why" };
  assert.equal(cancelSchema.parse(cancel).code, "failed");
});

Deno.test("messages about files: bad ones are refused", () => {
  const bad: readonly [{ safeParse(value: unknown): { success: boolean } }, readonly unknown[]][] = [
    [offerSchema, [
      null,
      [],
      {},
      { ...OFFER, id: -1 },
      { ...OFFER, id: 2 ** 32 },
      { ...OFFER, id: "1" },
      { ...OFFER, purpose: "other" },
      { ...OFFER, key: "../x" },
      { ...OFFER, key: SHA.toUpperCase() },
      { ...OFFER, key: undefined },
      { ...OFFER, files: MAX_FILES + 1 },
      { ...OFFER, files: 0.5 },
      { ...OFFER, bytes: -1 },
      { ...OFFER, bytes: 2 ** 53 },
      { ...OFFER, bytes: NaN },
    ]],
    [listSchema, [
      { id: 1, files: [] },
      { id: 1, files: [{ name: "", size: 1 }] },
      { id: 1, files: [{ name: "a", size: -1 }] },
      { id: 1, files: [{ name: "a" }] },
      { id: 1, files: [{ name: "a".repeat(4097), size: 1 }] },
      { id: 1, files: {} },
    ]],
    [readySchema, [{ id: 1, offset: 0 }, { id: 1, offset: -1, sha256: SHA }, {
      id: 1,
      offset: 0,
      sha256: "",
    }]],
    [beginSchema, [{ id: 1 }, { id: 1, offset: 1e300 }]],
    [fileEndSchema, [{ id: 1, file: -1, sha256: SHA }, { id: 1, file: 0, sha256: `${SHA}\n` }]],
    [doneSchema, [{}, { id: null }]],
    [cancelSchema, [{ id: 1, code: "failed", reason: "x" }, { id: 1, by: "sender", code: "failed" }]],
  ];
  for (const [schema, values] of bad) {
    for (const value of values) {
      assert.equal(schema.safeParse(value).success, false, JSON.stringify(value).slice(0, 200));
    }
  }
});
