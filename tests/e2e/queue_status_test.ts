/** What `workers` shows at each step of a queued job, and a worker that is stopped while it is asked. */
import assert from "node:assert/strict";
import { z } from "zod";
import { clientRun, type WorkerHandle } from "../../scripts/local_lab.ts";
import { type JobStateMessage, QUEUE } from "../../protocol/queue.ts";
import { signIn } from "../../signaling/account.ts";
import { SignalingClient } from "../../signaling/client.ts";
import { clientConfig, packageIn, SLOW, startWorker, type TestLab, withLab } from "./lab.ts";

const LIMIT_MS = 60_000;
const listedSchema = z.object({ peer_id: z.string(), status: z.string() });

/** With a client of a worker's room that speaks to the server only. */
async function withPlayedClient(
  { lab }: TestLab,
  { roomId, token }: WorkerHandle,
  body: (client: SignalingClient) => Promise<void>,
): Promise<void> {
  const client = await SignalingClient.connect({
    url: lab.wsUrl,
    identity: await signIn(lab.httpUrl, AbortSignal.timeout(LIMIT_MS)),
    room: { roomId, token },
    timeoutMs: LIMIT_MS,
    role: "client",
    features: [QUEUE],
    metadata: {},
  });
  try {
    await body(client);
  } finally {
    client.close();
  }
}

/** Waits until a job is in a state. */
function told(
  client: SignalingClient,
  id: string,
  state: JobStateMessage["state"],
): Promise<JobStateMessage> {
  return client.next(
    (message) =>
      message.type === "job_state" && message.job === id && message.state === state ? message : undefined,
    LIMIT_MS,
  );
}

/** Waits until `workers` shows a worker with a status. */
async function shown(test: TestLab, worker: WorkerHandle, status: string): Promise<void> {
  const args = ["workers", "--session-string", worker.session, "--watch"];
  const watch = await test.lab.client(clientConfig(test), [...args, "--json"]);
  try {
    const seen = watch.line(new RegExp(`"peer_id":"${worker.peerId}".*"status":"${status}"`), LIMIT_MS);
    const line = JSON.parse(await seen);
    assert.equal(listedSchema.parse(line).status, status);
  } finally {
    await watch.stop();
  }
}

Deno.test("queue: a worker is shown as available, reserved for who is awaited, busy, and stopping", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    await shown(test, worker, "available");
    await withPlayedClient(test, worker, async (raw) => {
      raw.send({ type: "job_submit", job: { id: "q_awaited1", kind: "train" } });
      assert.equal((await told(raw, "q_awaited1", "assigned")).worker, worker.peerId);
      await shown(test, worker, "reserved");

      // Who comes with the session string waits until the place is free.
      const path = await packageIn(test.home, SLOW);
      const client = await test.lab.client(clientConfig(test), [
        "train",
        path,
        "--session-string",
        worker.session,
      ]);
      await client.line(/"event":"queued"/);
      raw.send({ type: "job_withdraw", job: "q_awaited1" });
      await client.line(/Epoch 1\//);
      await shown(test, worker, "busy");

      worker.process.kill("SIGTERM");
      await shown(test, worker, "maintenance");
      raw.send({ type: "job_submit", job: { id: "q_refused1", kind: "train" } });
      assert.equal((await told(raw, "q_refused1", "refused")).code, "NO_MATCHING_WORKER");
      assert.equal((await clientRun(client)).code, 0);
    });
  }));

Deno.test("queue: a worker that is stopped while it is asked is passed over, and keeps no place when it goes on", () =>
  withLab(async (test) => {
    const first = await startWorker(test);
    await withPlayedClient(test, first, async (raw) => {
      first.process.kill("SIGSTOP");
      raw.send({ type: "job_submit", job: { id: "q_stopped1", kind: "train" } });
      const assigned = told(raw, "q_stopped1", "assigned");
      const { roomId, token } = first;
      const second = await startWorker(test, { args: ["--room-id", roomId, "--token", token] });
      assert.equal((await assigned).worker, second.peerId);
      first.process.kill("SIGCONT");
      await first.process.line(/the place for job q_stopped1 is not needed any more/, LIMIT_MS);
      await shown(test, first, "available");
      raw.send({ type: "job_withdraw", job: "q_stopped1" });
      await told(raw, "q_stopped1", "cancelled");
      await shown(test, second, "available");
    });
  }));
