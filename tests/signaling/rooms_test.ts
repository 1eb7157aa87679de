import assert from "node:assert/strict";
import {
  type Connection,
  MAX_PEERS_PER_ROOM,
  MAX_WRONG_TOKENS,
  type RegisteredPeer,
  type Room,
  ROOM_LIFETIME_S,
  visiblePeers,
} from "../../signaling/room.ts";
import {
  EXPIRED_ROOM_KEPT_S,
  MAX_ROOMS,
  type Registration,
  type RegistrationResult,
  Rooms,
} from "../../signaling/rooms.ts";

/** Rooms, one of them, and a clock in milliseconds. */
class Fixture {
  now = 1_700_000_000_000;
  readonly rooms = new Rooms(() => this.now);
  readonly room = this.create();

  create(): Room {
    const room = this.rooms.create();
    assert.ok(room);
    return room;
  }

  register(peerId: string, fields: Partial<Registration> = {}, over = connection()): RegistrationResult {
    return this.rooms.register(over, {
      features: [],
      peerId,
      roomId: this.room.id,
      token: this.room.token,
      role: "worker",
      metadata: {},
      isAdmin: false,
      ...fields,
    });
  }

  join(peerId: string, fields: Partial<Registration> = {}, over = connection()): RegisteredPeer {
    const result = this.register(peerId, fields, over);
    assert.ok("peer" in result, JSON.stringify(result));
    return result.peer;
  }

  advance(seconds: number): void {
    this.now += seconds * 1000;
  }

  get ids(): string[] {
    return [...this.room.peers.keys()];
  }
}

function connection(): Connection {
  return { isOpen: true, send: () => true };
}

const vast = { properties: { storage_backends: ["vast"] } };

Deno.test("ids and tokens have their lengths, expiry is two hours off", () => {
  const { room, now } = new Fixture();
  assert.equal(room.id.length, 8);
  assert.equal(room.token.length, 6);
  assert.equal(room.expiresAt, now / 1000 + 7200);
});

Deno.test("unknown room, wrong token and expired room are refused", () => {
  const fixture = new Fixture();
  assert.deepEqual(fixture.register("a", { roomId: "none" }), { refusal: "Room not found" });
  assert.deepEqual(fixture.register("a", { token: "wrong" }), { refusal: "Invalid token" });
  fixture.advance(ROOM_LIFETIME_S);
  assert.deepEqual(fixture.register("b"), { refusal: "Room expired" });
  assert.deepEqual(fixture.ids, []);
});

Deno.test("a room does not expire while somebody is in it, and two hours after the last has left", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("worker", {}, over);
  fixture.advance(10 * ROOM_LIFETIME_S);
  const late = connection();
  fixture.join("client", {}, late);
  fixture.rooms.disconnect(late);
  fixture.rooms.disconnect(over);
  fixture.advance(ROOM_LIFETIME_S - 1);
  fixture.join("worker", {}, over);
  fixture.rooms.disconnect(over);
  fixture.advance(ROOM_LIFETIME_S);
  assert.deepEqual(fixture.register("client"), { refusal: "Room expired" });
});

Deno.test("a peer that is inside may register again after expiry", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("a", {}, over);
  fixture.advance(ROOM_LIFETIME_S);
  fixture.join("a", { metadata: { tags: ["again"] } }, over);
  assert.deepEqual(fixture.room.peers.get("a")?.metadata, { tags: ["again"] });
});

Deno.test("an empty room stays joinable until it expires", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("a", {}, over);
  assert.equal(fixture.rooms.active, 1);
  fixture.rooms.disconnect(over);
  assert.equal(fixture.rooms.active, 0);
  fixture.join("b");
  assert.deepEqual(fixture.ids, ["b"]);
});

Deno.test("a late close of the old socket leaves the newer registration", () => {
  const fixture = new Fixture();
  const [old, fresh] = [connection(), connection()];
  fixture.join("a", { isAdmin: true }, old);
  const peer = fixture.join("a", { isAdmin: true }, fresh);
  assert.equal(fixture.rooms.disconnect(old), undefined);
  assert.equal(fixture.rooms.peerOf(old), undefined);
  assert.equal(fixture.room.peers.get("a"), peer);
  assert.equal(fixture.room.adminPeerId, "a");
  assert.equal(fixture.rooms.disconnect(fresh), peer);
  assert.equal(fixture.rooms.disconnect(fresh), undefined);
});

Deno.test("a connection has one registration", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("a", {}, over);
  fixture.join("b", {}, over);
  assert.deepEqual(fixture.ids, ["b"]);
  const other = fixture.create();
  fixture.join("b", { roomId: other.id, token: other.token }, over);
  assert.deepEqual(fixture.ids, []);
  assert.equal(other.peers.size, 1);
});

Deno.test("a refused registration leaves the earlier one", () => {
  const fixture = new Fixture();
  const over = connection();
  const peer = fixture.join("a", {}, over);
  fixture.register("b", { token: "wrong" }, over);
  assert.equal(fixture.rooms.peerOf(over), peer);
});

Deno.test("the same peer id in another room is another peer", () => {
  const fixture = new Fixture();
  const other = fixture.create();
  fixture.join("a");
  fixture.join("a", { roomId: other.id, token: other.token });
  assert.deepEqual(fixture.ids, ["a"]);
  assert.ok(fixture.rooms.deletePeer("a"));
  assert.deepEqual([fixture.room.peers.size, other.peers.size], [0, 0]);
  assert.ok(!fixture.rooms.deletePeer("a"));
});

Deno.test("the first claimant is admin, a later one conflicts, the next one after it left gets it", () => {
  const fixture = new Fixture();
  const over = connection();
  assert.equal(conflict(fixture.register("a", { isAdmin: true }, over)), null);
  assert.equal(conflict(fixture.register("b", { isAdmin: true })), "a");
  assert.equal(fixture.room.adminPeerId, "a");
  fixture.rooms.disconnect(over);
  assert.equal(fixture.room.adminPeerId, null);
  assert.equal(conflict(fixture.register("c", { isAdmin: true })), null);
  assert.equal(fixture.room.adminPeerId, "c");
});

Deno.test("an admin steps down by registering without the claim, a client is never admin", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("a", { isAdmin: true }, over);
  fixture.join("a", {}, over);
  fixture.join("c", { isAdmin: true, role: "client" });
  assert.equal(fixture.room.adminPeerId, null);
});

function conflict(result: RegistrationResult): string | null {
  assert.ok("peer" in result);
  return result.conflictingAdmin;
}

Deno.test("a worker sees workers only, others see everybody else", () => {
  const fixture = new Fixture();
  const client = fixture.join("client", { role: "client" });
  const worker = fixture.join("worker");
  fixture.join("worker 2");
  assert.deepEqual(visiblePeers(worker).map((peer) => peer.peerId), ["worker 2"]);
  assert.deepEqual(visiblePeers(client).map((peer) => peer.peerId), ["worker", "worker 2"]);
});

Deno.test("backends survive a registration without them, over the same and over a new connection", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("stays");
  fixture.join("a", { metadata: vast }, over);
  const again = { metadata: { tags: ["t"], properties: { status: "available" } } };
  const expected = { tags: ["t"], properties: { status: "available", storage_backends: ["vast"] } };
  assert.deepEqual(fixture.join("a", again, over).metadata, expected);
  fixture.rooms.disconnect(over);
  assert.deepEqual(fixture.join("a", again).metadata, expected);
});

Deno.test("backends are forgotten with the last peer", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("a", { metadata: vast }, over);
  fixture.rooms.disconnect(over);
  assert.deepEqual(fixture.join("a").metadata, {});
});

Deno.test("metadata cannot grow without limit", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("a", {}, over);
  const part = (key: string) => ({ properties: { [key]: "x".repeat(40_000) } });
  assert.ok(fixture.rooms.updateMetadata(over, part("one")));
  assert.equal(fixture.rooms.updateMetadata(over, part("two")), undefined);
  assert.deepEqual(fixture.rooms.peerOf(over)?.metadata, part("one"));
  const large = { metadata: { properties: { x: "x".repeat(70_000) } } };
  assert.deepEqual(fixture.register("b", large), { refusal: "Metadata too large" });
});

Deno.test("many wrong tokens close a room to newcomers, not to who is inside", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("a", {}, over);
  for (let i = 0; i < MAX_WRONG_TOKENS; i++) fixture.register("guesser", { token: `${i}` });
  assert.deepEqual(fixture.register("b"), { refusal: "Invalid token" });
  fixture.join("a", {}, over);
});

Deno.test("a full room takes no newcomer", () => {
  const fixture = new Fixture();
  for (let i = 0; i < MAX_PEERS_PER_ROOM; i++) fixture.join(`peer ${i}`);
  assert.deepEqual(fixture.register("one more"), { refusal: "Room is full" });
  fixture.join("peer 0");
});

Deno.test("expired rooms are swept once nobody is in them", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("a", {}, over);
  fixture.create();
  fixture.advance(ROOM_LIFETIME_S + EXPIRED_ROOM_KEPT_S);
  fixture.rooms.sweep();
  assert.equal(fixture.rooms.size, 1);
  fixture.rooms.disconnect(over);
  fixture.advance(ROOM_LIFETIME_S + EXPIRED_ROOM_KEPT_S);
  fixture.rooms.sweep();
  assert.equal(fixture.rooms.size, 0);
});

Deno.test("there are only so many rooms, until some have expired", () => {
  const fixture = new Fixture();
  while (fixture.rooms.size < MAX_ROOMS) fixture.create();
  assert.equal(fixture.rooms.create(), undefined);
  fixture.advance(ROOM_LIFETIME_S + EXPIRED_ROOM_KEPT_S);
  fixture.create();
  assert.equal(fixture.rooms.size, 1);
  assert.equal(fixture.rooms.created, MAX_ROOMS + 1);
});

Deno.test("deleting a room unregisters its peers", () => {
  const fixture = new Fixture();
  const over = connection();
  fixture.join("a", {}, over);
  assert.ok(fixture.rooms.deleteRoom(fixture.room.id));
  assert.ok(!fixture.rooms.deleteRoom(fixture.room.id));
  assert.equal(fixture.rooms.peerOf(over), undefined);
  assert.deepEqual(fixture.register("a"), { refusal: "Room not found" });
});

Deno.test("peers are counted by role", () => {
  const fixture = new Fixture();
  fixture.join("a");
  fixture.join("b");
  fixture.join("c", { role: "client" });
  assert.deepEqual(fixture.rooms.countByRole(), { worker: 2, client: 1 });
});
