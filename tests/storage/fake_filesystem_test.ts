import assert from "node:assert/strict";
import { assertFault, bytesOf, conformance, drain, namesIn, streamOf } from "./conformance.ts";
import { FakeFilesystem } from "./fake_filesystem.ts";
import { failureOf } from "./temp.ts";

Deno.test.sanitizer?.({ ops: true, resources: true });

conformance("fake", (use) => use(new FakeFilesystem()));

Deno.test("a fake storage can be slow, or never answer", async () => {
  const storage = new FakeFilesystem();
  storage.latencyMs = 20;
  const began = performance.now();
  await storage.makeFolder("d");
  assert.ok(performance.now() - began >= 15);
  storage.latencyMs = Infinity;
  const reason = new Error("enough");
  const abort = new AbortController();
  const attempt = failureOf(() => storage.exists("d", abort.signal));
  abort.abort(reason);
  assert.equal(await attempt, reason);
});

Deno.test("a fake storage can be full, read-only and gone", async () => {
  const storage = new FakeFilesystem();
  storage.capacity = 1_000;
  await storage.write("f", streamOf(bytesOf(600)));
  assert.equal(await storage.freeSpace(), 400);
  await assertFault(() => storage.write("g", streamOf(bytesOf(600))), "full");
  await assertFault(() => storage.copy("f", "g"), "full");
  storage.readOnly = true;
  await assertFault(() => storage.write("g", streamOf(bytesOf(1))), "read-only");
  await assertFault(() => storage.remove("f"), "read-only");
  assert.deepEqual(await namesIn(storage, ""), ["f"]);
  storage.gone = true;
  await assertFault(() => storage.stat("f"), "gone");
});

Deno.test("a fake storage can vanish in the middle of a transfer", async () => {
  const storage = new FakeFilesystem();
  await storage.write("f", streamOf(bytesOf(300_000)));
  storage.goneAfterBytes = 100_000;
  const stream = await storage.read("f");
  await assertFault(() => drain(stream), "gone");
  assert.equal(storage.gone, true);
});
