import assert from "node:assert/strict";
import { type Connection, ROOM_LIFETIME_S } from "../../signaling/room.ts";
import { RoomKeeper } from "../../signaling/room_keeper.ts";
import { EXPIRED_ROOM_KEPT_S, Rooms } from "../../signaling/rooms.ts";
import { MemoryStore, type Store } from "../../signaling/store.ts";

/** One store, and servers on it, one after the other. */
class Fixture {
  now = 1_700_000_000_000;
  readonly store: Store = new MemoryStore();

  async start(): Promise<{ rooms: Rooms; keeper: RoomKeeper }> {
    const rooms = new Rooms(() => this.now);
    return { rooms, keeper: await RoomKeeper.open(this.store, rooms) };
  }

  advance(seconds: number): void {
    this.now += seconds * 1000;
  }
}

function join(rooms: Rooms, roomId: string, token: string, peerId = "w", over = connection()): string {
  const request = { peerId, roomId, token, role: "worker", metadata: {}, isAdmin: false, features: [] };
  const result = rooms.register(over, request);
  return "refusal" in result ? result.refusal : "in";
}

function connection(): Connection {
  return { isOpen: true, send: () => true };
}

Deno.test("a room is there after a restart, with its token and its time", async () => {
  const fixture = new Fixture();
  const room = await (await fixture.start()).keeper.create();
  assert.ok(room);
  fixture.advance(ROOM_LIFETIME_S - 1);
  const { rooms } = await fixture.start();
  assert.equal(join(rooms, room.id, "wrong"), "Invalid token");
  assert.equal(join(rooms, room.id, room.token), "in");
});

Deno.test("an empty room expires, however often the server starts", async () => {
  const fixture = new Fixture();
  const room = await (await fixture.start()).keeper.create();
  assert.ok(room);
  fixture.advance(ROOM_LIFETIME_S);
  assert.equal(join((await fixture.start()).rooms, room.id, room.token), "Room expired");
  fixture.advance(EXPIRED_ROOM_KEPT_S);
  assert.equal(join((await fixture.start()).rooms, room.id, room.token), "Room not found");
  assert.equal((await fixture.store.all("room")).size, 0);
});

Deno.test("a room with somebody in it waits for them after a restart, however old it is", async () => {
  const fixture = new Fixture();
  const { rooms, keeper } = await fixture.start();
  const room = await keeper.create();
  assert.ok(room);
  assert.equal(join(rooms, room.id, room.token), "in");
  fixture.advance(10 * ROOM_LIFETIME_S);
  assert.equal(join((await fixture.start()).rooms, room.id, room.token), "in");
});

Deno.test("the time of a room counts from when the last one left", async () => {
  const fixture = new Fixture();
  const { rooms, keeper } = await fixture.start();
  const room = await keeper.create();
  assert.ok(room);
  const [first, second] = [connection(), connection()];
  join(rooms, room.id, room.token, "a", first);
  join(rooms, room.id, room.token, "b", second);
  rooms.disconnect(first);
  fixture.advance(5 * ROOM_LIFETIME_S);
  rooms.disconnect(second);
  fixture.advance(ROOM_LIFETIME_S - 1);
  assert.equal(join((await fixture.start()).rooms, room.id, room.token), "in");
  fixture.advance(1);
  const later = await fixture.start();
  assert.equal(join(later.rooms, room.id, room.token), "in", "the one who came was never seen to leave");
});

Deno.test("a room whose peers the stopping server sends away waits for them", async () => {
  const fixture = new Fixture();
  const { rooms, keeper } = await fixture.start();
  const room = await keeper.create();
  assert.ok(room);
  const over = connection();
  join(rooms, room.id, room.token, "a", over);
  keeper.stop();
  rooms.disconnect(over);
  fixture.advance(10 * ROOM_LIFETIME_S);
  assert.equal(join((await fixture.start()).rooms, room.id, room.token), "in");
});

Deno.test("a renewed token is the one that counts after a restart", async () => {
  const fixture = new Fixture();
  const { rooms, keeper } = await fixture.start();
  const room = await keeper.create();
  assert.ok(room);
  const old = room.token;
  const renewed = rooms.renewToken(room.id);
  assert.ok(renewed);
  const later = (await fixture.start()).rooms;
  assert.equal(join(later, room.id, old), "Invalid token");
  assert.equal(join(later, room.id, renewed.token), "in");
});

Deno.test("a deleted room is gone after a restart", async () => {
  const fixture = new Fixture();
  const { rooms, keeper } = await fixture.start();
  const room = await keeper.create();
  assert.ok(room);
  rooms.deleteRoom(room.id);
  assert.equal((await fixture.start()).rooms.size, 0);
});

Deno.test("what is no room is left out", async () => {
  const fixture = new Fixture();
  await fixture.store.put("room", "broken", { token: 5 });
  await fixture.store.put("room", "whole", { token: "secret", expires_at: null });
  const { rooms } = await fixture.start();
  assert.equal(rooms.size, 1);
  assert.equal(join(rooms, "whole", "secret"), "in");
});

Deno.test("a room that the store does not take is not handed out", async () => {
  const { store } = new Fixture();
  store.put = () => Promise.reject(new Error("disk full"));
  const rooms = new Rooms();
  const keeper = await RoomKeeper.open(store, rooms);
  await assert.rejects(keeper.create(), /disk full/);
  assert.equal(rooms.size, 0);
});
