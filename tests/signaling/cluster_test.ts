import assert from "node:assert/strict";
import type { SignalingServer } from "../../signaling/server.ts";
import { HAS_REDIS, type TestRedis, withRedis } from "./redis.ts";
import { createRoom, type Json, registration, TestPeer, type TestRoom, withServer } from "./test_peer.ts";

const ignore = !HAS_REDIS;

/** Two servers on one Redis, and peers with either. */
interface Two {
  redis: TestRedis;
  servers: [SignalingServer, SignalingServer];
  /** A room made at the first server. */
  room: TestRoom;
  /** A registered peer with one of the servers. */
  join(index: 0 | 1, id: string, fields?: Json): Promise<TestPeer>;
}

function withTwo(test: (two: Two) => Promise<void>): Promise<void> {
  return withRedis(async (redis) => {
    const stores = [await redis.store(), await redis.store()] as const;
    const peers: TestPeer[] = [];
    const both = async (...servers: [SignalingServer, SignalingServer]): Promise<void> => {
      const room = await createRoom(servers[0]);
      const join: Two["join"] = async (index, id, fields = {}) => {
        const peer = await TestPeer.open(servers[index].wsUrl);
        peers.push(peer);
        const answer = await peer.ask(await registration(room, id, fields));
        assert.equal(answer["type"], "registered_auth", JSON.stringify(answer));
        return peer;
      };
      await test({ redis, servers, room, join }).finally(() =>
        Promise.all(peers.map((peer) => peer.close()))
      );
    };
    try {
      await withServer((first) => withServer((second) => both(first, second), [], { store: stores[1] }), [], {
        store: stores[0],
      });
    } finally {
      for (const store of stores) await store.close();
    }
  });
}

/** Asks until the peer sees exactly these others. */
async function sees(peer: TestPeer, id: string, others: string[]): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const found = (await peer.discover(id)).toSorted();
    if (JSON.stringify(found) === JSON.stringify(others)) return;
    assert.ok(performance.now() < deadline, `${id} sees ${found}, not ${others}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function test(name: string, fn: (two: Two) => Promise<void>): void {
  Deno.test({ name: `several servers: ${name}`, ignore, fn: () => withTwo(fn) });
}

test("a room made at one is there at the other, with its token and nobody else's", async ({ join, room, servers }) => {
  const worker = await join(0, "w", { role: "worker" });
  const client = await join(1, "c", { role: "client" });
  await sees(client, "c", ["w"]);
  await sees(worker, "w", ["c"]);
  const stranger = await TestPeer.open(servers[1].wsUrl);
  const wrong = await registration({ ...room, token: "wrong" }, "x");
  assert.equal((await stranger.ask(wrong))["reason"], "Invalid token");
  const nowhere = await registration({ ...room, roomId: "nowhere" }, "x");
  assert.equal((await stranger.ask(nowhere))["reason"], "Room not found");
  await stranger.close();
});

test("offers, answers and data cross in order, and who is gone is told of", async ({ join }) => {
  const worker = await join(0, "w", { role: "worker" });
  const client = await join(1, "c", { role: "client" });
  await sees(client, "c", ["w"]);
  await sees(worker, "w", ["c"]);
  for (let i = 0; i < 200; i++) client.send({ type: "offer", sender: "c", target: "w", sdp: `${i}` });
  for (let i = 0; i < 200; i++) assert.equal((await worker.next())["sdp"], `${i}`);
  worker.send({ type: "answer", sender: "w", target: "c", sdp: "v=0" });
  assert.deepEqual(await client.next(), { type: "answer", sender: "w", target: "c", sdp: "v=0" });
  const data = "x".repeat(60_000);
  for (let i = 0; i < 50; i++) worker.send({ type: "relay", sender: "w", target: "c", data: `${i}:${data}` });
  for (let i = 0; i < 50; i++) assert.equal((await client.next())["data"], `${i}:${data}`);
  client.send({ type: "peer_message", from_peer_id: "c", to_peer_id: "w", payload: { a: 1 } });
  assert.deepEqual((await worker.next())["payload"], { a: 1 });
  await worker.close();
  await sees(client, "c", []);
  const failure = await client.ask({ type: "relay", sender: "c", target: "w", data: "late" });
  assert.equal(failure["code"], "PEER_NOT_FOUND");
});

test("what a peer tells about itself is seen at the other, from the start and later", async ({ join, servers }) => {
  const metadata = { tags: ["a"], properties: { status: "available", storage_backends: ["vast"] } };
  const worker = await join(0, "w", { role: "worker", metadata });
  const client = await join(1, "c", { role: "client" });
  await sees(client, "c", ["w"]);
  const busy = { properties: { status: "busy" } };
  await worker.ask({ type: "update_metadata", peer_id: "w", metadata: busy });
  const deadline = performance.now() + 30_000;
  for (;;) {
    const list = await client.ask({ type: "discover_peers", from_peer_id: "c", filters: {} });
    const [peer] = list["peers"] as { metadata: { properties: Json } }[];
    if (peer?.metadata.properties["status"] === "busy") {
      assert.deepEqual(peer.metadata.properties["storage_backends"], ["vast"]);
      break;
    }
    assert.ok(performance.now() < deadline);
  }
  const health = await fetch(`${servers[0].httpUrl}/metrics`);
  await health.body?.cancel();
});

test("a peer that comes back over the other server is one peer, and its old socket is closed", async ({ join, room, servers }) => {
  const client = await join(0, "c", { role: "client" });
  const old = await join(0, "w", { role: "worker" });
  const identity = await registration(room, "w", { role: "worker" });
  const renewed = await TestPeer.open(servers[1].wsUrl);
  assert.equal((await renewed.ask(identity))["type"], "registered_auth");
  assert.equal((await old.closed).code, 4000);
  await sees(client, "c", ["w"]);
  await sees(renewed, "w", ["c"]);
  client.send({ type: "offer", sender: "c", target: "w", sdp: "to the new one" });
  assert.equal((await renewed.next())["sdp"], "to the new one");
  await renewed.close();
  await sees(client, "c", []);
});

test("rooms and peers outlive a Redis that is gone for a while, and comes back empty", async ({ join, redis, servers }) => {
  const [worker, client] = [await join(0, "w", { role: "worker" }), await join(1, "c", { role: "client" })];
  const near = await join(1, "n", { role: "worker" });
  await sees(client, "c", ["n", "w"]);
  await redis.kill();
  // Who is with the same server is reached all the same.
  client.send({ type: "offer", sender: "c", target: "n", sdp: "near" });
  assert.equal((await near.next())["sdp"], "near");
  const created = await createRoom(servers[0]).then(() => "made", () => "refused");
  assert.equal(created, "refused");
  await near.close();
  await redis.restart();
  const later = await join(0, "l", { role: "client" });
  await sees(client, "c", ["l", "w"]);
  await sees(worker, "w", ["c", "l"]);
  later.send({ type: "offer", sender: "l", target: "c", sdp: "far" });
  assert.equal((await client.next())["sdp"], "far");
});

const JOB = { id: "job-number-1", kind: "train", wait_s: 3600 };

test("a job goes to the worker of the other server, whichever leads the queue", async ({ join }) => {
  const worker = await join(0, "w", {
    role: "worker",
    metadata: { properties: { status: "available", supported_job_types: ["training"] } },
    sleap_rtc: { version: "1", features: ["queue"] },
  });
  const client = await join(1, "c", { role: "client", sleap_rtc: { version: "1", features: ["queue"] } });
  await sees(client, "c", ["w"]);
  client.send({ type: "job_submit", job: JOB });
  const offer = await worker.next();
  assert.equal(offer["type"], "job_offer", JSON.stringify(offer));
  worker.send({ type: "job_answer", job: JOB.id, accepted: true });
  for (;;) {
    const state = await client.next();
    assert.equal(state["type"], "job_state", JSON.stringify(state));
    if (state["state"] === "assigned") {
      assert.equal(state["worker"], "w");
      break;
    }
  }
});
