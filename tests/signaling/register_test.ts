import assert from "node:assert/strict";
import { createRoom, registration, TestPeer, withRoom, withServer } from "./test_peer.ts";

const worker = {
  role: "worker",
  is_admin: true,
  metadata: { tags: ["sleap-rtc"], properties: { status: "available", storage_backends: ["vast"] } },
};

Deno.test("a lone worker gets all nine fields and is admin", () =>
  withRoom(async ({ roomId, token }, join) => {
    const peer = await join("w", worker);
    assert.deepEqual(await peer.next(), {
      type: "registered_auth",
      room_id: roomId,
      token,
      peer_id: "w",
      admin_peer_id: "w",
      peer_list: [],
      peer_metadata: {},
      ice_servers: [],
      mesh_ice_servers: [],
    });
  }));

Deno.test("ICE servers are told, without keys that end a Python client", () => {
  const server = { urls: "turn:host:3478", username: "u", credential: "c", priority: 1 };
  return withServer(async (signaling) => {
    const peer = await TestPeer.open(signaling.wsUrl);
    const answer = await peer.ask(await registration(await createRoom(signaling), "a"));
    assert.deepEqual(answer["ice_servers"], [{ urls: "turn:host:3478", username: "u", credential: "c" }]);
    await peer.close();
  }, [server]);
});

Deno.test("a bare track client is a peer without metadata", () =>
  withRoom(async (_room, join) => {
    await (await join("track")).next();
    const other = await join("other");
    await other.next();
    const list = await other.ask({ type: "discover_peers", from_peer_id: "other", filters: {} });
    const [found] = list["peers"] as Record<string, unknown>[];
    assert.ok(found);
    const { connected_at, ...rest } = found;
    assert.deepEqual(rest, { peer_id: "track", role: "peer", metadata: {} });
    assert.equal(typeof connected_at, "number");
    assert.deepEqual([list["to_peer_id"], list["count"]], ["other", 1]);
  }));

Deno.test("a second admin is told of the conflict, then registered", () =>
  withRoom(async ({ roomId }, join) => {
    await (await join("first", worker)).next();
    const second = await join("second", worker);
    assert.deepEqual(await second.next(), {
      type: "admin_conflict",
      room_id: roomId,
      current_admin: "first",
    });
    const answer = await second.next();
    assert.deepEqual([answer["type"], answer["admin_peer_id"]], ["registered_auth", "first"]);
    assert.deepEqual(answer["peer_list"], ["first"]);
    assert.deepEqual(answer["peer_metadata"], { first: worker.metadata });
  }));

Deno.test("a worker is not told of clients", () =>
  withRoom(async (_room, join) => {
    await (await join("c", { role: "client" })).next();
    const answer = await (await join("w", worker)).next();
    assert.deepEqual([answer["peer_list"], answer["peer_metadata"]], [[], {}]);
    const client = await (await join("c2", { role: "client" })).next();
    assert.deepEqual(client["peer_list"], ["c", "w"]);
  }));

Deno.test("registering again on the same socket keeps the backends", () =>
  withRoom(async (room, join) => {
    const peer = await join("w", worker);
    await peer.next();
    const metadata = { tags: ["sleap-rtc"], properties: { status: "busy" } };
    const again = await peer.ask(await registration(room, "w", { role: "worker", is_admin: true, metadata }));
    assert.deepEqual([again["type"], again["admin_peer_id"]], ["registered_auth", "w"]);
    const client = await join("c", { role: "client" });
    const answer = await client.next();
    assert.deepEqual(answer["peer_metadata"], {
      w: { tags: ["sleap-rtc"], properties: { status: "busy", storage_backends: ["vast"] } },
    });
  }));

Deno.test("what is wrong with a registration is told exactly", () =>
  withRoom(async (room, join) => {
    const peer = await join("w", { token: "wrong!" });
    assert.deepEqual(await peer.next(), { type: "error", reason: "Invalid token" });
    const good = await registration(room, "w");
    const refused = { type: "error", reason: "Missing required fields during registration." };
    for (const field of ["peer_id", "room_id", "token", "id_token"]) {
      assert.deepEqual(await peer.ask({ ...good, [field]: "" }), refused);
      assert.deepEqual(await peer.ask({ ...good, [field]: undefined }), refused);
    }
    assert.deepEqual(await peer.ask({ ...good, room_id: "nowhere" }), {
      type: "error",
      reason: "Room not found",
    });
    assert.deepEqual(await peer.ask({ ...good, id_token: "nonsense" }), { error: "Invalid token" });
    assert.equal((await peer.ask(good))["type"], "registered_auth");
  }));

Deno.test("a late close of the old socket leaves the newer registration", () =>
  withRoom(async (_room, join) => {
    const old = await join("w", worker);
    await old.next();
    const fresh = await join("w", worker);
    await fresh.next();
    const offer = { type: "offer", sender: "w", target: "w", sdp: "from the old socket" };
    old.send(offer);
    await old.assertSilent();
    await old.close();
    const client = await join("c", { role: "client" });
    await client.next();
    assert.deepEqual(await client.discover("c"), ["w"]);
    client.send({ ...offer, sender: "c", sdp: "for the new one" });
    assert.equal((await fresh.next())["sdp"], "for the new one");
  }));

Deno.test("a peer is gone when its socket has closed", () =>
  withRoom(async (_room, join) => {
    const worker = await join("w");
    await worker.next();
    const client = await join("c");
    await client.next();
    assert.deepEqual(await client.discover("c"), ["w"]);
    await worker.close();
    // The server may see the close a little later than the worker.
    let found = ["w"];
    for (let i = 0; i < 1000 && found.length > 0; i++) found = await client.discover("c");
    assert.deepEqual(found, []);
  }));
