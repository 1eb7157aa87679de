import assert from "node:assert/strict";
import { malformed, type Sender } from "../../scripts/bench/malformed.ts";
import { Dice } from "../../scripts/dice.ts";
import { LabProcess } from "../../scripts/local_lab.ts";
import { runArguments } from "../../scripts/programs.ts";
import { createRoom, type RoomKey, signIn } from "../../signaling/account.ts";
import { post, TestPeer } from "./test_peer.ts";

/** Messages in all; before the first measure of memory as many as in one round after it. */
const ROUNDS = 2;
const MESSAGES_PER_ROUND = 1_500;
/** So many at a time, between which is looked at the other peers. */
const BURST = 100;
/** The server may grow by so many MiB between the rounds. */
const GROWTH_MIB = 64;
const REQUESTS = 150;

interface Server {
  http: string;
  websocket: string;
}

/** A registered peer with its own identity. */
async function join({ http, websocket }: Server, room: RoomKey): Promise<{ peer: TestPeer; id: string }> {
  const { peerId, idToken } = await signIn(http, AbortSignal.timeout(30_000));
  const peer = await TestPeer.open(websocket);
  const key = { room_id: room.roomId, token: room.token };
  const answer = await peer.ask({ type: "register", peer_id: peerId, ...key, id_token: idToken });
  assert.equal(answer["type"], "registered_auth");
  return { peer, id: peerId };
}

/** Sends a burst, and waits until the server has handled it or has had enough. */
async function attack({ websocket }: Server, dice: Dice, sender: Sender): Promise<void> {
  const socket = new WebSocket(websocket);
  await new Promise((resolve, reject) => [socket.onopen, socket.onerror] = [resolve, reject]);
  const end = new Promise<void>((resolve) => {
    socket.onclose = (): void => resolve();
    socket.onmessage = ({ data }): void => void (/message type: marker"/.test(String(data)) && resolve());
  });
  const { peerId, idToken, roomId, token } = sender;
  socket.send(
    JSON.stringify({ type: "register", peer_id: peerId, room_id: roomId, token, id_token: idToken }),
  );
  for (let each = 0; each < BURST; each++) socket.send(malformed(dice, sender));
  socket.send(JSON.stringify({ type: "marker" }));
  await end;
  const closed = new Promise<void>((resolve) => socket.onclose = (): void => resolve());
  if (socket.readyState < WebSocket.CLOSED) {
    socket.close();
    await closed;
  }
}

/** Whatever the HTTP API gets, it answers, and not that it failed. */
async function request({ http }: Server, dice: Dice, sender: Sender): Promise<void> {
  const path = dice.pick([
    "anonymous-signin",
    "create-room",
    "delete-peer",
    "delete-peers-and-room",
    "admin/x",
    "%00",
  ]);
  const text = malformed(dice, sender);
  const headers = {
    authorization: dice.pick(["Bearer x", "", sender.idToken, "Bearer a.b.c"]),
    accept: "text/plain",
    // From elsewhere: who comes from a peer's own address may delete it.
    "x-forwarded-for": "198.51.100.1",
  };
  const method = dice.pick(["POST", "PUT", "DELETE"]);
  const response = await fetch(`${http}/${path}`, { method, headers, body: text });
  await response.body?.cancel();
  assert.ok(response.status < 500, `${method} ${path}: ${response.status}`);
}

async function residentMib(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

Deno.test({
  name: "thousands of malformed messages neither crash nor grow a server, nor hold up its other peers",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const flags = [
      "--host",
      "127.0.0.1",
      "--http-port",
      "0",
      "--ws-port",
      "0",
      "--json",
      "--trust-proxy",
      "--store",
      "memory",
    ];
    const process = new LabProcess([Deno.execPath(), ...runArguments("signaling/main.ts"), ...flags]);
    try {
      const server: Server = JSON.parse(await process.line(/"listening"/));
      const signal = AbortSignal.timeout(60_000);
      const identity = await signIn(server.http, signal);
      const [room, theirs] = [
        await createRoom(server.http, identity, signal),
        await createRoom(server.http, identity, signal),
      ];
      const [worker, client] = [await join(server, room), await join(server, room)];
      const sender: Sender = {
        ...identity,
        ...theirs,
        strangers: [worker.id, client.id, room.roomId, "nobody"],
      };
      const dice = new Dice(20_260_101);
      let after = 0;
      for (let round = 0; round <= ROUNDS; round++) {
        for (let sent = 0; sent < MESSAGES_PER_ROUND; sent += BURST) {
          const attacking = attack(server, dice, sender);
          const message = {
            type: "peer_message",
            from_peer_id: client.id,
            to_peer_id: worker.id,
            payload: { sent },
          };
          client.peer.send(message);
          assert.deepEqual(await worker.peer.next(), message);
          await attacking;
        }
        for (let each = 0; each < REQUESTS / ROUNDS; each++) await request(server, dice, sender);
        if (round === 0) after = await residentMib(process.pid);
      }
      const growth = await residentMib(process.pid) - after;
      assert.ok(growth < GROWTH_MIB, `it grew by ${growth} MiB`);
      for (const { peer, id } of [worker, client]) assert.equal((await peer.discover(id)).length, 1);
      assert.doesNotMatch(process.output, /could not be handled|Internal|failed:/);
      assert.equal((await post(`${server.http}/anonymous-signin`)).status, 200);
      await Promise.all([worker.peer.close(), client.peer.close()]);
    } finally {
      process.kill("SIGTERM");
      await process.exited();
    }
  },
});
