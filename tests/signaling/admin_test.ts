import assert from "node:assert/strict";
import { ConfigError } from "../../config/user_error.ts";
import { startSignaling } from "../../signaling/server.ts";
import { MemoryStore } from "../../signaling/store.ts";
import {
  createRoom,
  type Json,
  post,
  registration,
  TestPeer,
  type TestRoom,
  tokenFor,
  withRoom,
  withServer,
} from "./test_peer.ts";

const KEY = "0123456789abcdef";

function act(
  httpUrl: string,
  action: string,
  body: Json,
  key = KEY,
): Promise<{ status: number; body: Json }> {
  return post(`${httpUrl}/admin/${action}`, { body, headers: { authorization: `Bearer ${key}` } });
}

Deno.test("a revoked peer is thrown out and does not come back; others stay", () =>
  withRoom(async (room, join) => {
    const [bad, good] = [await join("bad"), await join("good")];
    await Promise.all([bad.next(), good.next()]);
    const idToken = await tokenFor(room.server, "bad");
    const { status, body } = await act(room.server.httpUrl, "revoke-peer", { peer_id: "bad" });
    assert.deepEqual([status, body], [200, { peer_id: "bad", disconnected: 1 }]);
    const { code, reason } = await bad.closed;
    assert.deepEqual([code, reason], [1008, "closed by the administrator"]);
    const again = await join("bad", { id_token: idToken });
    assert.deepEqual(await again.next(), { error: "Invalid token" });
    const headers = { authorization: `Bearer ${idToken}` };
    const refused = await post(`${room.server.httpUrl}/create-room`, { headers });
    assert.deepEqual([refused.status, refused.body["detail"]], [
      401,
      "Token verification failed: the token was revoked",
    ]);
    assert.deepEqual(await good.discover("good"), []);
  }, { adminKey: KEY }));

Deno.test("a room gets a new token, and everybody has to learn it", () =>
  withRoom(async (room, join) => {
    const peer = await join("p");
    await peer.next();
    const { body } = await act(room.server.httpUrl, "renew-room-token", { room_id: room.roomId });
    assert.deepEqual([body["room_id"], body["disconnected"]], [room.roomId, 1]);
    assert.notEqual(body["token"], room.token);
    assert.equal((await peer.closed).code, 1008);
    const returning = await join("p");
    assert.deepEqual(await returning.next(), { type: "error", reason: "Invalid token" });
    const token = String(body["token"]);
    assert.equal(
      (await returning.ask(await registration({ ...room, token }, "p")))["type"],
      "registered_auth",
    );
  }, { adminKey: KEY }));

Deno.test("a room's new token is the one that outlives the server", async () => {
  const store = new MemoryStore();
  let room: TestRoom | undefined;
  await withServer(
    async (server) => {
      const { roomId } = await createRoom(server);
      const { body } = await act(server.httpUrl, "renew-room-token", { room_id: roomId });
      room = { server, roomId, token: String(body["token"]) };
    },
    [],
    { store, adminKey: KEY },
  );
  await withServer(
    async (server) => {
      assert.ok(room);
      const peer = await TestPeer.open(server.wsUrl);
      const answer = await peer.ask(await registration({ ...room, server }, "p"));
      assert.equal(answer["type"], "registered_auth");
      await peer.close();
    },
    [],
    { store },
  );
});

Deno.test("a room is deleted with all who are in it", () =>
  withRoom(async ({ server, roomId }, join) => {
    const peer = await join("p");
    await peer.next();
    const { body } = await act(server.httpUrl, "delete-room", { room_id: roomId });
    assert.deepEqual(body, { room_id: roomId, disconnected: 1 });
    assert.equal((await peer.closed).code, 1008);
    assert.deepEqual(await (await join("p")).next(), { type: "error", reason: "Room not found" });
    for (const action of ["delete-room", "renew-room-token"]) {
      assert.equal((await act(server.httpUrl, action, { room_id: roomId })).status, 404);
    }
  }, { adminKey: KEY }));

Deno.test("only who has the key is the administrator, and guessing is slowed down", () =>
  withServer(
    async ({ httpUrl }) => {
      const wrong = await act(httpUrl, "delete-room", { room_id: "r" }, "0123456789abcdeF");
      assert.deepEqual([wrong.status, wrong.body], [401, { detail: "Wrong admin key" }]);
      assert.equal((await post(`${httpUrl}/admin/delete-room`, { body: { room_id: "r" } })).status, 401);
      for (let each = 0; each < 18; each++) await act(httpUrl, "delete-room", {}, "wrong");
      assert.equal((await act(httpUrl, "delete-room", {}, "wrong")).status, 429);
      assert.equal((await act(httpUrl, "delete-room", {})).status, 422);
      assert.equal((await act(httpUrl, "revoke-peer", {})).status, 422);
    },
    [],
    { adminKey: KEY },
  ));

Deno.test("without a key there is no administrator; a key that could be guessed is refused", async () => {
  await withServer(async ({ httpUrl }) => {
    for (const key of ["", "undefined", KEY]) {
      assert.equal((await act(httpUrl, "delete-room", { room_id: "r" }, key)).status, 404);
    }
  });
  await assert.rejects(startSignaling({ httpPort: 0, wsPort: 0, adminKey: "short" }), ConfigError);
});

Deno.test("strangers delete neither peers nor rooms, though they know their ids", () =>
  withRoom(async ({ server, roomId }, join) => {
    const peer = await join("p");
    await peer.next();
    // The peer came from this machine itself; the requests come, as the proxy says, from elsewhere.
    const stranger = { "x-forwarded-for": "198.51.100.1" };
    const url = (path: string): string => `${server.httpUrl}/${path}`;
    const token = { authorization: `Bearer ${await tokenFor(server, "stranger")}` };
    for (const headers of [stranger, { ...stranger, ...token }, { ...stranger, authorization: "Bearer x" }]) {
      const one = await post(url("delete-peer"), { body: { peer_id: "p" }, headers });
      assert.deepEqual(one, {
        status: 200,
        body: { status: "peer deleted from Cognito (already removed from room)" },
      });
      const room = await post(url("delete-peers-and-room"), { body: { room_id: roomId }, headers });
      assert.deepEqual(room.body, { status: "room not found" });
      const other = await post(url("delete-peers-and-room"), { body: { peer_id: "p" }, headers });
      assert.deepEqual(other.body, { status: "peer not found" });
    }
    assert.deepEqual(await peer.discover("p"), []);
    const headers = { ...stranger, authorization: `Bearer ${await tokenFor(server, "p")}` };
    const own = await post(url("delete-peer"), { body: { peer_id: "p" }, headers });
    assert.deepEqual(own.body, { status: "peer deleted successfully. Room status: deleted" });
  }, { trustProxy: true }));
