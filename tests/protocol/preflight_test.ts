import assert from "node:assert/strict";
import fc from "fast-check";
import { parseJson } from "../../protocol/parse_json.ts";
import { MAX_FILES, MAX_PATH, reportSchema, requestSchema, requestsFor } from "../../protocol/preflight.ts";

Deno.test("preflight: requests have all files in their order, and each fits into a message", () => {
  const path = fc.string({ unit: "grapheme", maxLength: 200 });
  fc.assert(
    fc.property(
      fc.array(path, { maxLength: 300 }),
      fc.integer({ min: 2_000, max: 60_000 }),
      (files, room) => {
        const requests = requestsFor(files, room);
        assert.ok(requests.length > 0);
        assert.deepEqual(requests.flatMap((request) => request.files), files);
        for (const request of requests) {
          const json = JSON.stringify(request);
          assert.deepEqual(parseJson(requestSchema, json), request);
          assert.ok(new TextEncoder().encode(json).length <= room + 20, `${json.length}`);
        }
      },
    ),
  );
});

Deno.test("preflight: what breaks the rules is no request, and no report", () => {
  for (
    const request of [{}, { files: "x" }, { files: [1] }, { files: Array(MAX_FILES + 1).fill("/x") }, {
      files: ["x".repeat(MAX_PATH + 1)],
    }]
  ) {
    assert.equal(parseJson(requestSchema, JSON.stringify(request)), undefined);
  }
  for (const report of [{ files: [] }, { files: ["yes"], free: 1 }, { files: [], free: -1 }]) {
    assert.equal(parseJson(reportSchema, JSON.stringify(report)), undefined);
  }
  assert.deepEqual(parseJson(reportSchema, '{"files":[true,null],"free":null,"more":1}'), {
    files: [true, null],
    free: null,
  });
});
