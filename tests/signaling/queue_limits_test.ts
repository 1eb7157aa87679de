/** What one client or one room may take of the queue. */
import assert from "node:assert/strict";
import { charsOf } from "../../signaling/queue_job.ts";
import { queuedJobSchema } from "../../protocol/queue.ts";
import { MemoryStore } from "../../signaling/store.ts";
import { QueueLab, withQueue } from "./queue_lab.ts";

/** A job with as much in it as the protocol allows. */
const LARGE = {
  lies_in: Array.from({ length: 64 }, (_, i) => `${i}`.padEnd(64, "x")),
  copies_to: Array.from({ length: 64 }, (_, i) => `${i}`.padEnd(64, "x")),
  avoid: Array.from({ length: 256 }, (_, i) => `${i}`.padEnd(256, "x")),
};

const SMALL_CHARS = charsOf(queuedJobSchema.parse({ id: "job-0001", kind: "train" }));

Deno.test("a job that is submitted again, and larger, takes no more than the server has", () =>
  withQueue(async (lab) => {
    lab.worker("w1", { status: "busy" });
    lab.client("ada");
    lab.submit("ada", "job-0001");
    lab.submit("ada", "job-0002");
    await lab.told("ada");
    lab.submit("ada", "job-0002", LARGE);
    assert.deepEqual(await lab.news("ada"), ["refused job-0002 QUEUE_FULL"]);
    assert.deepEqual(await lab.kept(), { "job-0001": "queued" });
    // Its place is free again.
    lab.submit("ada", "job-0003");
    assert.deepEqual(await lab.news("ada"), ["queued job-0003 2"]);
    // One that does not grow is no burden.
    lab.submit("ada", "job-0001", { wait_s: 86_400 });
    assert.equal((await lab.news("ada")).length, 1);
  }, { limits: { open: 100, ended: 10, chars: 8 * SMALL_CHARS } }));

Deno.test("of a job that has ended no more is kept than what tells it from others", () =>
  withQueue(async (lab) => {
    lab.worker("w1", { status: "busy" });
    lab.client("ada");
    lab.submit("ada", "job-0001", LARGE);
    lab.say("ada", { type: "job_withdraw", job: "job-0001" });
    assert.deepEqual(await lab.news("ada"), ["cancelled job-0001"]);
    const [record] = (await lab.store.all("job")).values();
    assert.ok(JSON.stringify(record).length < 2_000, `${JSON.stringify(record).length} characters`);
    lab.submit("ada", "job-0001");
    assert.deepEqual(await lab.news("ada"), ["refused job-0001 JOB_ENDED"]);
  }));

Deno.test("no room takes more than it leaves to the others", () =>
  withQueue(async (lab) => {
    lab.worker("w1", { status: "busy" });
    lab.client("ada");
    for (const id of ["job-0001", "job-0002", "job-0003"]) lab.submit("ada", id);
    assert.deepEqual((await lab.news("ada")).sort(), [
      "queued job-0001 1",
      "queued job-0002 2",
      "refused job-0003 QUEUE_FULL",
    ]);
    lab.worker("w2", { status: "busy" }, ["queue"], "other");
    lab.client("bob", "other");
    lab.submit("bob", "job-0001");
    assert.deepEqual(await lab.news("bob"), ["queued job-0001 1"]);
    lab.say("ada", { type: "job_withdraw", job: "job-0001" });
    lab.submit("ada", "job-0004");
    assert.deepEqual(await lab.news("ada"), ["cancelled job-0001", "queued job-0004 2"]);
  }, { limits: { open: 4, ended: 10, chars: 1_000_000 } }));

/** Does not keep the first job that it is given, at first. */
class SlowStore extends MemoryStore {
  #hasFailed = false;

  override put(...[kind, key, value]: Parameters<MemoryStore["put"]>): Promise<void> {
    if (this.#hasFailed) return super.put(kind, key, value);
    this.#hasFailed = true;
    return Promise.reject(new Error("the disk is full"));
  }
}

Deno.test("what is submitted anew is kept as it is now, also when the store comes late with what was before", async () => {
  const lab = await QueueLab.start({}, new SlowStore());
  try {
    lab.worker("w1", { status: "busy" });
    lab.client("ada");
    lab.submit("ada", "job-0001", { wait_s: 0 });
    lab.submit("ada", "job-0001", { wait_s: 600 });
    await lab.clock.pass(2_000, () => new Promise((done) => setTimeout(done, 0)));
    assert.deepEqual(await lab.news("ada"), ["refused job-0001 QUEUE_TIMEOUT", "queued job-0001 1"]);
    const [record] = (await lab.store.all("job")).values() as Iterable<{ job: { wait_s: number } }>;
    assert.equal(record?.job.wait_s, 600);
  } finally {
    await lab.queue.stop();
  }
});

Deno.test("thousands of different jobs that wait for others than the free worker do not keep the server", () =>
  withQueue(async (lab) => {
    for (let i = 0; i < 250; i++) lab.worker(`busy-${i}`, { status: "busy", labels: ["large"] });
    lab.worker("free");
    lab.client("ada");
    const began = performance.now();
    for (let i = 0; i < 1_000; i++) {
      lab.submit("ada", `job-${i}`.padEnd(8, "-"), {
        requires: { labels: ["large"] },
        avoid: [`other-${i}`],
      });
    }
    lab.submit("ada", "job-small");
    assert.deepEqual(await lab.news("free"), ["job_offer job-small"]);
    // A second or so; a minute when each submission asks each worker about each job.
    assert.ok(performance.now() - began < 20_000, `${performance.now() - began} ms`);
  }));
