import assert from "node:assert/strict";
import { ProgressLines, ProgressMeter, sizeText } from "../../config/progress.ts";

const MIB = 2 ** 20;

Deno.test("sizes are in powers of 1024", () => {
  assert.deepEqual([0, 1023, 1024, 5 * 2 ** 30, 3 * 2 ** 50].map(sizeText), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "5.0 GiB",
    "3072.0 TiB",
  ]);
});

Deno.test("a rate is that of what was moved, not of what was there", () => {
  let now = 0;
  const meter = new ProgressMeter(() => now);
  assert.equal(meter.rate(100 * MIB, 200 * MIB), "");
  now = 50;
  assert.equal(meter.rate(101 * MIB, 200 * MIB), "");
  now = 1_000;
  assert.equal(meter.rate(110 * MIB, 200 * MIB), "10.0 MiB/s, 0:09 left");
  now = 10_000;
  assert.equal(meter.rate(200 * MIB, 200 * MIB), "10.0 MiB/s");
});

Deno.test("a rate forgets what was before an interruption", () => {
  let now = 0;
  const meter = new ProgressMeter(() => now);
  for (; now < 10_000; now += 1_000) meter.rate(now / 1_000 * MIB, 1_000 * MIB);
  for (now = 600_000; now < 620_000; now += 1_000) {
    meter.rate((10 + (now - 600_000) / 500) * MIB, 1_000 * MIB);
  }
  assert.equal(meter.rate(50 * MIB, 70 * MIB), "2.0 MiB/s, 0:10 left");
});

Deno.test("a log gets the first line, the last, and one every five seconds", () => {
  let now = 0;
  const lines = new ProgressLines(() => now);
  const seen: string[] = [];
  for (; now <= 12_000; now += 500) {
    const line = lines.line("sending", now / 1_000 * MIB, 12 * MIB);
    if (line !== undefined) seen.push(line);
  }
  assert.deepEqual(seen, [
    "sending: 0% of 12.0 MiB",
    "sending: 41% of 12.0 MiB (1.0 MiB/s, 0:07 left)",
    "sending: 83% of 12.0 MiB (1.0 MiB/s, 0:02 left)",
    "sending: 100% of 12.0 MiB (1.0 MiB/s)",
  ]);
  assert.equal(lines.line("nothing", 0, 0), "nothing: 100% of 0 B");
  assert.equal(lines.line("other", 999, 1000), "other: 99% of 1000 B");
});
