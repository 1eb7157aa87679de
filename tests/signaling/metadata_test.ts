import assert from "node:assert/strict";
import {
  isTooLarge,
  keepBackends,
  MAX_METADATA_CHARS,
  mergeMetadata,
  parseMetadata,
} from "../../signaling/metadata.ts";

Deno.test("parsing keeps unknown keys and drops what is of a wrong kind", () => {
  assert.deepEqual(parseMetadata(undefined), {});
  assert.deepEqual(parseMetadata("text"), {});
  assert.deepEqual(parseMetadata({ tags: "a", properties: { x: 1 }, more: true }), {
    properties: { x: 1 },
    more: true,
  });
});

Deno.test("an update with properties only keeps the tags", () => {
  const stored = { tags: ["a"], properties: { status: "available", gpu: 1 } };
  assert.deepEqual(mergeMetadata(stored, { properties: { status: "busy" } }), {
    tags: ["a"],
    properties: { status: "busy", gpu: 1 },
  });
});

Deno.test("tags are united", () => {
  assert.deepEqual(mergeMetadata({ tags: ["a", "b"] }, { tags: ["b", "c"] }), { tags: ["a", "b", "c"] });
  assert.deepEqual(mergeMetadata({}, { tags: ["c"], properties: { x: 1 } }), {
    tags: ["c"],
    properties: { x: 1 },
  });
});

Deno.test("a key named __proto__ changes no prototype", () => {
  const update = parseMetadata(JSON.parse('{"properties": {"__proto__": {"polluted": 1}}}'));
  const merged = mergeMetadata({ properties: { x: 1 } }, update);
  assert.equal(Object.getPrototypeOf(merged.properties), Object.prototype);
  assert.equal(merged.properties?.["polluted"], undefined);
});

Deno.test("backends are kept unless the peer names some, be it none", () => {
  const properties = { status: "available" };
  assert.deepEqual(keepBackends({ properties }, ["vast"]), {
    properties: { ...properties, storage_backends: ["vast"] },
  });
  assert.deepEqual(keepBackends({}, undefined), {});
  const none = { properties: { storage_backends: [] } };
  assert.deepEqual(keepBackends(none, ["vast"]), none);
});

Deno.test("size is bounded", () => {
  assert.ok(!isTooLarge({ properties: { text: "x".repeat(1000) } }));
  assert.ok(isTooLarge({ properties: { text: "x".repeat(MAX_METADATA_CHARS) } }));
});
