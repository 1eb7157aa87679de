import assert from "node:assert/strict";
import { NoWorkerError } from "../../client/choose_worker.ts";
import { JobFailedError, WorkerLostError } from "../../client/job_error.ts";
import { untilBegun } from "../../client/resubmit.ts";
import type { ChoiceFlags, RoomFlags } from "../../client/room.ts";
import { formatSession } from "../../protocol/session_string.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { FakeClock } from "../rtc/fake_clock.ts";
import { keepingScreen } from "./scripted.ts";

type Flags = RoomFlags & ChoiceFlags;
const ROOM = { roomId: "room", token: "token" };
const LOST = new WorkerLostError(false);
const ABSENT = new NoWorkerError("no worker is in the room");

/** Submits with these outcomes, one after the other, the last again and again; time passes by itself. */
async function run(
  outcomes: readonly (Error | string)[],
  flags: Flags = ROOM,
  signal = new AbortController().signal,
): Promise<{ end: unknown; tries: Flags[]; warnings: string[]; seconds: number }> {
  const screen = keepingScreen();
  const tries: Flags[] = [];
  let [end, seconds]: [unknown, number] = [undefined, 0];
  await FakeClock.use(async (clock) => {
    const submit = (flags: Flags): Promise<string> => {
      const outcome = outcomes[Math.min(tries.push(flags), outcomes.length) - 1]!;
      return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome);
    };
    let isOver = false;
    const running = untilBegun(submit, flags, screen, signal)
      .then((result) => end = result, (error: unknown) => end = error)
      .finally(() => isOver = true);
    for (; !isOver; seconds++) await clock.pass(1_000);
    await running;
  });
  const warnings = screen.events.flatMap((each) => each.event === "warning" ? [each.text] : []);
  return { end, tries, warnings, seconds };
}

Deno.test("resubmit: what succeeds, or fails in another way, is not tried again", async () => {
  const failed = new JobFailedError("x");
  const started = new WorkerLostError(true);
  for (const outcome of ["done", failed, started, ABSENT, new ConnectionError("x")]) {
    const { end, tries } = await run([outcome, "again"]);
    assert.deepEqual([end, tries], [outcome, [ROOM]]);
  }
});

Deno.test("resubmit: a worker lost before the job began is looked for, any of the room will do", async () => {
  const { end, tries, warnings } = await run([LOST, "done"], { ...ROOM, workerId: "w", minGpuMemory: 8 });
  assert.equal(end, "done");
  assert.deepEqual(tries[1], { ...ROOM, autoSelect: true, minGpuMemory: 8 });
  assert.match(warnings.join(), /lost before the job began; looking for a worker again in 1 s/);
});

Deno.test("resubmit: the room of a session string is entered again, its worker may be another", async () => {
  const sessionString = formatSession({ ...ROOM, peerId: "w" });
  const { tries } = await run([LOST, "done"], { sessionString });
  assert.deepEqual(tries, [{ sessionString }, { ...ROOM, autoSelect: true }]);
});

Deno.test("resubmit: while nobody is there the pauses grow, after another loss they are short again", async () => {
  const outcomes = [LOST, ABSENT, new ConnectionError("x"), ABSENT, ABSENT, ABSENT, LOST, "done"];
  const { end, warnings } = await run(outcomes);
  assert.equal(end, "done");
  assert.deepEqual(warnings.map((each) => /in (\d+) s$/.exec(each)?.[1]), [
    "1",
    "2",
    "4",
    "8",
    "16",
    "30",
    "1",
  ]);
});

Deno.test("resubmit: five minutes without anybody, and fifty losses, are enough", async () => {
  const alone = await run([LOST, ABSENT]);
  assert.equal(alone.end, ABSENT);
  assert.ok(alone.seconds >= 300 && alone.seconds < 340, String(alone.seconds));
  const unlucky = await run([LOST]);
  assert.equal(unlucky.end, LOST);
  assert.equal(unlucky.tries.length, 51);
});

Deno.test("resubmit: a job that fails after a loss is not tried again", async () => {
  const failed = new JobFailedError("x");
  const { end, tries } = await run([LOST, failed, "done"]);
  assert.deepEqual([end, tries.length], [failed, 2]);
});

Deno.test("resubmit: an abort ends it with its reason, also in a pause", async () => {
  const reason = new Error("enough");
  const aborted = await run([LOST, "done"], ROOM, AbortSignal.abort(reason));
  assert.deepEqual([aborted.end, aborted.tries.length], [reason, 1]);
  const abort = new AbortController();
  const [screen, tries]: [ReturnType<typeof keepingScreen>, Flags[]] = [keepingScreen(), []];
  const running = untilBegun(
    (flags) => (tries.push(flags), Promise.reject(LOST)),
    ROOM,
    { ...screen, show: () => setTimeout(() => abort.abort(reason)) },
    abort.signal,
  );
  await assert.rejects(running, reason);
  assert.equal(tries.length, 1);
});
