/** What people do with the programs, as the documentation says it; only places and credentials are those of a lab. */
import assert from "node:assert/strict";
import { SPOKEN_OF } from "./documented/files.ts";
import { BLOCKS, testPages } from "./documented/pages.ts";
import { PLACES } from "./documented/places.ts";

await testPages((page) => page !== "docs/performance.md");

Deno.test("every place and every file of the lab is one that the documentation speaks of", () => {
  for (const said of [...PLACES.map(([shown]) => shown), ...SPOKEN_OF]) {
    assert.ok(BLOCKS.some(({ text }) => text.includes(said)), said);
  }
});
