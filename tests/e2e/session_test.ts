/** One conversation driven step by step, with a real worker or a scripted one at the other end. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { connectTo } from "../../client/connect.ts";
import { Conversation } from "../../client/conversation.ts";
import { followJob, type JobEnd } from "../../client/follow.ts";
import type { Attempt } from "../../client/plan.ts";
import { newJobId, submit } from "../../client/submit.ts";
import { Peer } from "../../rtc/peer.ts";
import { createRoom, signIn } from "../../signaling/account.ts";
import { SignalingClient } from "../../signaling/client.ts";
import { StorageConfig } from "../../storage/backend.ts";
import { StorageResolver } from "../../storage/resolver.ts";
import { clientConfig, namesIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";

const SILENT = { show(): void {}, close(): void {} };

async function enterRoom(
  { lab }: TestLab,
  room: { roomId: string; token: string },
): Promise<SignalingClient> {
  const signal = AbortSignal.timeout(30_000);
  const identity = await signIn(lab.httpUrl, signal);
  const metadata = { tags: ["sleap-rtc"] };
  return await SignalingClient.connect({
    url: lab.wsUrl,
    identity,
    room,
    timeoutMs: 10_000,
    role: "client",
    metadata,
  });
}

/** The results stayed on the storage, and were told of. */
function assertNothingArrived(end: JobEnd): void {
  assert.ok(end.type === "complete", JSON.stringify(end));
  assert.deepEqual(end.arrived, { files: [], folders: [] });
  assert.equal(end.counts?.files, 3);
}

Deno.test("two jobs by different methods in one session, and nothing of the first leaks into the second", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const { signal } = new AbortController();
    const signaling = await enterRoom(test, worker);
    const connection = await connectTo(
      signaling,
      worker.peerId,
      { timeoutMs: 10_000, roomSecret: undefined, iceServers: [], relayOnly: false, onInfo: () => {} },
      signal,
    );
    const conversation = new Conversation(connection.pipe);
    const storage = [{ name: "vast", basePath: test.clientMount, type: "local", description: "" }];
    const resolver = new StorageResolver(new StorageConfig(storage));
    const run = async (packagePath: string, attempt: Attempt, outputDir: string): Promise<JobEnd> => {
      const inbox = await Deno.makeTempDir({ dir: test.folder });
      const common = { jobId: newJobId(), isOurs: true, features: [], screen: SILENT, signal };
      const { link } = connection;
      const ours = {
        packagePath,
        script: undefined,
        kind: "train",
        outputDir,
        resolver,
        conversation,
        link,
      } as const;
      await submit({ ...common, ...ours }, attempt);
      const rtc = attempt.method === "rtc";
      return await followJob(conversation, { ...common, rtc, inbox, onStart: () => {} });
    };
    try {
      const shared = await packageIn(join(test.clientMount, "alice"));
      const elsewhere = await packageIn(test.home, {}, "other.zip");
      const inPlace: Attempt = { method: "in place", backend: "vast", why: "" };
      const rtc: Attempt = { method: "rtc", why: "" };
      assertNothingArrived(await run(shared, inPlace, dirname(shared)));
      const second = await run(elsewhere, rtc, test.home);
      assert.equal(second.type, "complete");
      assert.match(second.type === "complete" ? second.arrived.folders.join() : "", /results-1$/);
      // The first job's storage saw nothing of the second, and a third may go back to it.
      const run1 = "minimal_instance.centroid";
      assert.deepEqual(await namesIn(join(test.storage, "alice/models")), [run1]);
      assertNothingArrived(await run(shared, inPlace, dirname(shared)));
      assert.deepEqual(await namesIn(join(test.storage, "alice/models")), [run1, `${run1}-2`]);
    } finally {
      await connection.close();
      signaling.close();
    }
  }));

Deno.test("a worker that does not answer the storage flow gets the package over the channel", () =>
  withLab(async (test) => {
    const signal = AbortSignal.timeout(60_000);
    const identity = await signIn(test.lab.httpUrl, signal);
    const room = await createRoom(test.lab.httpUrl, identity, signal);
    const metadata = { tags: ["sleap-rtc"], properties: { status: "available", storage_backends: ["vast"] } };
    const options = {
      url: test.lab.wsUrl,
      identity,
      room,
      timeoutMs: 10_000,
      metadata,
      role: "worker",
    } as const;
    const signaling = await SignalingClient.connect(options);
    const seen: string[] = [];
    const served = new Promise<void>((resolve, reject) => {
      signaling.listen((message) => {
        if (message.type !== "offer") return;
        answerSilently(message.sdp, (sdp) => {
          signaling.send({ type: "answer", sender: identity.peerId, target: message.sender, sdp });
        }, seen).then(resolve, reject);
      });
    });
    try {
      const path = await packageIn(join(test.clientMount, "alice"));
      const args = ["train", path, "--room-id", room.roomId, "--token", room.token];
      const run = await test.lab.runClient(clientConfig(test), args);
      await served;
      assert.equal(run.code, 0, run.stderr);
      assert.equal(run.summary?.method, "rtc");
      const why = run.events.flatMap((event) => event.event === "method" ? [event.why] : []);
      assert.match(why.at(-1) ?? "", /did not answer STORAGE_BACKEND within 5 s/);
      assert.equal(seen[0], "STORAGE_BACKEND::vast");
      assert.ok(seen.includes("END_OF_FILE"));
    } finally {
      signaling.close();
    }
  }));

/** A worker that knows nothing but the chunk flow, and has no results. */
async function answerSilently(
  offer: string,
  sendAnswer: (sdp: string) => void,
  seen: string[],
): Promise<void> {
  const { peer, sdp } = await Peer.answer(offer);
  try {
    sendAnswer(sdp);
    const channel = await peer.channel;
    for await (const message of channel) {
      if (typeof message !== "string") continue;
      seen.push(message);
      if (message !== "END_OF_FILE") continue;
      for (const text of ["TRAIN_JOB_START::a", "TRAIN_JOB_END::a", "TRAINING_JOBS_DONE"]) {
        await channel.send(text);
      }
      await channel.send("JOB_COMPLETE::None::.");
    }
  } finally {
    peer.close();
  }
}
