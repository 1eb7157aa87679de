import assert from "node:assert/strict";
import fc from "fast-check";
import { type QueuedJob, queuedJobSchema } from "../../protocol/queue.ts";
import type { WorkerFacts } from "../../signaling/queue_worker.ts";
import {
  choose,
  compare,
  couldDo,
  estimate,
  explainMissing,
  LONGEST_PATIENCE_S,
  type Standing,
} from "../../signaling/score.ts";

const BACKENDS = ["vast", "scratch", "s3"];
const LABELS = ["a100", "lab"];

const backends = fc.subarray(BACKENDS);
const workerFacts = fc.record({
  id: fc.constantFrom("w1", "w2", "w3", "w4"),
  status: fc.constantFrom("available", "busy", "maintenance"),
  backends: backends.map((names): ReadonlySet<string> => new Set(names)),
  jobTypes: fc.constantFrom(
    undefined,
    new Set<unknown>(["training"]),
    new Set<unknown>(["training", "inference"]),
  ),
  gpuMemoryMb: fc.constantFrom(0, 8_192, 24_576, 81_920),
  gpuModel: fc.constant(undefined),
  labels: fc.subarray(LABELS).map((names): ReadonlySet<string> => new Set(names)),
  takesOffers: fc.boolean(),
});
const standing: fc.Arbitrary<Standing> = fc.record({
  facts: workerFacts,
  wait: fc.constantFrom(undefined, 0, 0, 5, 100, 5_000),
  rate: fc.constantFrom(undefined, 1e5, 1e7, 1e9),
});
const job: fc.Arbitrary<QueuedJob> = fc.record({
  id: fc.constant("job-0001"),
  kind: fc.constantFrom("train", "track"),
  requires: fc.record({
    storage: fc.constantFrom(...BACKENDS),
    gpu_memory_mb: fc.constantFrom(0, 10_000, 30_000),
    labels: fc.subarray(LABELS),
    worker: fc.constantFrom("w1", "w2"),
  }, { requiredKeys: [] }),
  bytes: fc.constantFrom(0, 1e6, 5e9),
  lies_in: backends,
  copies_to: backends,
  avoid: fc.subarray(["w1", "w3"]),
}).map((fields) => queuedJobSchema.parse(fields));

/** A worker that has what is named, and nothing else. */
function worker(id: string, fields: Partial<WorkerFacts> = {}): WorkerFacts {
  return {
    id,
    status: "available",
    backends: new Set(),
    jobTypes: undefined,
    gpuMemoryMb: 0,
    gpuModel: undefined,
    labels: new Set(),
    takesOffers: true,
    ...fields,
  };
}

function wanted(fields: object): QueuedJob {
  return queuedJobSchema.parse({ id: "job-0001", kind: "train", ...fields });
}

Deno.test("a worker that could do a job has all that it requires", () => {
  fc.assert(fc.property(job, workerFacts, (wish, facts) => {
    const { storage, gpu_memory_mb = 0, labels, worker: only } = wish.requires;
    const has = (storage === undefined || facts.backends.has(storage)) &&
      facts.gpuMemoryMb >= gpu_memory_mb &&
      labels.every((label) => facts.labels.has(label)) && (only === undefined || only === facts.id) &&
      !wish.avoid.includes(facts.id) && facts.status !== "maintenance" &&
      (facts.jobTypes?.has(wish.kind === "train" ? "training" : "inference") ?? true);
    assert.equal(couldDo(wish, facts), has);
    if (!has) {
      assert.match(explainMissing(wish, [facts]), new RegExp(`^no worker .*; there are: ${facts.id} \\(`));
    }
  }));
});

Deno.test("the order of workers is a total one", () => {
  fc.assert(fc.property(job, fc.array(standing, { maxLength: 6 }), (wish, standings) => {
    const all = standings.map((each) => estimate(wish, each)).filter((each) => each !== undefined);
    for (const a of all) {
      for (const b of all) {
        assert.equal(Math.sign(compare(wish, a, b)), -Math.sign(compare(wish, b, a)) || 0);
        for (const c of all) {
          if (compare(wish, a, b) <= 0 && compare(wish, b, c) <= 0) assert.ok(compare(wish, a, c) <= 0);
        }
      }
    }
  }));
});

Deno.test("the choice is free, and nobody free is sooner; who waits wins by it, and for a while only", () => {
  fc.assert(fc.property(
    job,
    fc.uniqueArray(standing, { maxLength: 4, selector: ({ facts }) => facts.id }),
    fc.constantFrom(-5, 0, 50, LONGEST_PATIENCE_S),
    (wish, standings, patience) => {
      const choice = choose(wish, standings, patience);
      const totals = new Map(
        standings.map((each) => [each.facts.id, { ...each, total: estimate(wish, each)?.total ?? Infinity }]),
      );
      const free = [...totals.values()].filter(({ wait }) => wait === 0);
      if (!choice) return assert.equal(free.length, 0);
      const soonest = Math.min(...free.map(({ total }) => total));
      assert.equal(/[\n\r]/.test(choice.reason) || choice.reason.length > 1_000, false);
      if ("worker" in choice) {
        assert.equal(totals.get(choice.worker.id)!.wait, 0);
        return assert.ok(totals.get(choice.worker.id)!.total <= soonest + 1);
      }
      const { wait = Infinity, total } = totals.get(choice.waitsFor.id)!;
      assert.ok(wait > 0 && wait <= patience && total < soonest);
    },
  ));
});

Deno.test("the choice is explained in one line", () => {
  const near = { facts: worker("w2", { backends: new Set(["vast"]) }), wait: 0, rate: undefined };
  const far = { facts: worker("w1"), wait: 0, rate: 12e6 };
  assert.equal(
    choose(wanted({ bytes: 4.92e9, lies_in: ["vast"] }), [far, near], 0)?.reason,
    'worker w2: 0 s to the first epoch: the package lies in "vast" (0 s), free now; ' +
      "w1 would need 410 s: 4.9 GB are sent",
  );
  const busy = { ...near, wait: 40 };
  assert.equal(
    choose(wanted({ bytes: 4.92e9, copies_to: ["vast"] }), [far, busy], 600)?.reason,
    'waits for worker w2, free in about 40 s: 4.9 GB are copied to "vast"; ' +
      "w1 is free, but would need 410 s: 4.9 GB are sent",
  );
});

Deno.test("a small package goes where it lies already, whatever the GPU; sent only where there is no other way", () => {
  const sent = { facts: worker("w1", { gpuMemoryMb: 81_920 }), wait: 0, rate: undefined };
  const copied = { facts: worker("w2", { backends: new Set(["scratch"]) }), wait: 0, rate: undefined };
  const shared = { facts: worker("w3", { backends: new Set(["vast"]) }), wait: 0, rate: undefined };
  const small = wanted({ bytes: 43_000, lies_in: ["vast"], copies_to: ["scratch"] });
  const order = [sent, copied, shared].map((each) => estimate(small, each)!)
    .toSorted((a, b) => compare(small, a, b)).map((each) => each.worker.id);
  assert.deepEqual(order, ["w3", "w2", "w1"]);
});

Deno.test("of equals a job gets the smallest GPU that suffices, and the largest when it does not say", () => {
  const gpus = [24_576, 81_920, 49_152].map((gpuMemoryMb, index) => ({
    facts: worker(`w${index}`, { gpuMemoryMb }),
    wait: 0,
    rate: undefined,
  }));
  const chosen = (fields: object): string | undefined => {
    const choice = choose(wanted(fields), gpus, 0);
    return choice && "worker" in choice ? choice.worker.id : undefined;
  };
  assert.equal(chosen({ requires: { gpu_memory_mb: 20_000 } }), "w0");
  assert.equal(chosen({}), "w1");
});

Deno.test("what is missing is named, and what there is; nothing that drives a terminal", () => {
  const there = [
    worker("w1", {
      backends: new Set(["scratch"]),
      gpuMemoryMb: 24_000,
      labels: new Set(["sleap-rtc", "lab"]),
    }),
    worker("w2", { backends: new Set(["vast"]), gpuModel: "CPU\u001b[2J" }),
  ];
  assert.equal(
    explainMissing(wanted({ requires: { storage: "vast", gpu_memory_mb: 81_920 } }), there),
    'no worker has storage "vast" and has 81920 MiB of GPU memory; there are: ' +
      "w1 (scratch; 24000 MiB; lab), w2 (vast; CPU\ufffd[2J)",
  );
  assert.match(
    explainMissing(wanted({ requires: { gpu_memory_mb: 1 } }), there),
    /worker has 1 MiB of GPU memory;/,
  );
  assert.equal(explainMissing(wanted({}), []), "there is no worker in the room");
});
