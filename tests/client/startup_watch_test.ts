import assert from "node:assert/strict";
import { Conversation } from "../../client/conversation.ts";
import { followJob } from "../../client/follow.ts";
import { StartupWatch } from "../../client/startup_watch.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { FakeClock } from "../rtc/fake_clock.ts";
import { linkedChannels } from "../rtc/fake_native.ts";
import { keepingScreen } from "./scripted.ts";

const MINUTE_MS = 60_000;

Deno.test("startup: a silent run is said to be still starting, at growing intervals", () =>
  FakeClock.use(async (clock) => {
    const said: string[] = [];
    const watch = new StartupWatch((text) => said.push(text), 1_000);
    watch.begin("centroid");
    await clock.pass(999);
    assert.deepEqual(said, []);
    await clock.pass(120_001);
    assert.deepEqual(
      said,
      ["1 s", "3 s", "7 s", "15 s", "31 s", "63 s"].map((time) =>
        `run centroid is still starting; it has printed nothing for ${time}`
      ),
    );
    // It goes on for ever, but never more than ten minutes apart.
    await clock.pass(24 * 60 * MINUTE_MS);
    assert.ok(said.length > 144 && said.length < 160, `${said.length}`);
    watch.end();
    await clock.pass(60 * MINUTE_MS);
    const before = said.length;
    watch.begin("instance");
    await clock.pass(1_000);
    assert.deepEqual(said.slice(before), [
      "run instance is still starting; it has printed nothing for 1 s",
    ]);
    watch.end();
  }));

for (const isOurs of [true, false]) {
  Deno.test(`follow: 20 silent minutes are no failure, and end with the first line; ${isOurs ? "our" : "a Python"} worker`, () =>
    withTempDir((inbox) =>
      FakeClock.use(async (clock) => {
        const { near, far } = linkedChannels();
        const screen = keepingScreen();
        const notes = (): string[] =>
          screen.events.flatMap((event) => event.event === "info" ? [event.text] : []);
        const { signal } = new AbortController();
        const options = { screen, jobId: "j", isOurs, rtc: false, inbox, onStart: () => {}, signal };
        const ending = followJob(new Conversation(near), options);
        const tell = (text: string): Promise<unknown> => Promise.all([far.send(text), clock.pass(100)]);
        await tell("TRAIN_JOB_START::centroid");
        await clock.pass(20 * MINUTE_MS);
        assert.match(notes().at(-1)!, /^run centroid is still starting; it has printed nothing for \d+ min$/);
        assert.ok(notes().length >= 5 && notes().length <= 7, notes().join("\n"));
        await tell("epoch 1\n");
        const before = notes().length;
        await clock.pass(60 * MINUTE_MS);
        assert.equal(notes().length, before);
        for (const text of ["TRAIN_JOB_END::centroid", "TRAINING_JOBS_DONE", "JOB_COMPLETE::j::."]) {
          await tell(text);
        }
        assert.equal((await ending).type, "complete");
        far.close();
        near.close();
      })
    ));
}
