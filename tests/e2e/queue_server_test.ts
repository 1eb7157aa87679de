/** The queue of a real signaling server and real workers; clients are played where they only wait. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun } from "../../scripts/local_lab.ts";
import { QUEUE } from "../../protocol/queue.ts";
import type { ServerMessage } from "../../protocol/signaling.ts";
import { signIn } from "../../signaling/account.ts";
import { SignalingClient } from "../../signaling/client.ts";
import { runningJob, startWorker, type TestLab, withLab } from "./lab.ts";

const LIMIT_MS = 60_000;

type State = Extract<ServerMessage, { type: "job_state" }>;

/** A client that speaks to the signaling server only. Close it. */
async function clientIn({ lab }: TestLab, room: { roomId: string; token: string }): Promise<SignalingClient> {
  const identity = await signIn(lab.httpUrl, AbortSignal.timeout(LIMIT_MS));
  return await SignalingClient.connect({
    url: lab.wsUrl,
    identity,
    room: { roomId: room.roomId, token: room.token },
    timeoutMs: LIMIT_MS,
    role: "client",
    features: [QUEUE],
    metadata: {},
  });
}

/** Submits, and waits until the job is in a state; when the server is away, it is asked when it is back. */
function submit(
  client: SignalingClient,
  state: State["state"],
  job: Record<string, unknown> = {},
): Promise<State> {
  const arrived = client.next(
    (message) => message.type === "job_state" && message.state === state ? message : undefined,
    LIMIT_MS,
  );
  const send = (): boolean =>
    client.send({ type: "job_submit", job: { id: "job-of-a-test", kind: "train", ...job } });
  if (!client.isConnected || !send()) client.listenBack(send);
  return arrived;
}

/** What the room is told of a worker. */
async function statusOf(client: SignalingClient, peerId: string): Promise<unknown> {
  const peers = await client.discover({ role: "worker" }, LIMIT_MS);
  return peers.find((peer) => peer.peer_id === peerId)?.metadata?.properties?.["status"];
}

/** Whether a worker answers an offer of a connection by being busy. */
function isRefused(client: SignalingClient, worker: string): Promise<boolean> {
  const refused = client.next(
    (message) =>
      message.type === "peer_message" && message.payload["app_message_type"] === "worker_busy" || undefined,
    LIMIT_MS,
  );
  const sleap_rtc = { version: "test", features: [] };
  client.send({ type: "offer", sender: client.peerId, target: worker, sdp: "no matter", sleap_rtc });
  return refused;
}

/** Runs a test with a server that remembers. */
async function withStore(test: (lab: TestLab) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sleap-rtc-store-" });
  try {
    await withLab(test, ["--store", `sqlite:${join(folder, "signaling.db")}`]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("queue: a worker keeps its place for the client that the server sends, over a kill of the server", () =>
  withStore(async (test) => {
    const worker = await startWorker(test);
    const [client, other] = [await clientIn(test, worker), await clientIn(test, worker)];
    try {
      const assigned = await submit(client, "assigned", { lies_in: ["vast"], requires: { storage: "vast" } });
      assert.equal(assigned.worker, worker.peerId);
      assert.match(assigned.reason, /the package lies in "vast" \(0 s\), free now$/);
      assert.equal(await statusOf(other, worker.peerId), "reserved");
      assert.equal(await isRefused(other, worker.peerId), true);

      const back = new Promise<void>((resolve) => client.listenBack(resolve));
      await test.lab.restartSignaling();
      await back;
      assert.equal((await submit(client, "assigned")).worker, worker.peerId);
      await worker.process.line(/registered again with the signaling server/);

      const free = worker.process.line(/the place for job .* is not needed any more/);
      client.send({ type: "job_withdraw", job: "job-of-a-test" });
      await free;
    } finally {
      client.close();
      other.close();
    }
  }));

Deno.test("queue: who waits keeps waiting over a kill of the server, and the job that runs runs once", () =>
  withStore(async (test) => {
    const worker = await startWorker(test);
    const running = await runningJob(test, worker);
    const client = await clientIn(test, worker);
    try {
      assert.equal((await submit(client, "queued")).position, 1);
      const back = new Promise<void>((resolve) => client.listenBack(resolve));
      await test.lab.restartSignaling();
      await back;
      assert.equal((await submit(client, "queued")).position, 1);
      const { code, stderr } = await clientRun(running);
      assert.equal(code, 0, stderr);
      const assigned = await submit(client, "assigned");
      assert.equal(assigned.worker, worker.peerId);
      // One for each job: what ran was not offered anew.
      const kept = worker.process.output.match(/keeping a place for /g) ?? [];
      assert.equal(kept.length, 2, worker.process.output);
    } finally {
      client.close();
    }
  }));

Deno.test("queue: labels of the worker's configuration are what jobs may ask for", () =>
  withLab(async (test) => {
    const config = await test.lab.worker('[worker]\nlabels = ["a100"]\n', [
      "--scratch",
      join(test.folder, "s"),
    ]);
    const client = await clientIn(test, config);
    try {
      const refused = await submit(client, "refused", { requires: { labels: ["h100"] } });
      assert.equal(refused.code, "NO_MATCHING_WORKER");
      assert.match(refused.reason, /^no worker has the label "h100"; there are: .*; a100\)$/);
      const assigned = await submit(client, "assigned", { requires: { labels: ["a100"] } });
      assert.equal(assigned.worker, config.peerId);
    } finally {
      client.close();
    }
  }));
