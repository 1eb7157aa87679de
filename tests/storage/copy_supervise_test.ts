import assert from "node:assert/strict";
import { CopyTimeoutError, supervise, type Watch } from "../../storage/supervise.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Work that never ends by itself; `let go` ends it. */
function hanging(): { work: () => Promise<void>; letGo: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { work: () => promise, letGo: resolve };
}

const QUICK = { tickMs: 1, graceMs: 1 };

Deno.test("work that ends gives its result, or its error", async () => {
  assert.equal(await supervise({ limitMs: 1000 }, () => Promise.resolve(5)), 5);
  await assert.rejects(
    () => supervise({ limitMs: 1000 }, () => Promise.reject(new Error("broken"))),
    /broken/,
  );
});

Deno.test("work that hangs past its time is left behind", async () => {
  const { work, letGo } = hanging();
  await assert.rejects(() => supervise({ ...QUICK, limitMs: 0, stallMs: 5 }, work), CopyTimeoutError);
  letGo();
});

Deno.test("slow work that advances is not ended", async () => {
  let turns = 0;
  const slow = async (watch: Watch): Promise<void> => {
    const began = performance.now();
    while (performance.now() - began < 300) {
      watch.check();
      watch.advance();
      turns += 1;
      await new Promise<void>((resolve) => setTimeout(resolve, 0));
    }
  };
  await supervise({ ...QUICK, limitMs: 0, stallMs: 150 }, slow);
  assert.ok(turns > 1);
});

Deno.test("a flush of much is waited for longer", async () => {
  const flush = async (watch: Watch): Promise<string> => {
    watch.advance(1e9);
    const began = performance.now();
    while (performance.now() - began < 60) await new Promise<void>((resolve) => setTimeout(resolve, 0));
    watch.check();
    return "flushed";
  };
  assert.equal(await supervise({ ...QUICK, limitMs: 0, stallMs: 5 }, flush), "flushed");
});

Deno.test("work is not begun when it was called off before", async () => {
  const signal = AbortSignal.abort(new Error("not wanted"));
  let begun = false;
  const work = (): Promise<void> => {
    begun = true;
    return Promise.resolve();
  };
  await assert.rejects(() => supervise({ limitMs: 0, signal }, work), /not wanted/);
  assert.equal(begun, false);
});

Deno.test("called-off work is let clean up, and what it throws then does not matter", async () => {
  const abort = new AbortController();
  let cleaned = false;
  const work = async (watch: Watch): Promise<void> => {
    abort.abort(new Error("no more"));
    assert.throws(() => watch.check(), /no more/);
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    cleaned = true;
    throw new Error("something else");
  };
  await assert.rejects(() => supervise({ limitMs: 1000, signal: abort.signal }, work), /no more/);
  assert.ok(cleaned);
});

Deno.test("called-off work that hangs is left behind", async () => {
  const abort = new AbortController();
  const { work, letGo } = hanging();
  const attempt = supervise({ ...QUICK, limitMs: 1000, signal: abort.signal }, work);
  abort.abort(new Error("no more"));
  await assert.rejects(attempt, /no more/);
  letGo();
});
