import assert from "node:assert/strict";
import { createRoom, type Json, registration, TestPeer, tokenFor, withServer } from "./test_peer.ts";

const ROLES = ["worker", "client", "peer"];

/** Every message that one peer can send about another, in the name of `from`. */
function messages(from: string, to: string, room: string): Json[] {
  const [pair, mesh] = [{ sender: from, target: to }, { from_peer_id: from, target_peer_id: to }];
  const payload = { app_message_type: "job_request", secret: "crosses" };
  return [
    { type: "offer", ...pair, sdp: "crosses" },
    { type: "answer", ...pair, sdp: "crosses" },
    { type: "candidate", ...pair, candidate: "crosses" },
    { type: "quit", ...pair },
    { type: "relay", ...pair, data: "crosses" },
    { type: "error", target: to, reason: "crosses" },
    { type: "peer_message", from_peer_id: from, to_peer_id: to, payload },
    { type: "mesh_connect", ...mesh, offer: payload },
    { type: "mesh_answer", ...mesh, answer: payload },
    { type: "ice_candidate", ...mesh, candidate: payload },
    { type: "update_metadata", peer_id: to, metadata: { properties: { status: "crosses" } } },
    { type: "discover_peers", from_peer_id: from, filters: { room_id: room } },
    { type: "discover_peers", from_peer_id: to, filters: {} },
    { type: "job_withdraw", job: "job-of-the-other" },
    { type: "job_answer", job: "job-of-the-other", accepted: true },
    { type: "job_report", job: "job-of-the-other", state: "done" },
    { type: "unknown", ...pair, ...mesh },
  ];
}

/** All that arrives until the answer to a message that nobody knows. */
async function heard(peer: TestPeer): Promise<Json[]> {
  const found: Json[] = [];
  for (let next = await peer.ask({ type: "marker" }); next["message"] !== "Unknown message type: marker";) {
    found.push(next);
    next = await peer.next();
  }
  return found;
}

Deno.test("nothing that any peer sends crosses from one room to another, whatever the roles and the names", () =>
  withServer(async (server) => {
    const [here, there] = [await createRoom(server), await createRoom(server)];
    const peers: TestPeer[] = [];
    const join = async (room: typeof here, id: string, role: string): Promise<TestPeer> => {
      const peer = await TestPeer.open(server.wsUrl);
      peers.push(peer);
      const metadata = { properties: { status: `of ${id}` } };
      const answer = await peer.ask(await registration(room, id, { role, metadata, is_admin: false }));
      assert.equal(answer["type"], "registered_auth");
      assert.doesNotMatch(JSON.stringify(answer), id.startsWith("a") ? /of b/ : /of a/);
      return peer;
    };
    const senders = await Promise.all(ROLES.map((role) => join(here, `a-${role}`, role)));
    const others = await Promise.all(ROLES.map((role) => join(there, `b-${role}`, role)));
    for (const [index, sender] of senders.entries()) {
      for (const target of ROLES) {
        // Under its own name, and under one of the other room.
        for (const name of [`a-${ROLES[index]}`, `b-${target}`]) {
          for (const message of messages(name, `b-${target}`, there.roomId)) sender.send(message);
        }
      }
      for (const answer of await heard(sender)) {
        assert.doesNotMatch(
          JSON.stringify(answer),
          /crosses|of b/,
          "the sender learns nothing of the other room",
        );
      }
    }
    for (const other of others) assert.deepEqual(await heard(other), []);
    const list = await others[0]!.ask({ type: "discover_peers", from_peer_id: "b-worker", filters: {} });
    // They came at once, in no order.
    const seen = new Map((list["peers"] as Json[]).map(({ peer_id, metadata }) => [peer_id, metadata]));
    assert.deepEqual(
      seen,
      new Map(["b-client", "b-peer"].map((id) => [id, { properties: { status: `of ${id}` } }])),
    );
    await Promise.all(peers.map((peer) => peer.close()));
  }));

Deno.test("the token of one room opens no other, and a peer of one takes no name in another", () =>
  withServer(async (server) => {
    const [here, there] = [await createRoom(server), await createRoom(server)];
    const victim = await TestPeer.open(server.wsUrl);
    await victim.ask(await registration(there, "victim", { role: "worker" }));
    const intruder = await TestPeer.open(server.wsUrl);
    await intruder.ask(await registration(here, "intruder"));
    const attempts: Json[] = [
      await registration({ ...there, token: here.token }, "intruder"),
      await registration({ ...here, roomId: there.roomId }, "victim", {
        id_token: await tokenFor(server, "intruder"),
      }),
      await registration(there, "victim", { id_token: await tokenFor(server, "intruder") }),
    ];
    for (const attempt of attempts) assert.equal((await intruder.ask(attempt))["type"], "error");
    assert.deepEqual(await intruder.discover("intruder"), [], "it is still where it was");
    assert.deepEqual(await heard(victim), []);
    await Promise.all([victim.close(), intruder.close()]);
  }));
