import assert from "node:assert/strict";
import { MemoryStore } from "../../signaling/store.ts";
import { Tokens } from "../../signaling/token.ts";
import { createRoom, post, signIn, withRoom, withServer } from "./test_peer.ts";

Deno.test("sign-in gives a token and a fresh user name, with an empty body", () =>
  withServer(async ({ httpUrl }) => {
    const first = await post(`${httpUrl}/anonymous-signin`);
    const second = await post(`${httpUrl}/anonymous-signin`);
    assert.equal(first.status, 200);
    assert.deepEqual(Object.keys(first.body).sort(), ["id_token", "username"]);
    assert.match(String(first.body["username"]), /^[0-9a-f]{8}-[0-9a-f-]{27}$/);
    assert.notEqual(first.body["username"], second.body["username"]);
  }));

Deno.test("create-room wants a token of this server", () =>
  withServer(async (server) => {
    const url = `${server.httpUrl}/create-room`;
    const missing = await post(url);
    assert.equal(missing.status, 422);
    assert.deepEqual(missing.body, {
      detail: [{ type: "missing", loc: ["header", "authorization"], msg: "Field required", input: null }],
    });
    const wrong = await post(url, { headers: { authorization: "Bearer nonsense" } });
    assert.equal(wrong.status, 401);
    assert.match(String(wrong.body["detail"]), /^Token verification failed: /);
    const foreign = (await (await Tokens.open(new MemoryStore())).issue()).idToken;
    assert.equal((await post(url, { headers: { authorization: `Bearer ${foreign}` } })).status, 401);
    const room = await createRoom(server);
    assert.deepEqual([room.roomId.length, room.token.length], [8, 6]);
  }));

Deno.test("delete-peer is always 200", () =>
  withRoom(async ({ server }, join) => {
    const url = `${server.httpUrl}/delete-peer`;
    const peer = await join("a");
    await peer.next();
    const deleted = await post(url, { body: { peer_id: "a" } });
    assert.deepEqual(deleted.body, { status: "peer deleted successfully. Room status: deleted" });
    const again = await post(url, { body: { peer_id: "a" } });
    assert.equal(again.status, 200);
    assert.equal((await post(url)).status, 422);
    const answer = await peer.ask({ type: "discover_peers", from_peer_id: "a", filters: {} });
    assert.equal(answer["code"], "NOT_IN_ROOM");
  }));

Deno.test("delete-peers-and-room goes by room first, else by peer", () =>
  withRoom(async ({ server, roomId }, join) => {
    const url = `${server.httpUrl}/delete-peers-and-room`;
    for (const id of ["a", "b"]) await (await join(id)).next();
    const status = async (body: unknown): Promise<unknown> => (await post(url, { body })).body["status"];
    assert.equal(await status({ peer_id: "nobody" }), "peer not found");
    assert.equal(await status({ peer_id: "a" }), "peer deleted successfully");
    assert.equal(await status({ room_id: roomId, peer_id: "nobody" }), "peer deleted successfully");
    assert.equal(await status({ room_id: roomId }), "room not found");
    assert.deepEqual(await (await join("c")).next(), { type: "error", reason: "Room not found" });
  }));

Deno.test("health, metrics and unknown paths", () =>
  withRoom(async ({ server }, join) => {
    await (await join("w", { role: "worker" })).next();
    const health = await (await fetch(`${server.httpUrl}/health`)).json();
    assert.deepEqual([health.status, health.version], ["healthy", "2.0.0"]);
    assert.ok(!Number.isNaN(Date.parse(health.timestamp)));
    const { timestamp: _, ...metrics } = await (await fetch(`${server.httpUrl}/metrics`)).json();
    assert.deepEqual(metrics, {
      active_rooms: 1,
      active_connections: 1,
      peers_by_role: { worker: 1 },
      total_connections: 1,
      total_messages: 1,
      rooms_created: 1,
    });
    const unknown = await fetch(`${server.httpUrl}/nothing`);
    assert.equal(unknown.status, 404);
    assert.deepEqual(await unknown.json(), { detail: "Not Found" });
  }));

Deno.test("both ports take the HTTP API; a large body is refused", () =>
  withServer(async (server) => {
    const onWebSocketPort = server.wsUrl.replace("ws:", "http:");
    assert.equal((await post(`${onWebSocketPort}/anonymous-signin`)).status, 200);
    assert.ok(await signIn(server));
    const large = await post(`${server.httpUrl}/delete-peer`, { body: { peer_id: "x".repeat(70_000) } });
    assert.equal(large.status, 413);
  }));
