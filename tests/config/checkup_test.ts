import assert from "node:assert/strict";
import { type Check, type Finding, runChecks, single } from "../../config/checkup.ts";
import { findingLine } from "../../config/checkup_report.ts";
import { UserError } from "../../config/user_error.ts";

const NEVER = new AbortController().signal;

function details(checks: readonly Check[], stop = NEVER): Promise<string[]> {
  return Array.fromAsync(
    runChecks(checks, stop),
    ({ what, status, detail }) => `${what} ${status} ${detail}`,
  );
}

Deno.test("checks run at once, and what they find comes in their order, as it comes", async () => {
  const second = Promise.withResolvers<void>();
  const first: Check = {
    what: "first",
    limitMs: 60_000,
    async *look(): AsyncGenerator<Finding> {
      yield { what: "first", status: "ok", detail: "begins" };
      // It would never end if they ran one after the other.
      await second.promise;
      yield { what: "first", status: "warning", detail: "ends" };
    },
  };
  const other = single("second", 60_000, () => {
    second.resolve();
    return Promise.resolve({ detail: "done" });
  });
  const findings = runChecks([first, other], NEVER);
  assert.equal((await findings.next()).value?.detail, "begins");
  const rest = await Array.fromAsync(findings, ({ what, detail }) => `${what} ${detail}`);
  assert.deepEqual(rest, ["first ends", "second done"]);
});

Deno.test("a check that never ends is a failure after its time, keeps what it found, and may clean up", async () => {
  let isClean = false;
  const stuck: Check = {
    what: "stuck",
    limitMs: 50,
    lateHint: "mount it again",
    async *look(signal): AsyncGenerator<Finding> {
      yield { what: "stuck", status: "ok", detail: "there" };
      try {
        await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      } finally {
        await Promise.resolve();
        isClean = true;
      }
    },
  };
  const dead = single("dead", 50, () => new Promise(() => {}));
  const found = await Array.fromAsync(runChecks([stuck, dead], NEVER));
  assert.deepEqual(found, [
    { what: "stuck", status: "ok", detail: "there" },
    { what: "stuck", status: "failure", detail: "no answer within 0.05 s", hint: "mount it again" },
    { what: "dead", status: "failure", detail: "no answer within 0.05 s" },
  ]);
  assert.ok(isClean);
});

Deno.test("what a check throws is a failure with its hint, and the others go on", async () => {
  const failing = single(
    "failing",
    60_000,
    () => Promise.reject(new UserError("not there", { hint: "make it" })),
  );
  const broken: Check = {
    what: "broken",
    limitMs: 60_000,
    // deno-lint-ignore require-yield -- it throws before it finds anything
    async *look(): AsyncGenerator<Finding> {
      await Promise.reject(new TypeError("no number"));
    },
  };
  const fine = single("fine", 60_000, () => Promise.resolve({ detail: "works", status: "warning" }));
  const found = await Array.fromAsync(runChecks([failing, broken, fine], NEVER));
  assert.deepEqual(found, [
    { what: "failing", status: "failure", detail: "not there", hint: "make it" },
    { what: "broken", status: "failure", detail: "no number" },
    { what: "fine", status: "warning", detail: "works" },
  ]);
});

Deno.test("when they are stopped all checks end, and say that", async () => {
  const stop = new AbortController();
  const stuck = single(
    "stuck",
    60_000,
    (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  );
  const running = details([stuck], stop.signal);
  stop.abort();
  assert.deepEqual(await running, ["stuck failure it was interrupted"]);
});

Deno.test("who watches hears which checks still run, until there is none", async () => {
  const told: string[] = [];
  const gate = Promise.withResolvers<void>();
  const slow = single("slow", 60_000, () => gate.promise.then(() => ({ detail: "" })));
  const quick = single("quick", 60_000, () => Promise.resolve({ detail: "" }));
  const onRunning = (names: readonly string[]): void => {
    told.push(names.join(" "));
    if (names.length === 1) gate.resolve();
  };
  await Array.fromAsync(runChecks([slow, quick], NEVER, onRunning));
  assert.deepEqual(told, ["slow quick", "slow", ""]);
});

Deno.test("a finding's lines: the mark, and what belongs to it indented", () => {
  const text = findingLine({ what: "disk", status: "failure", detail: "a\nb", hint: "do c" });
  assert.equal(text, "FAIL  disk: a\n      b\n      do c");
  assert.equal(findingLine({ what: "disk", status: "warning", detail: "low" }), "warn  disk: low");
});
