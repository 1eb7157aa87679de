import assert from "node:assert/strict";
import { evaluate } from "../../examples/trainer/evaluate.ts";
import type { LabelledFrame } from "../../examples/trainer/labels.ts";
import { type Epoch, fit } from "../../examples/trainer/model.ts";

const OPTIONS = { sigma: 2, learningRate: 0.003, seed: 1, maxEpochs: 8, outputStride: 2 };

/** A dark image with a bright disc of 4 px at each place; node 0 is labelled there. */
function discs(...places: [x: number, y: number][]): LabelledFrame {
  const [width, height] = [80, 60];
  const pixels = Float32Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return places.some(([px, py]) => Math.hypot(px - x, py - y) <= 4) ? 0.9 : 0.1;
  });
  return { width, height, pixels, points: places.map(([x, y]) => ({ node: 0, x, y })) };
}

function lastEpoch(frames: LabelledFrame[], nodeCount = 1, options = OPTIONS): Epoch {
  const last = [...fit(frames, nodeCount, options)].at(-1);
  assert.ok(last !== undefined);
  return last;
}

Deno.test("a fit finds the discs it was shown, in several frames, and discs elsewhere", () => {
  const { model } = lastEpoch([discs([20, 20], [60, 40]), discs([40, 30])]);
  const [shown] = evaluate(model, [discs([20, 20], [60, 40]), discs([40, 30])], OPTIONS);
  const [elsewhere] = evaluate(model, [discs([31, 45], [55, 14])], OPTIONS);
  assert.ok(shown !== undefined && shown < 1.5, `${shown} px`);
  assert.ok(elsewhere !== undefined && elsewhere < 2, `${elsewhere} px`);
});

Deno.test("the model follows from image, labels and options alone", () => {
  const frame = discs([20, 20], [60, 40]);
  const reference = lastEpoch([frame]).model.weights;
  assert.deepEqual(lastEpoch([frame]).model.weights, reference);
  const pixels = frame.pixels.with(20 * 80 + 20, 0);
  assert.notDeepEqual(lastEpoch([{ ...frame, pixels }]).model.weights, reference);
  const points = frame.points.map((point) => ({ ...point, x: point.x + 0.25 }));
  assert.notDeepEqual(lastEpoch([{ ...frame, points }]).model.weights, reference);
  for (const change of [{ sigma: 3 }, { learningRate: 0.001 }, { seed: 2 }, { maxEpochs: 7 }]) {
    assert.notDeepEqual(lastEpoch([frame], 1, { ...OPTIONS, ...change }).model.weights, reference);
  }
});

Deno.test("a node without labels, an image of one colour and labels at the edge do no harm", () => {
  const plain = { ...discs([0, 0], [79, 59]), pixels: new Float32Array(80 * 60) };
  const { model, loss } = lastEpoch([plain], 2);
  assert.ok(Number.isFinite(loss));
  const [first, second] = evaluate(model, [plain], OPTIONS);
  assert.ok(first !== undefined && Number.isFinite(first));
  assert.equal(second, undefined);
});
