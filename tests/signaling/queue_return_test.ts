/** Workers that come back after a restart of the server, or do not. */
import assert from "node:assert/strict";
import { QueueLab, withQueue } from "./queue_lab.ts";

const MINUTE = 60_000;

/** A worker runs a job of a client, and is killed. */
async function workerLost(lab: QueueLab): Promise<void> {
  lab.worker("w1");
  lab.client("ada");
  lab.submit("ada", "job-0001");
  await lab.queue.settled();
  lab.answer("w1", "job-0001");
  lab.report("w1", "job-0001", "running");
  await lab.told("ada");
  lab.leave("w1");
}

Deno.test("a job whose worker is gone for long has failed, and counts no more against its owner", () =>
  withQueue(async (lab) => {
    await workerLost(lab);
    await lab.pass(14 * MINUTE);
    assert.deepEqual(await lab.news("ada"), []);
    await lab.pass(2 * MINUTE);
    assert.deepEqual(await lab.news("ada"), ["failed job-0001"]);
    lab.worker("w1-anew");
    assert.deepEqual(await lab.news("w1-anew"), [], "it is led nowhere else");
    assert.equal(lab.queue.states().running, 0);
    lab.submit("ada", "job-0001");
    assert.deepEqual(await lab.news("ada"), ["refused job-0001 JOB_ENDED"]);
  }));

Deno.test("a worker that is away for a while keeps its job, and the time begins anew", () =>
  withQueue(async (lab) => {
    await workerLost(lab);
    await lab.pass(14 * MINUTE);
    lab.worker("w1", { status: "busy" });
    await lab.pass(MINUTE);
    lab.leave("w1");
    await lab.pass(14 * MINUTE);
    assert.equal((await lab.kept())["job-0001"], "running w1");
  }));

Deno.test("a worker that was thought lost is believed when it tells the end, and nobody else is", () =>
  withQueue(async (lab) => {
    await workerLost(lab);
    await lab.pass(16 * MINUTE);
    await lab.told("ada");
    lab.worker("w2");
    lab.report("w2", "job-0001", "done");
    assert.equal((await lab.kept())["job-0001"], "failed w1");
    lab.worker("w1");
    lab.report("w1", "job-0001", "running");
    assert.equal((await lab.kept())["job-0001"], "failed w1");
    lab.report("w1", "job-0001", "done");
    assert.deepEqual(await lab.news("ada"), ["done job-0001"]);
    lab.report("w1", "job-0001", "failed");
    assert.equal((await lab.kept())["job-0001"], "done w1");
  }));

Deno.test("a job that is submitted before the workers are back after a restart goes to the first that suits", () =>
  withQueue(async (lab) => {
    await lab.kill();
    lab.client("ada");
    lab.submit("ada", "job-0001", { requires: { storage: "vast" } });
    const [told] = await lab.told("ada");
    assert.equal(told?.["state"], "queued");
    assert.match(String(told?.["reason"]), /workers may come back$/);
    await lab.pass(20_000);
    lab.worker("w1");
    assert.deepEqual(await lab.news("w1"), ["job_offer job-0001"]);
  }));

Deno.test("a job that no worker suits when all had time to come back is refused then, and a later one at once", () =>
  withQueue(async (lab) => {
    await lab.kill();
    lab.client("ada");
    lab.submit("ada", "job-0001", { requires: { storage: "tape" } });
    lab.submit("ada", "job-0002", { requires: { storage: "vast" } });
    lab.worker("w1", { status: "busy" });
    await lab.pass(29_000);
    assert.deepEqual((await lab.news("ada")).filter((each) => each.startsWith("refused")), []);
    await lab.pass(2_000);
    assert.deepEqual((await lab.news("ada")).filter((each) => each.startsWith("refused")), [
      "refused job-0001 NO_MATCHING_WORKER",
    ]);
    lab.submit("ada", "job-0003", { requires: { storage: "tape" } });
    assert.deepEqual(await lab.news("ada"), ["refused job-0003 NO_MATCHING_WORKER"]);
    assert.deepEqual(await lab.kept(), { "job-0002": "queued" });
  }));

Deno.test("soon after a start as well, who does not wait is refused at once", () =>
  withQueue(async (lab) => {
    await lab.kill();
    lab.client("ada");
    lab.submit("ada", "job-0001", { wait_s: 0 });
    assert.equal((await lab.news("ada")).at(-1), "refused job-0001 QUEUE_TIMEOUT");
  }));

Deno.test("in a room that is new nobody is waited for", () =>
  withQueue(async (lab) => {
    lab.client("ada");
    lab.submit("ada", "job-0001");
    assert.deepEqual(await lab.news("ada"), ["refused job-0001 NO_MATCHING_WORKER"]);
  }));

Deno.test("who was asked before a restart is asked for nothing else until it has answered", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.submit("ada", "job-0002");
    assert.deepEqual(await lab.news("w1"), ["job_offer job-0001"]);
    await lab.kill();
    lab.client("ada");
    lab.worker("w1");
    await lab.pass(1_000);
    assert.deepEqual(await lab.news("w1"), []);
    lab.update("w1", { status: "reserved" });
    lab.report("w1", "job-0001", "held");
    assert.deepEqual(await lab.kept(), { "job-0001": "assigned w1", "job-0002": "queued" });
  }));

Deno.test("who was asked before a restart and knows nothing of it is asked anew, first for the same job", () =>
  withQueue(async (lab) => {
    lab.worker("w1");
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.submit("ada", "job-0002");
    await lab.queue.settled();
    await lab.kill();
    lab.client("ada");
    lab.worker("w1");
    await lab.pass(14_000);
    assert.deepEqual(await lab.news("w1"), []);
    await lab.pass(2_000);
    assert.deepEqual(await lab.news("w1"), ["job_offer job-0001"]);
  }));
