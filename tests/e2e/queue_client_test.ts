/** The client's side of the signaling server's queue, against real servers and workers, and against played ones. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun, storageSection } from "../../scripts/local_lab.ts";
import { jobOfferSchema, QUEUE } from "../../protocol/queue.ts";
import { signIn } from "../../signaling/account.ts";
import { SignalingClient } from "../../signaling/client.ts";
import { clientConfig, packageIn, runningJob, startWorker, type TestLab, withLab } from "./lab.ts";

const LIMIT_MS = 60_000;

/** A worker of a room that takes every job offered, and then does not answer its client. Close it. */
async function deafWorker({ lab }: TestLab, roomId: string, token: string): Promise<SignalingClient> {
  const identity = await signIn(lab.httpUrl, AbortSignal.timeout(LIMIT_MS));
  const worker = await SignalingClient.connect({
    url: lab.wsUrl,
    identity,
    room: { roomId, token },
    timeoutMs: LIMIT_MS,
    role: "worker",
    features: [QUEUE],
    metadata: {
      tags: ["sleap-rtc", "training-worker"],
      properties: { status: "available", gpu_memory_mb: 80_000, storage_backends: ["vast"] },
    },
  });
  worker.listen((message) => {
    const offer = jobOfferSchema.safeParse(message);
    if (!offer.success) return;
    const job = offer.data.job.id;
    worker.send({ type: "job_answer", job, accepted: true });
    worker.send({ type: "job_report", job, state: "held" });
  });
  return worker;
}

Deno.test("queue: a job waits for a busy worker, and Ctrl-C takes it out; --wait 0 does not wait", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const running = await runningJob(test, worker);
    const path = await packageIn(test.home);
    const args = ["train", path, "--session-string", worker.session];
    const impatient = await test.lab.runClient(clientConfig(test), [...args, "--wait", "0"]);
    assert.equal(impatient.code, 3);
    assert.match(impatient.stderr, /busy|free/);
    const waiting = await test.lab.client(clientConfig(test), args);
    const queued = JSON.parse(await waiting.line(/"event":"queued"/));
    assert.equal(queued.position, 1);
    const second = await test.lab.client(clientConfig(test), args);
    assert.equal(JSON.parse(await second.line(/"event":"queued"/)).position, 2);
    assert.equal(await second.stop(), 130);
    assert.equal(await running.stop(), 130);
    const { code, events, summary, stderr } = await clientRun(waiting);
    assert.equal(code, 0, stderr);
    assert.equal(summary?.worker, worker.peerId);
    const assigned = events.find((event) => event.event === "assigned");
    assert.ok(assigned?.worker === worker.peerId && assigned.reason !== "");
  }));

Deno.test("queue: a worker that cannot be reached is passed over, and the job runs on the next one", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const { roomId, token } = worker;
    const deaf = await deafWorker(test, roomId, token);
    try {
      const path = await packageIn(join(test.clientMount, "alice"));
      const config = `[default]\nconnection_timeout = 5\n${clientConfig(test)}`;
      const args = ["train", path, "--room-id", roomId, "--token", token];
      const { code, events, summary, stderr } = await test.lab.runClient(config, args);
      assert.equal(code, 0, stderr);
      const assigned = events.flatMap((event) => event.event === "assigned" ? [event.worker] : []);
      assert.deepEqual(assigned, [deaf.peerId, worker.peerId]);
      const warning = events.find((event) => event.event === "warning");
      assert.match(warning?.text ?? "", /did not answer; asking for another worker/);
      assert.equal(summary?.worker, worker.peerId);
    } finally {
      deaf.close();
    }
  }));

Deno.test("queue: when none that could ever do it is there, the error says what is missing and what there is", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const path = await packageIn(test.home);
    const room = ["--room-id", worker.roomId, "--token", worker.token];
    const config = clientConfig(test) + storageSection("other", test.home);
    const { code, stderr, summary } = await test.lab.runClient(config, [
      ...["train", path, ...room, "--required-storage", "other", "--label", "a100"],
    ]);
    assert.deepEqual([code, summary], [3, undefined]);
    assert.match(stderr, /"other"/);
    assert.match(stderr, new RegExp(`${worker.peerId} \\(.*vast`));
  }));

/** Trains until it is stopped. */
const LONG = { config: { epoch_delay_s: 60 } };

Deno.test("queue: a server that is killed finds the job again, and the job its turn", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await withLab(async (test) => {
      const worker = await startWorker(test);
      const running = await runningJob(test, worker, LONG);
      const path = await packageIn(test.home);
      const args = ["train", path, "--session-string", worker.session, "--verbose"];
      const waiting = await test.lab.client(clientConfig(test), args);
      await waiting.line(/"event":"queued"/);
      await test.lab.restartSignaling();
      await waiting.line(/registered again with the signaling server/);
      assert.equal(await running.stop(), 130);
      const { code, events, summary, stderr } = await clientRun(waiting);
      assert.equal(code, 0, stderr);
      assert.equal(summary?.worker, worker.peerId);
      assert.equal(events.filter((event) => event.event === "run_started").length, 1);
    }, ["--store", `sqlite:${join(folder, "signaling.db")}`]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
