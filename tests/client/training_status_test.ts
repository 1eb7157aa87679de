import assert from "node:assert/strict";
import { lineOf } from "../../client/screen.ts";
import { type TrainingEvent, TrainingStatus, trainingText } from "../../client/training_status.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { FakeClock } from "../rtc/fake_clock.ts";
import { follow } from "./scripted.ts";

function report(event: string, epoch: number, loss?: number): string {
  return JSON.stringify({
    what: "centroid",
    event,
    epoch,
    logs: loss === undefined ? null : { "train/loss": loss },
  });
}

Deno.test("training status: each new epoch and each end of one is told, batches once a second", () =>
  FakeClock.use(async (clock) => {
    const told: TrainingEvent[] = [];
    const status = new TrainingStatus((event) => told.push(event));
    status.report(report("epoch_begin", 9));
    status.begin("centroid");
    status.report(report("epoch_begin", 0));
    for (let batch = 0; batch < 100; batch++) {
      status.report(report("batch_end", 0, 1 / (batch + 1)));
      await clock.pass(50);
    }
    status.report(report("epoch_end", 0, 0.5));
    status.report(report("epoch_begin", 1));
    status.report(report("batch_end", 1, 0.25));
    status.end();
    status.report(report("batch_end", 1, 0.1));
    assert.ok(told.length >= 7 && told.length <= 10, `${told.length}`);
    assert.deepEqual(told.slice(-3).map(trainingText), [
      "centroid: epoch 0, train/loss 0.5",
      "centroid: epoch 1, train/loss 0.5",
      "centroid: epoch 1, train/loss 0.25",
    ]);
    assert.deepEqual(told.slice(-3).map((event) => event.epoch_done), [true, false, false]);
  }));

Deno.test("training status: losses first, four at most, nothing that drives the terminal", () => {
  const event = {
    event: "training",
    run: "a\u001b[2J",
    epoch: 3,
    epochs: 200,
    epoch_done: true,
    printed: false,
  };
  const text = (metrics: Record<string, number>): string | undefined =>
    lineOf({ ...event, event: "training", metrics });
  assert.equal(
    text({ lr: 1, train_loss: 0.0123456, "val\u001b/loss": 2e-9 }),
    "a\ufffd[2J: epoch 3 of 200, train_loss 0.01235, val\ufffd/loss 2e-9",
  );
  const done = { ...event, event: "training", metrics: { loss: 1 } } as const;
  assert.equal(lineOf({ ...done, printed: true }), undefined, "the log has it already");
  assert.equal(lineOf({ ...done, epoch_done: false }), undefined, "a log has one line for an epoch");
  assert.equal(text({ a: 1, b: 2, c: 3, d: 4, e: 5 }), "a\ufffd[2J: epoch 3 of 200, a 1, b 2, c 3, d 4");
});

Deno.test("follow: reports and printed lines are told as training, the log stays as it is", () =>
  withTempDir(async (dir) => {
    const { events } = await follow(dir, [
      "TRAIN_JOB_START::centroid",
      "Epoch 1/2  loss=0.5\n",
      `PROGRESS_REPORT::${report("epoch_end", 1, 0.25)}`,
      "TRAIN_JOB_END::centroid",
      "JOB_COMPLETE::j::o",
    ]);
    const training = events.flatMap((event) => event.event === "training" ? [event] : []);
    assert.deepEqual(training.map((event) => [event.epoch, event.epochs, event.printed, event.metrics]), [
      [1, 2, true, { loss: 0.5 }],
      [1, 2, false, { loss: 0.5, "train/loss": 0.25 }],
    ]);
    assert.deepEqual(events.flatMap((event) => event.event === "log" ? [event.text] : []), [
      "Epoch 1/2  loss=0.5\n",
    ]);
  }));
