import assert from "node:assert/strict";
import { splitPaths } from "../../worker/storage_access.ts";

for (
  const [text, paths] of [
    ["/a", ["/a"]],
    ["/a,/b", ["/a", "/b"]],
    ["/a,,b,/c", ["/a,b", "/c"]],
    ["", []],
    ["/a,", ["/a"]],
  ] as const
) {
  Deno.test(`--allow-read=${text} means ${JSON.stringify(paths)}, as it does to deno run`, () => {
    assert.deepEqual(splitPaths(text), paths);
  });
}

Deno.test("further paths are added to those before", () => {
  assert.deepEqual(splitPaths("/c,/d", ["/a"]), ["/a", "/c", "/d"]);
});
