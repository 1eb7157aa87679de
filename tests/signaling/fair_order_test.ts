import assert from "node:assert/strict";
import fc from "fast-check";
import { queuedJobSchema } from "../../protocol/queue.ts";
import { FairOrder } from "../../signaling/fair_order.ts";
import { type Job, makeJob } from "../../signaling/queue_job.ts";

/** A waiting job; its place is its time. */
function waiting(place: number, owner: string, worker?: string): Job {
  const id = `job-${String(place).padStart(4, "0")}`;
  const job = queuedJobSchema.parse({ id, kind: "train", owner, requires: worker ? { worker } : {} });
  const times = { place, submitted: place, queued: place };
  return makeJob({
    job,
    room: "r",
    client: "c",
    state: "queued",
    ...times,
    past: [],
    releases: 0,
    reason: "",
  });
}

const change = fc.record({
  what: fc.constantFrom("add", "add", "add", "remove", "take", "end"),
  owner: fc.constantFrom("ada", "bob", "eve"),
  worker: fc.constantFrom(undefined, "w1"),
  number: fc.nat(50),
});

Deno.test("whatever comes and goes, places count from 1, and are those of the order", () => {
  fc.assert(fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
    const order = new FairOrder();
    const jobs = new Set<Job>();
    const taken: Job[] = [];
    changes.forEach(({ what, owner, worker, number }, time) => {
      const job = [...jobs][number % Math.max(1, jobs.size)];
      if (what === "add") {
        const added = waiting(time, owner, worker);
        order.add(added);
        jobs.add(added);
      } else if (what === "end") {
        const ended = taken.pop();
        if (ended) order.count(ended, -1);
      } else if (job) {
        assert.equal(order.remove(job), true);
        assert.equal(order.remove(job), false);
        jobs.delete(job);
        if (what === "remove") return;
        order.count(job, 1);
        order.served(job, time);
        taken.push(job);
      }
    });
    const inOrder = order.inOrder();
    assert.deepEqual(new Set(inOrder), jobs);
    assert.deepEqual(inOrder.map((job) => order.positionOf(job)), inOrder.map((_, index) => index + 1));
    assert.deepEqual(order.inOrder(3), inOrder.slice(0, 3));
    assert.equal(order.first(() => true, (job) => job), inOrder[0]);
    assert.equal(order.size, jobs.size);
    // First come, first served within an owner.
    for (const owner of ["ada", "bob", "eve"]) {
      const places = inOrder.flatMap(({ record }) => record.job.owner === owner ? [record.place] : []);
      assert.deepEqual(places, places.toSorted((a, b) => a - b));
    }
  }));
});

Deno.test("owners take turns, however much one of them has", () => {
  const order = new FairOrder();
  let place = 0;
  for (let i = 0; i < 100; i++) order.add(waiting(place++, "ada"));
  for (const owner of ["bob", "eve"]) for (let i = 0; i < 3; i++) order.add(waiting(place++, owner));
  const turns: string[] = [];
  for (let time = 1_000; time < 1_009; time++) {
    const job = order.first(() => true, (each) => each)!;
    order.remove(job);
    // It is over at once: nobody has a job at a worker when the next is chosen.
    order.served(job, time);
    turns.push(job.record.job.owner!);
  }
  assert.deepEqual(turns.join(" "), "ada bob eve ada bob eve ada bob eve");
});
