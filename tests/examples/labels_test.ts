import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { readLabels } from "../../examples/trainer/labels.ts";

const SLP = fileURLToPath(new URL("../../examples/minimal_instance.pkg.slp", import.meta.url));

Deno.test("labels are read with the skeleton's order of nodes, all points and the grey image", async () => {
  const { nodeNames, frames, skipped } = await readLabels(SLP);
  assert.deepEqual(nodeNames, ["A", "B"]);
  assert.equal(skipped, 0);
  assert.equal(frames.length, 1);
  assert.deepEqual(frames[0]?.points, [
    { node: 0, x: 92.65220773208894, y: 202.7259777426982 },
    { node: 1, x: 152.34188115939048, y: 158.42364351243816 },
    { node: 0, x: 205.9300539013689, y: 187.88964024221963 },
    { node: 1, x: 278.63521449272383, y: 203.3658657346604 },
  ]);
  assert.deepEqual([frames[0]?.width, frames[0]?.height], [384, 384]);
  // The head of the left fly is bright, the corner of the image is not.
  assert.ok((frames[0]?.pixels[203 * 384 + 93] ?? 0) > 0.4);
  assert.ok((frames[0]?.pixels[0] ?? 1) < 0.1);
});
