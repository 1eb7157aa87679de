import assert from "node:assert/strict";
import { Lanes } from "../../storage/lanes.ts";

Deno.test("lanes: no more at a time than there are, and done waits for all", async () => {
  const lanes = new Lanes(3);
  let [running, most, ended] = [0, 0, 0];
  for (let index = 0; index < 20; index++) {
    await lanes.run(async () => {
      most = Math.max(most, ++running);
      for (let turn = 0; turn <= index % 4; turn++) await new Promise((resolve) => setTimeout(resolve));
      running--;
      ended++;
    });
  }
  await lanes.done();
  assert.deepEqual([most, ended, running], [3, 20, 0]);
});

Deno.test("lanes: after a failure nothing more is started, what runs is waited for", async () => {
  const lanes = new Lanes(2);
  const slow = Promise.withResolvers<void>();
  let [ended, started] = [false, false];
  await lanes.run(() => slow.promise.then(() => void (ended = true)));
  await lanes.run(() => Promise.reject(new Error("no")));
  await assert.rejects(lanes.run(() => Promise.resolve(void (started = true))), /no/);
  slow.resolve();
  await assert.rejects(lanes.done(), /no/);
  assert.deepEqual([ended, started], [true, false]);
});
