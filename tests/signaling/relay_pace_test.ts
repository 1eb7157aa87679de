import assert from "node:assert/strict";
import { RelayPace } from "../../signaling/relay_pace.ts";

const connection = (isOpen = true): { isOpen: boolean; send: () => boolean } => ({
  isOpen,
  send: () => true,
});

async function millisecondsOf(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

Deno.test("relay pace: each connection has its own rate, and none waits for another", async () => {
  const pace = new RelayPace(10_000);
  const [busy, other] = [connection(), connection()];
  const waited = millisecondsOf(async () => {
    for (let count = 0; count < 4; count++) await pace.wait(busy, 500);
  });
  assert.ok(await millisecondsOf(() => pace.wait(other, 500)) < 40);
  const ms = await waited;
  assert.ok(ms > 145 && ms < 400, `waited ${ms} ms`);
});

Deno.test("relay pace: without a limit, and for who has left, there is no waiting", async () => {
  const [free, slow] = [new RelayPace(), new RelayPace(1)];
  const [here, gone] = [connection(), connection(false)];
  const ms = await millisecondsOf(async () => {
    for (let count = 0; count < 3; count++) await free.wait(here, 1e9);
    for (let count = 0; count < 3; count++) await slow.wait(gone, 1e9);
  });
  assert.ok(ms < 40, `waited ${ms} ms`);
  assert.equal(free.refuses, false);
  assert.equal(new RelayPace(0).refuses, true);
});
