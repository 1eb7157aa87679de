import assert from "node:assert/strict";
import fc from "fast-check";
import { parsePrinted, parseReport, type TrainingProgress } from "../../protocol/progress.ts";

/** Reports as sleap-nn's callback publishes them. */
const REPORTS: readonly [string, TrainingProgress | undefined][] = [
  ['{"what": "centroid", "event": "train_begin", "logs": null, "wandb_url": null}', undefined],
  ['{"what": "centroid", "event": "epoch_begin", "logs": null, "epoch": 0}', {
    epoch: 0,
    metrics: {},
    isEpochEnd: false,
  }],
  ['{"what": "centroid", "event": "batch_start", "logs": null, "batch": 7}', undefined],
  ['{"what": "centroid", "event": "batch_end", "logs": {"train/loss": 0.25}, "epoch": 3, "batch": 7}', {
    epoch: 3,
    metrics: { "train/loss": 0.25 },
    isEpochEnd: false,
  }],
  ['{"what": "", "event": "epoch_end", "logs": {"train/loss": 1e-3, "val/loss": NaN, "lr": 1}, "epoch": 3}', {
    epoch: 3,
    metrics: { "train/loss": 0.001, lr: 1 },
    isEpochEnd: true,
  }],
  ['{"epoch": 2, "epochs": 10, "train_loss": 0.5, "val_loss": -Infinity, "note": "loss"}', {
    epoch: 2,
    epochs: 10,
    metrics: { train_loss: 0.5 },
    isEpochEnd: true,
  }],
  ['{"command": "stop"}', undefined],
  ['{"event": "epoch_end", "epoch": "three", "logs": ["x"]}', undefined],
  ["[1]", undefined],
  ["null", undefined],
  ["hello", undefined],
  ["", undefined],
];

for (const [text, expected] of REPORTS) {
  Deno.test(`progress: the report ${text} is understood`, () => {
    assert.deepEqual(parseReport(text), expected);
  });
}

/** Lines of PyTorch Lightning (both bars), Keras, sleap-nn, the example trainer; epoch, epochs, metrics. */
const LINES: readonly [
  string,
  [number | undefined, number | undefined, Record<string, number>] | undefined,
][] = [
  ["\rEpoch 3:  42%|████▏     | 5/12 [00:01<00:02,  3.11it/s, v_num=0, train_loss=0.0123, val_loss=2.5e-3]", [
    3,
    undefined,
    { train_loss: 0.0123, val_loss: 0.0025 },
  ]],
  [
    "\u001b[37mEpoch 4/99\u001b[0m \u001b[35m━━━━\u001b[0m 10/10 0:00:01 • 0:00:00 12.34it/s v_num: 0.000 train/loss: 0.5",
    [
      4,
      99,
      { "train/loss": 0.5 },
    ],
  ],
  ["Epoch 1/200\n", [1, 200, {}]],
  ["200/200 - 5s - loss: 0.0012 - val_loss: 9.1e-04 - 5s/epoch\n", [
    undefined,
    undefined,
    { loss: 0.0012, val_loss: 0.00091 },
  ]],
  ["Epoch 7/10  loss=0.000213  time=0.35s\n", [7, 10, { loss: 0.000213 }]],
  ["2026-01-05 10:11:12 | INFO | Epoch 5 evaluation: PCK@5=0.9100, mOKS=0.8812, mAP=0.7000", [
    5,
    undefined,
    { "PCK@5": 0.91, mOKS: 0.8812, mAP: 0.7 },
  ]],
  ['{"epoch": 1, "loss": 0.5}\n', [1, undefined, { loss: 0.5 }]],
  ["Epoch 2: train_loss=nan, val_loss=-1.5", [2, undefined, { val_loss: -1.5 }]],
  ["learning rate: 0.001, workers=0", undefined],
  ["started at 10:11:12", undefined],
  ["epochs=200", undefined],
  ["the epoch 1.5 of man", undefined],
  ["", undefined],
];

for (const [line, expected] of LINES) {
  Deno.test(`progress: the line ${JSON.stringify(line)} is understood`, () => {
    const found = parsePrinted(line);
    assert.deepEqual(found && [found.epoch, found.epochs, found.metrics], expected);
  });
}

Deno.test("progress: any text is taken, and what is found is finite and bounded", () => {
  const piece = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("Epoch 1", "loss=", "0.5", "{", "}", '"epoch":', "[", ":", "\r", "e99", "NaN", ", "),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      for (const found of [parseReport(pieces.join("")), parsePrinted(pieces.join(""))]) {
        if (!found) continue;
        assert.ok(Object.keys(found.metrics).length <= 32);
        for (const value of Object.values(found.metrics)) assert.ok(Number.isFinite(value));
      }
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("progress: a report is found again as it was said", () => {
  const name = fc.string({ minLength: 1, maxLength: 60 }).filter((text) =>
    !/^(epochs?|batch|step|time|eta|v_num|__proto__)$/i.test(text) && !/^\d|NaN|Infinity/.test(text)
  );
  const logs = fc.dictionary(name, fc.double({ noNaN: true, noDefaultInfinity: true }), { maxKeys: 10 });
  fc.assert(fc.property(fc.nat(1e9), logs, (epoch, logs) => {
    const found = parseReport(JSON.stringify({ what: "a", event: "epoch_end", epoch, logs }));
    assert.equal(found?.epoch, epoch);
    assert.deepEqual({ ...found?.metrics }, JSON.parse(JSON.stringify(logs)));
  }));
});

Deno.test("progress: long hostile lines take no time", () => {
  const began = performance.now();
  for (const unit of ["a", "Epoch ", "a=", "1", "a:0.", "epoch: ", " / ", "{"]) {
    parsePrinted(unit.repeat(65_536));
    parseReport(unit.repeat(65_536));
  }
  assert.ok(performance.now() - began < 5_000);
});
