import assert from "node:assert/strict";
import { MemoryStore } from "../../signaling/store.ts";
import { QueueLab, withQueue } from "./queue_lab.ts";

/** A worker that runs a job of a client. */
async function running(lab: QueueLab, job = "job-0001"): Promise<void> {
  lab.worker("w1");
  lab.client("ada");
  lab.submit("ada", job);
  lab.answer("w1", job);
  lab.report("w1", job, "held");
  lab.report("w1", job, "running");
  await lab.told("w1");
  await lab.told("ada");
}

Deno.test("who declines is asked last, and the next best at once", () =>
  withQueue(async (lab) => {
    lab.worker("far", { storage_backends: [] });
    lab.worker("near");
    lab.client("ada");
    lab.submit("ada", "job-0001", { bytes: 5e9, lies_in: ["vast"] });
    assert.deepEqual(await lab.news("near"), ["job_offer job-0001"]);
    assert.deepEqual(await lab.news("far"), []);
    lab.answer("near", "job-0001", false);
    assert.deepEqual(await lab.news("far"), ["job_offer job-0001"]);
    lab.answer("far", "job-0001");
    assert.equal((await lab.news("ada")).at(-1), "assigned job-0001 far");
  }));

Deno.test("who does not answer in time is passed over", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.worker("w2");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    assert.deepEqual(await lab.news("w1"), ["job_offer job-0001"]);
    await lab.pass(4_999);
    assert.deepEqual(await lab.news("w2"), []);
    await lab.pass(1);
    assert.deepEqual(await lab.news("w2"), ["job_offer job-0001"]);
    lab.answer("w2", "job-0001");
    // Too late: another has it.
    lab.answer("w1", "job-0001");
    assert.deepEqual(await lab.news("w1"), ["job_release job-0001"]);
    assert.equal((await lab.kept())["job-0001"], "assigned w2");
  }));

Deno.test("a client is told who is asked when that takes a while, and of a quick answer alone", () =>
  withQueue(async (lab) => {
    lab.worker("w1", { job_slots: 2 });
    lab.client("ada");
    lab.submit("ada", "job-0001");
    await lab.queue.settled();
    lab.answer("w1", "job-0001");
    await lab.pass(1_000);
    assert.deepEqual(await lab.news("ada"), ["assigned job-0001 w1"]);
    lab.worker("w2");
    lab.submit("ada", "job-0002", { avoid: ["w1"] });
    await lab.pass(1_000);
    assert.deepEqual(await lab.news("ada"), ["queued job-0002 1"]);
  }));

Deno.test("a worker that leaves while it is asked is passed over", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.worker("w2");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.leave("w1");
    assert.deepEqual(await lab.news("w2"), ["job_offer job-0001"]);
  }));

Deno.test("who is asked over a socket that is gone is asked again over the new one", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    const again = lab.worker("w1");
    await lab.queue.settled();
    assert.equal(again.inbox[0]?.["type"], "job_offer");
  }));

Deno.test("an assigned job stays with its worker until the client or the worker says otherwise", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.worker("w2");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.answer("w1", "job-0001");
    await lab.told("ada");
    lab.submit("ada", "job-0001");
    assert.deepEqual(await lab.news("ada"), ["assigned job-0001 w1"]);
    lab.leave("w1");
    lab.submit("ada", "job-0001");
    assert.deepEqual(await lab.news("ada"), ["assigned job-0001 w1"]);
    lab.submit("ada", "job-0001", { avoid: ["w1"] });
    assert.deepEqual(await lab.news("w2"), ["job_offer job-0001"]);
  }));

Deno.test("who is avoided is told that its place is not needed, and is never asked again", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.answer("w1", "job-0001");
    await lab.told("w1");
    await lab.told("ada");
    lab.submit("ada", "job-0001", { avoid: ["w1"] });
    assert.deepEqual(await lab.news("w1"), ["job_release job-0001"]);
    assert.deepEqual(await lab.news("ada"), ["refused job-0001 NO_MATCHING_WORKER"]);
    assert.deepEqual(await lab.kept(), {});
  }));

Deno.test("a place kept in vain brings the job back to its place, and not for ever", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    for (let round = 1; round <= 5; round++) {
      lab.answer("w1", "job-0001");
      lab.update("w1", { status: "available" });
      lab.report("w1", "job-0001", "released", { reason: "its client did not come" });
    }
    assert.equal((await lab.news("ada")).at(-1), "refused job-0001 QUEUE_TIMEOUT");
    assert.deepEqual(await lab.kept(), {});
  }));

Deno.test("a running job is never led anywhere again", () =>
  withQueue(async (lab) => {
    await running(lab);
    lab.worker("w2");
    lab.submit("ada", "job-0001", { avoid: ["w1"] });
    assert.deepEqual(await lab.news("ada"), ["running job-0001 w1"]);
    lab.report("w1", "job-0001", "released");
    lab.leave("w1");
    lab.say("ada", { type: "job_withdraw", job: "job-0001" });
    await lab.pass(600_000);
    assert.deepEqual(await lab.news("w2"), []);
    assert.equal((await lab.kept())["job-0001"], "running w1");
  }));

Deno.test("a worker that was given up and runs the job all the same keeps it", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.answer("w1", "job-0001");
    lab.worker("w2");
    lab.submit("ada", "job-0001", { avoid: ["w1"] });
    lab.answer("w2", "job-0001");
    await lab.told("w2");
    lab.report("w1", "job-0001", "running");
    assert.deepEqual(await lab.news("w2"), ["job_release job-0001"]);
    assert.equal((await lab.news("ada")).at(-1), "running job-0001 w1");
  }));

Deno.test("nobody speaks for a job that it was not asked to do", () =>
  withQueue(async (lab) => {
    await running(lab);
    lab.worker("w2");
    lab.report("w2", "job-0001", "failed");
    lab.report("w2", "job-0001", "running");
    lab.report("w2", "no-such-job", "held");
    assert.deepEqual(
      await lab.news("w2"),
      [
        "job_noted job-0001 failed",
        "job_noted job-0001 running",
        "job_release no-such-job",
        "job_noted no-such-job held",
      ].map((text) => text.split(" ").slice(0, 2).join(" ")),
    );
    assert.equal((await lab.kept())["job-0001"], "running w1");
  }));

Deno.test("an ended job does not run again", () =>
  withQueue(async (lab) => {
    await running(lab);
    lab.report("w1", "job-0001", "done");
    lab.submit("ada", "job-0001");
    assert.deepEqual(await lab.news("ada"), ["done job-0001", "refused job-0001 JOB_ENDED"]);
    await lab.pass(4 * 24 * 3600_000);
    assert.deepEqual(await lab.kept(), {});
  }));

Deno.test("a withdrawn job goes nowhere, and its worker is told", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.submit("ada", "job-0002");
    await lab.told("w1");
    lab.say("ada", { type: "job_withdraw", job: "job-0002" });
    lab.say("ada", { type: "job_withdraw", job: "job-0001" });
    assert.deepEqual(await lab.news("w1"), ["job_release job-0001"]);
    assert.deepEqual((await lab.news("ada")).slice(-2).sort(), ["cancelled job-0001", "cancelled job-0002"]);
  }));

Deno.test("a job that waited too long is refused, and may be submitted anew", () =>
  withQueue(async (lab) => {
    lab.worker("w1", { status: "busy" });
    lab.client("ada");
    lab.submit("ada", "job-0001", { wait_s: 30 });
    await lab.pass(29_000);
    assert.deepEqual(await lab.news("ada"), ["queued job-0001 1"]);
    await lab.pass(2_000);
    assert.deepEqual(await lab.news("ada"), ["refused job-0001 QUEUE_TIMEOUT"]);
    lab.submit("ada", "job-0001", { wait_s: 30 });
    assert.deepEqual(await lab.news("ada"), ["queued job-0001 1"]);
  }));

Deno.test("a client that is away keeps its place for a while, and nobody is asked meanwhile", () =>
  withQueue(async (lab) => {
    lab.worker("w1", { status: "busy" });
    lab.client("ada");
    lab.client("bob");
    lab.submit("ada", "job-ada1");
    lab.submit("bob", "job-bob1");
    lab.leave("ada");
    lab.update("w1", { status: "available" });
    assert.deepEqual(await lab.news("w1"), ["job_offer job-bob1"]);
    lab.answer("w1", "job-bob1", false);
    lab.client("ada");
    lab.submit("ada", "job-ada1");
    await lab.pass(1_000);
    assert.deepEqual(await lab.news("w1"), ["job_offer job-ada1"]);
    lab.leave("bob");
    await lab.pass(5 * 60_000);
    assert.deepEqual(Object.keys(await lab.kept()), ["job-ada1"]);
  }));

Deno.test("the owner with the fewest jobs at workers comes first", () =>
  withQueue(async (lab) => {
    const workers = ["w1", "w2", "w3", "w4"];
    for (const id of workers) lab.worker(id, { status: "busy" });
    lab.client("ada");
    lab.client("bob");
    for (const id of ["job-ada1", "job-ada2", "job-ada3"]) lab.submit("ada", id);
    lab.submit("bob", "job-bob1");
    const turns: string[] = [];
    for (const id of workers) {
      lab.update(id, { status: "available" });
      const [offer] = await lab.news(id);
      turns.push(offer ?? "");
      lab.answer(id, offer?.split(" ")[1] ?? "");
    }
    assert.deepEqual(turns.map((each) => each.split(" ")[1]), [
      "job-ada1",
      "job-bob1",
      "job-ada2",
      "job-ada3",
    ]);
  }));

Deno.test("a job that no free worker could do holds nobody up", () =>
  withQueue(async (lab) => {
    lab.worker("big", { status: "busy", gpu_memory_mb: 80_000 });
    lab.worker("small", { gpu_memory_mb: 8_000 });
    lab.client("ada");
    lab.submit("ada", "job-big1", { requires: { gpu_memory_mb: 40_000 } });
    lab.submit("ada", "job-any1");
    assert.deepEqual(await lab.news("small"), ["job_offer job-any1"]);
  }));

Deno.test("places are told as they change", () =>
  withQueue(async (lab) => {
    lab.worker("w1", { status: "busy" });
    lab.client("ada");
    for (const id of ["job-0001", "job-0002", "job-0003"]) lab.submit("ada", id);
    assert.deepEqual(await lab.news("ada"), ["queued job-0001 1", "queued job-0002 2", "queued job-0003 3"]);
    lab.say("ada", { type: "job_withdraw", job: "job-0001" });
    await lab.pass(100);
    assert.deepEqual(await lab.news("ada"), ["cancelled job-0001", "queued job-0002 1", "queued job-0003 2"]);
  }));

Deno.test("a worker without offers gets one job, and the next when it was busy and is free again", () =>
  withQueue(async (lab) => {
    lab.worker("py", {}, []);
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.submit("ada", "job-0002");
    assert.ok((await lab.news("ada")).includes("assigned job-0001 py"));
    lab.update("py", { status: "reserved" });
    lab.update("py", { status: "busy" });
    await lab.pass(120_000);
    assert.equal((await lab.kept())["job-0002"], "queued");
    lab.update("py", { status: "available" });
    assert.equal((await lab.kept())["job-0002"], "assigned py");
    assert.deepEqual(await lab.news("py"), []);
  }));

Deno.test("a worker without offers that is not seen at work gets the next after a while", () =>
  withQueue(async (lab) => {
    lab.worker("py", {}, []);
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.submit("ada", "job-0002");
    await lab.pass(59_000);
    assert.equal((await lab.kept())["job-0002"], "queued");
    await lab.pass(1_000);
    assert.equal((await lab.kept())["job-0002"], "assigned py");
  }));

Deno.test("a full server refuses", () =>
  withQueue(async (lab) => {
    lab.worker("w1", { status: "busy" });
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.submit("ada", "job-0002");
    assert.deepEqual((await lab.news("ada")).sort(), ["queued job-0001 1", "refused job-0002 QUEUE_FULL"]);
  }, { limits: { open: 1, ended: 10, chars: 1_000_000 } }));

Deno.test("a job waits for a worker that is free soon rather than for a slow transfer, and not for ever", () =>
  withQueue(async (lab) => {
    await running(lab);
    await lab.pass(60_000);
    lab.report("w1", "job-0001", "done");
    lab.update("w1", { status: "available" });
    lab.submit("ada", "job-0002");
    lab.answer("w1", "job-0002");
    lab.report("w1", "job-0002", "running");
    await lab.pass(30_000);
    lab.worker("slow", { storage_backends: [] });
    await lab.told("ada");
    lab.submit("ada", "job-0003", { bytes: 50e9, lies_in: ["vast"] });
    assert.deepEqual(await lab.news("slow"), []);
    const [waiting] = await lab.told("ada");
    assert.match(
      String(waiting?.["reason"]),
      /^waits for worker w1, free in about 30 s: .*; slow is free, but/,
    );
    // It is not free when it was thought to be.
    await lab.pass(601_000);
    assert.deepEqual(await lab.news("slow"), ["job_offer job-0003"]);
  }));

Deno.test("a killed server knows its jobs: who waits keeps the place, who is assigned the worker", () =>
  withQueue(async (lab) => {
    await running(lab);
    lab.worker("w2");
    lab.submit("ada", "job-0002");
    lab.answer("w2", "job-0002");
    for (const id of ["job-0003", "job-0004"]) lab.submit("ada", id);
    const kept = await lab.kept();
    assert.deepEqual(Object.values(kept), ["running w1", "assigned w2", "queued", "queued"]);
    await lab.kill();
    assert.deepEqual(await lab.kept(), kept);
    lab.client("ada");
    for (const id of ["job-0004", "job-0003", "job-0002", "job-0001"]) lab.submit("ada", id);
    assert.deepEqual((await lab.news("ada")).sort(), [
      "assigned job-0002 w2",
      "queued job-0003 1",
      "queued job-0004 2",
      "running job-0001 w1",
    ]);
    lab.worker("w3");
    assert.deepEqual(await lab.news("w3"), ["job_offer job-0003"]);
  }));

Deno.test("what was offered before a kill is taken by a late report, or offered anew", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.worker("w2");
    lab.submit("ada", "job-0002");
    await lab.told("w1");
    await lab.kill();
    lab.client("ada");
    lab.worker("w1", { status: "reserved" });
    lab.report("w1", "job-0001", "held");
    lab.worker("w2");
    lab.submit("ada", "job-0001");
    assert.deepEqual(await lab.news("ada"), ["assigned job-0001 w1", "assigned job-0001 w1"]);
    assert.deepEqual(await lab.news("w2"), []);
    await lab.pass(15_000);
    assert.deepEqual(await lab.news("w2"), ["job_offer job-0002"]);
  }));

Deno.test("a client that does not come back after a kill does not keep its place for ever", () =>
  withQueue(async (lab) => {
    lab.worker("w1", { status: "busy" });
    lab.client("ada");
    lab.submit("ada", "job-0001");
    await lab.queue.settled();
    await lab.kill();
    await lab.pass(5 * 60_000);
    assert.deepEqual(await lab.kept(), {});
  }));

Deno.test("what the store has that is no job is left out", async () => {
  const store = new MemoryStore();
  await store.put("job", "room/job-0001", { state: "queued" });
  await store.put("job", "elsewhere", null);
  const lab = await QueueLab.start({}, store);
  lab.worker("w1");
  lab.client("ada");
  lab.submit("ada", "job-0001");
  assert.deepEqual(await lab.news("w1"), ["job_offer job-0001"]);
  await lab.queue.stop();
});

Deno.test("a step that cannot be kept is not told until it is", async () => {
  const store = new MemoryStore();
  const lab = await QueueLab.start({}, store);
  lab.worker("w1");
  lab.client("ada");
  const put = store.put.bind(store);
  let failures = 2;
  store.put = (...args) => failures-- > 0 ? Promise.reject(new Error("disk full")) : put(...args);
  lab.submit("ada", "job-0001");
  const settled = lab.queue.settled();
  for (let i = 0; i < 3; i++) {
    assert.deepEqual([lab.peers.get("ada")!.inbox, lab.peers.get("w1")!.inbox], [[], []]);
    await lab.clock.pass(1_000, async () => {
      for (let step = 0; step < 20; step++) await Promise.resolve();
    });
    if (failures < 0) break;
  }
  await settled;
  assert.deepEqual(await lab.news("w1"), ["job_offer job-0001"]);
  await lab.queue.stop();
});

Deno.test("what was measured of a worker's link counts for the next job", () =>
  withQueue(async (lab) => {
    const links = { w1: 1, w2: 100 };
    for (const [id, seconds] of Object.entries(links)) {
      lab.worker(id, { storage_backends: [] });
      lab.client(`client-${id}`);
      lab.submit(`client-${id}`, `job-of-${id}`, { requires: { worker: id } });
      lab.answer(id, `job-of-${id}`);
      lab.report(id, `job-of-${id}`, "running", { received: { bytes: 1e9, seconds } });
      lab.report(id, `job-of-${id}`, "done");
      lab.update(id, { status: "available" });
      await lab.told(id);
    }
    lab.client("ada");
    lab.submit("ada", "job-0001", { bytes: 5e9 });
    assert.deepEqual(await lab.news("w1"), ["job_offer job-0001"]);
    lab.answer("w1", "job-0001");
    const assigned = (await lab.told("ada")).at(-1);
    assert.equal(
      assigned?.["reason"],
      "worker w1: 5 s to the first epoch: 5.0 GB are sent (5 s), free now; w2 would need 500 s: 5.0 GB are sent",
    );
  }));
