import assert from "node:assert/strict";
import { VERSION } from "../../protocol/extension.ts";
import { type Join, type Json, TestPeer, type TestRoom, withRoom } from "./test_peer.ts";

const knows = { sleap_rtc: { version: "1", features: ["queue"] } };

/** What a worker registers with. */
function worker(properties: Json = {}): Json {
  return {
    role: "worker",
    metadata: { tags: ["sleap-rtc"], properties: { status: "available", ...properties } },
    ...knows,
  };
}

/** A worker and a client that are registered. */
async function pair(join: Join, properties: Json = {}): Promise<[TestPeer, TestPeer]> {
  const peers = [
    await join("w1", worker(properties)),
    await join("c1", { role: "client", ...knows }),
  ] as const;
  for (const peer of peers) await peer.next();
  return [...peers];
}

function submit(id: string, fields: Json = {}): Json {
  return { type: "job_submit", job: { id, kind: "train", ...fields } };
}

/** The next state of a job that is not a place in the queue. */
async function nextState(peer: TestPeer): Promise<Json> {
  for (;;) {
    const message = await peer.next();
    if (message["state"] !== "queued") return message;
  }
}

Deno.test("only who says what it knows is told what the server knows", () =>
  withRoom(async (_room, join) => {
    const plain = await (await join("plain")).next();
    assert.equal("sleap_rtc" in plain, false);
    const knowing = await (await join("knowing", { sleap_rtc: { version: "1", features: [] } })).next();
    assert.deepEqual(knowing["sleap_rtc"], { version: VERSION, features: ["queue"] });
  }));

Deno.test("a job is offered, accepted, assigned, and its end is told", () =>
  withRoom(async (_room, join) => {
    const [worker, client] = await pair(join, { storage_backends: ["vast"] });
    client.send(submit("job-00001", { bytes: 5e9, lies_in: ["vast"] }));
    const queued = await client.next();
    assert.deepEqual([queued["state"], queued["position"]], ["queued", 1]);
    const offer = await worker.next();
    assert.deepEqual([offer["type"], offer["client"], offer["answer_s"], offer["hold_s"]], [
      "job_offer",
      "c1",
      5,
      60,
    ]);
    worker.send({ type: "job_answer", job: "job-00001", accepted: true });
    assert.deepEqual(await nextState(client), {
      type: "job_state",
      job: "job-00001",
      state: "assigned",
      reason: 'worker w1: 0 s to the first epoch: the package lies in "vast" (0 s), free now',
      worker: "w1",
    });
    for (const state of ["held", "running", "done"]) {
      assert.deepEqual(await worker.ask({ type: "job_report", job: "job-00001", state }), {
        type: "job_noted",
        job: "job-00001",
        state,
      });
    }
    assert.equal((await client.next())["state"], "running");
    assert.equal((await client.next())["state"], "done");
    client.send(submit("job-00001"));
    const again = await client.next();
    assert.deepEqual([again["state"], again["code"]], ["refused", "JOB_ENDED"]);
  }));

Deno.test("a job that nobody could do is refused, with what is missing and what there is", () =>
  withRoom(async (_room, join) => {
    const [, client] = await pair(join, {
      storage_backends: ["scratch"],
      gpu_memory_mb: 24 * 1024,
      status: "busy",
    });
    client.send(submit("job-00001", { requires: { storage: "vast" } }));
    assert.deepEqual(await client.next(), {
      type: "job_state",
      job: "job-00001",
      state: "refused",
      code: "NO_MATCHING_WORKER",
      reason: 'no worker has storage "vast"; there are: w1 (scratch; 24576 MiB)',
    });
  }));

Deno.test("a job waits while all are busy, and goes when one is free", () =>
  withRoom(async (_room, join) => {
    const [worker, client] = await pair(join, { status: "busy" });
    client.send(submit("job-00001"));
    const queued = await client.next();
    assert.deepEqual([queued["state"], queued["position"]], ["queued", 1]);
    assert.equal(queued["reason"], "the one worker that suits is busy");
    worker.send({
      type: "update_metadata",
      peer_id: "w1",
      metadata: { properties: { status: "available" } },
    });
    assert.equal((await worker.next())["type"], "metadata_updated");
    assert.equal((await worker.next())["type"], "job_offer");
  }));

Deno.test("who does not wait is refused when all are busy", () =>
  withRoom(async (_room, join) => {
    const [, client] = await pair(join, { status: "busy" });
    client.send(submit("job-00001", { wait_s: 0 }));
    const refused = await nextState(client);
    assert.deepEqual([refused["state"], refused["code"]], ["refused", "QUEUE_TIMEOUT"]);
    assert.equal(refused["reason"], "the one worker that suits is busy, and the job does not wait");
  }));

Deno.test("a worker that knows no offers gets the job as it is", () =>
  withRoom(async (_room, join) => {
    const python = await join("py", { ...worker(), sleap_rtc: undefined });
    await python.next();
    const client = await join("c1", { role: "client", ...knows });
    await client.next();
    client.send(submit("job-00001"));
    const assigned = await nextState(client);
    assert.deepEqual([assigned["state"], assigned["worker"]], ["assigned", "py"]);
    await python.assertSilent();
  }));

Deno.test("rooms have jobs of their own, and a job its client", () =>
  withRoom(async (room: TestRoom, join) => {
    const [worker, client] = await pair(join);
    client.send(submit("job-00001"));
    await client.next();
    await worker.next();
    const other = await join("c2", { role: "client", ...knows });
    await other.next();
    assert.equal(room.token.length > 0, true);
    other.send(submit("job-00001"));
    assert.equal((await other.next())["code"], "INVALID_JOB");
    other.send({ type: "job_withdraw", job: "job-00001" });
    assert.equal((await other.next())["code"], "INVALID_JOB");
    // A client answers for no worker.
    other.send({ type: "job_answer", job: "job-00001", accepted: true });
    assert.equal((await other.next())["code"], "INVALID_MESSAGE");
  }));

Deno.test("what breaks the rules is refused in the job's name where it has one", () =>
  withRoom(async (_room, join) => {
    const [, client] = await pair(join);
    client.send(submit("job-00001", { wait_s: -1 }));
    const refused = await client.next();
    assert.deepEqual([refused["code"], refused["job"]], ["INVALID_JOB", "job-00001"]);
    client.send(submit("no"));
    assert.equal((await client.next())["code"], "INVALID_MESSAGE");
    const stranger = await TestPeer.open(_room.server.wsUrl);
    stranger.send(submit("job-00001"));
    assert.equal((await stranger.next())["code"], "NOT_IN_ROOM");
    await stranger.close();
  }));
