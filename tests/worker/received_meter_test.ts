import assert from "node:assert/strict";
import { ReceivedMeter } from "../../worker/received_meter.ts";

Deno.test("what came for a job is counted, and nothing of it for the next", () => {
  const meter = new ReceivedMeter();
  assert.equal(meter.take(), undefined);
  for (const bytes of [10, 20, 30]) meter.count(bytes);
  const received = meter.take();
  assert.equal(received?.bytes, 60);
  assert.ok(received.seconds >= 0 && received.seconds < 60);
  assert.equal(meter.take(), undefined);
});
