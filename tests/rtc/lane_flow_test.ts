import assert from "node:assert/strict";
import { LaneFlow } from "../../rtc/lane_flow.ts";

const FRAME = 64 * 1024;

/** A lane that delivers frames one after the other, each so many milliseconds after it could; bytes under way. */
function drive(perFrameMs: (round: number) => number, rounds: number): number[] {
  let now = 0;
  const flow = new LaneFlow(() => now);
  const due: number[] = [];
  let [free, arrived] = [0, 0];
  const under: number[] = [];
  for (let round = 0; round < rounds; round++) {
    while (!flow.isFull) {
      flow.sent(FRAME);
      free = Math.max(free, now) + perFrameMs(round);
      due.push(free + 50);
    }
    under.push(flow.bytes);
    now = due[arrived]!;
    assert.ok(flow.arrived(++arrived));
  }
  return under;
}

Deno.test("lane flow: a quick lane gets more, a slow one no more than it delivers soon", () => {
  const quick = drive(() => 5, 400);
  assert.ok(quick.at(-1)! >= 1024 * 1024, String(quick.at(-1)));
  const slow = Math.max(...drive(() => 60, 400).slice(-100));
  assert.ok(slow <= 4 * FRAME, String(slow));
});

Deno.test("lane flow: a new lane gets twice as much each round trip, up to what is too much", () => {
  assert.ok(drive(() => 1, 16).at(-1)! >= 1024 * 1024);
  const slow = Math.max(...drive(() => 60, 32));
  assert.ok(slow < 512 * 1024, String(slow));
});

Deno.test("lane flow: a lane that becomes slow gets less, and more again when it is quick", () => {
  const under = drive((round) => round > 400 && round < 800 ? 60 : 5, 1_600);
  assert.ok(under[400]! >= 1024 * 1024);
  const slow = Math.max(...under.slice(700, 800));
  assert.ok(slow <= 4 * FRAME, String(slow));
  assert.ok(under[1_599]! >= 1024 * 1024, String(under[1_599]));
});

Deno.test("lane flow: a lane that is filled far too full gets much less within a few round trips", () => {
  const under = drive((round) => round > 400 ? 60 : 1, 440);
  assert.ok(under[400]! >= 1024 * 1024);
  assert.ok(under.at(-1)! <= 8 * FRAME, String(under.at(-1)));
});

Deno.test("lane flow: frames that were never sent cannot arrive, and those that did do not arrive again", () => {
  const flow = new LaneFlow();
  flow.sent(FRAME);
  assert.equal(flow.arrived(2), false);
  assert.equal(flow.arrived(1), true);
  assert.equal(flow.arrived(0), true);
  assert.equal(flow.bytes, 0);
});
