import assert from "node:assert/strict";
import { createRoom, type Join, type Json, registration, TestPeer, withRoom } from "./test_peer.ts";

async function pair(join: Join): Promise<{ client: TestPeer; worker: TestPeer }> {
  const worker = await join("w", {
    role: "worker",
    metadata: { tags: ["sleap-rtc"], properties: { status: "available", storage_backends: ["vast"] } },
  });
  await worker.next();
  const client = await join("c", { role: "client" });
  await client.next();
  return { client, worker };
}

function codeError(code: string, message: string): Json {
  return { type: "error", code, message };
}

Deno.test("discovery filters within the room and leaves out who asks", () =>
  withRoom(async (_room, join) => {
    const { client } = await pair(join);
    const properties = { status: "available", storage_backends: { $contains: "vast" } };
    assert.deepEqual(await client.discover("c", { role: "worker", tags: ["sleap-rtc"], properties }), ["w"]);
    assert.deepEqual(await client.discover("c", { role: "client" }), []);
    assert.deepEqual(await client.discover("c", { properties: { status: { $gte: 3 } } }), []);
    assert.deepEqual(
      await client.ask({ type: "discover_peers", from_peer_id: "w", filters: {} }),
      codeError("NOT_IN_ROOM", "Peer not registered in any room"),
    );
  }));

Deno.test("metadata updates merge and keep the tags", () =>
  withRoom(async (_room, join) => {
    const { client, worker } = await pair(join);
    const update = { type: "update_metadata", peer_id: "w", metadata: { properties: { status: "busy" } } };
    assert.deepEqual(await worker.ask(update), {
      type: "metadata_updated",
      peer_id: "w",
      metadata: { tags: ["sleap-rtc"], properties: { status: "busy", storage_backends: ["vast"] } },
    });
    assert.deepEqual(await client.discover("c", { tags: ["sleap-rtc"] }), ["w"]);
    assert.deepEqual(await client.ask(update), codeError("NOT_IN_ROOM", "Peer not in any room"));
    assert.deepEqual(
      await worker.ask({ type: "update_metadata", peer_id: "w" }),
      codeError("INVALID_MESSAGE", "Missing required fields: peer_id, metadata"),
    );
  }));

Deno.test("offers, answers, candidates and quits arrive as they were sent", () =>
  withRoom(async (_room, join) => {
    const { client, worker } = await pair(join);
    for (const type of ["offer", "answer", "candidate", "quit"]) {
      const message = {
        type,
        sender: "c",
        target: "w",
        sdp: "v=0",
        sleap_rtc: { version: "1", features: [] },
      };
      client.send(message);
      assert.deepEqual(await worker.next(), message);
    }
  }));

Deno.test("what cannot be relayed is dropped without an answer", () =>
  withRoom(async (_room, join) => {
    const { client, worker } = await pair(join);
    client.send({ type: "offer", sender: "c", sdp: "no target" });
    client.send({ type: "offer", target: "w", sdp: "no sender" });
    client.send({ type: "offer", sender: "c", target: "nobody", sdp: "" });
    client.send({ type: "offer", sender: "w", target: "w", sdp: "not mine" });
    await client.assertSilent();
    await worker.assertSilent();
  }));

Deno.test("peer messages are relayed or answered by the right error", () =>
  withRoom(async (room, join) => {
    const { client, worker } = await pair(join);
    const message = { type: "peer_message", from_peer_id: "c", to_peer_id: "w", payload: { a: [1] } };
    client.send(message);
    assert.deepEqual(await worker.next(), message);
    const missing = codeError(
      "INVALID_MESSAGE",
      "Missing required fields: from_peer_id, to_peer_id, payload",
    );
    assert.deepEqual(await client.ask({ ...message, payload: {} }), missing);
    assert.deepEqual(await client.ask({ ...message, to_peer_id: undefined }), missing);
    assert.deepEqual(
      await client.ask({ ...message, from_peer_id: "w" }),
      codeError("NOT_IN_ROOM", "Sender not in any room"),
    );
    assert.deepEqual(
      await client.ask({ ...message, to_peer_id: "nobody" }),
      codeError("PEER_NOT_FOUND", "Target peer nobody not found"),
    );
    const elsewhere = await TestPeer.open(room.server.wsUrl);
    await elsewhere.ask(await registration(await createRoom(room.server), "far"));
    assert.deepEqual(
      await client.ask({ ...message, to_peer_id: "far" }),
      codeError("PEER_NOT_IN_ROOM", "Target peer far not in same room"),
    );
    await elsewhere.close();
  }));

Deno.test("mesh messages are renamed and relayed", () =>
  withRoom(async (_room, join) => {
    const { client: a, worker: b } = await pair(join);
    const ids = { from_peer_id: "c", target_peer_id: "w" };
    const offer = { sdp: "v=0", type: "offer" };
    const answer = { sdp: "v=0", type: "answer" };
    const candidate = { candidate: "", sdpMLineIndex: 0, sdpMid: "0" };
    a.send({ type: "mesh_connect", ...ids, offer });
    assert.deepEqual(await b.next(), { type: "mesh_offer", from_peer_id: "c", offer });
    a.send({ type: "mesh_answer", ...ids, answer });
    assert.deepEqual(await b.next(), { type: "mesh_answer", from_peer_id: "c", answer });
    a.send({ type: "ice_candidate", ...ids, candidate });
    assert.deepEqual(await b.next(), { type: "ice_candidate", from_peer_id: "c", candidate });
  }));

Deno.test("mesh messages to nobody have each their own answer", () =>
  withRoom(async (_room, join) => {
    const { client } = await pair(join);
    const ids = { from_peer_id: "c", target_peer_id: "x" };
    const description = { sdp: "", type: "" };
    assert.deepEqual(await client.ask({ type: "mesh_connect", ...ids, offer: description }), {
      type: "error",
      reason: "peer_not_found",
      target_peer_id: "x",
    });
    assert.deepEqual(
      await client.ask({ type: "mesh_answer", ...ids, answer: description }),
      codeError("PEER_NOT_FOUND", "Target peer x not found"),
    );
    client.send({ type: "ice_candidate", ...ids, candidate: { candidate: "" } });
    await client.assertSilent();
    const parts = { mesh_connect: "offer", mesh_answer: "answer", ice_candidate: "candidate" };
    for (const [type, part] of Object.entries(parts)) {
      assert.deepEqual(
        await client.ask({ type, ...ids }),
        codeError("INVALID_MESSAGE", `Missing required fields: from_peer_id, target_peer_id, ${part}`),
      );
      assert.deepEqual(
        await client.ask({ type, from_peer_id: "w", target_peer_id: "c", [part]: description }),
        codeError("NOT_IN_ROOM", "Sender not in any room"),
      );
    }
  }));

Deno.test("a busy worker's refusal reaches the client, errors never reach a worker", () =>
  withRoom(async (_room, join) => {
    const { client, worker } = await pair(join);
    const refusal = {
      type: "error",
      target: "c",
      reason: "worker_busy",
      message: "",
      current_status: "busy",
    };
    worker.send(refusal);
    assert.deepEqual(await client.next(), refusal);
    const unknown = codeError("UNKNOWN_MESSAGE_TYPE", "Unknown message type: error");
    assert.deepEqual(await client.ask({ ...refusal, target: "w" }), unknown);
    assert.deepEqual(await worker.ask({ type: "error" }), unknown);
    await worker.assertSilent();
  }));

Deno.test("what is no JSON object and unknown types are told", () =>
  withRoom(async (_room, join) => {
    const peer = await join("p");
    await peer.next();
    const invalid = codeError("INVALID_JSON", "Invalid JSON format");
    for (const text of ["", "{", "7", "null", "[]", "[".repeat(200_000)]) {
      peer.sendText(text);
      assert.deepEqual(await peer.next(), invalid);
    }
    peer.sendBytes(new Uint8Array([123, 125]));
    assert.deepEqual(await peer.next(), invalid);
    for (const type of ["nonsense", "constructor"]) {
      const expected = codeError("UNKNOWN_MESSAGE_TYPE", `Unknown message type: ${type}`);
      assert.deepEqual(await peer.ask({ type }), expected);
    }
    assert.equal((await peer.ask({}))["message"], "Unknown message type: None");
  }));

Deno.test("one socket's messages are handled in order", () =>
  withRoom(async (room, join) => {
    const worker = await join("w", { role: "worker" });
    await worker.next();
    const track = await TestPeer.open(room.server.wsUrl);
    // Without waiting in between: the offer counts only when the registration before it is done.
    track.send(await registration(room, "t"));
    for (let i = 0; i < 20; i++) track.send({ type: "offer", sender: "t", target: "w", sdp: String(i) });
    for (let i = 0; i < 20; i++) assert.equal((await worker.next())["sdp"], String(i));
    assert.equal((await track.next())["type"], "registered_auth");
    await track.close();
  }));

Deno.test("a message of a mebibyte passes, a larger one closes the socket", () =>
  withRoom(async (_room, join) => {
    const { client, worker } = await pair(join);
    const message = (size: number): string => {
      const fields = { type: "peer_message", from_peer_id: "c", to_peer_id: "w", payload: { text: "" } };
      const empty = JSON.stringify(fields);
      return empty.replace('""', JSON.stringify("x".repeat(size - empty.length)));
    };
    client.sendText(message(1024 * 1024));
    assert.equal((await worker.next())["type"], "peer_message");
    client.sendText(message(1024 * 1024 + 1));
    assert.equal((await client.closed).code, 1009);
  }));
