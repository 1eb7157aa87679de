import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Channel } from "../../rtc/channel.ts";
import { RelayCarrier } from "../../rtc/relay_carrier.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { signIn } from "../../signaling/account.ts";
import { createRoom as openRoom } from "../../signaling/account.ts";
import { SignalingClient } from "../../signaling/client.ts";
import { relayPath } from "../../signaling/relay.ts";
import type { SignalingServer } from "../../signaling/server.ts";
import { readAll, take } from "../rtc/read.ts";
import { agreedKeys } from "../rtc/relay_pair.ts";
import { createRoom, type Join, registration, TestPeer, withRoom, withServer } from "./test_peer.ts";

const SIGNAL = new AbortController().signal;
const MIB = 1024 * 1024;
const soon = (ms = 0): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Two {
  client: SignalingClient;
  worker: SignalingClient;
  server: SignalingServer;
}

/** Runs a test with two signed-in peers of one room. */
function withTwo(test: (two: Two) => Promise<void>, relayLimit?: number): Promise<void> {
  return withServer(
    async (server) => {
      const identity = await signIn(server.httpUrl, SIGNAL);
      const room = await openRoom(server.httpUrl, identity, SIGNAL);
      const common = { url: server.wsUrl, room, metadata: {}, timeoutMs: 5_000 };
      const worker = await SignalingClient.connect({ ...common, identity, role: "worker" });
      const other = await signIn(server.httpUrl, SIGNAL);
      const client = await SignalingClient.connect({ ...common, identity: other, role: "client" });
      try {
        await test({ client, worker, server });
      } finally {
        client.close();
        worker.close();
      }
    },
    [],
    relayLimit === undefined ? {} : { relayLimit },
  );
}

/** The carriers of both, open. */
async function openCarriers({ client, worker }: Two): Promise<{ near: RelayCarrier; far: RelayCarrier }> {
  const keys = agreedKeys();
  const far = new RelayCarrier(relayPath(worker, client.peerId), keys.worker);
  const near = new RelayCarrier(relayPath(client, worker.peerId), keys.client);
  await Promise.all([near.opened, far.opened]);
  return { near, far };
}

/** Runs a test while every text of every socket, the server's too, goes through `change`. */
async function tapped(change: (text: string) => string[], test: () => Promise<void>): Promise<void> {
  const { prototype } = WebSocket;
  const original = prototype.send;
  prototype.send = function (data): void {
    for (const each of change(String(data))) original.call(this, each);
  };
  try {
    await test();
  } finally {
    prototype.send = original;
  }
}

Deno.test("relay: a channel through the server carries texts and bytes, and nobody between can read them", async () => {
  const seen: string[] = [];
  const spy = (text: string): string[] => {
    seen.push(text);
    return [text];
  };
  await tapped(spy, () =>
    withTwo(async (two) => {
      const { near, far } = await openCarriers(two);
      const [left, right] = [new Channel(near), new Channel(far)];
      const secret = "my secret path /vast/lab";
      const sent = [secret, new TextEncoder().encode(secret.repeat(1_000)), "", new Uint8Array()];
      for (const each of sent) await left.send(each);
      await right.send(secret);
      assert.deepEqual(await take(left, 1), [secret]);
      left.close();
      assert.deepEqual(await readAll(right), sent);
      const relayed = seen.filter((text) => text.includes('"relay"'));
      assert.ok(relayed.length >= 16, `${relayed.length} messages`);
      for (const text of seen) {
        const data = /"data":"([^"]*)"/.exec(text)?.[1] ?? "";
        for (const view of [text, Buffer.from(data, "base64").toString("latin1")]) {
          assert.ok(!view.includes("secret"));
        }
        // Nor anything that is as repetitive as what was sent.
        assert.ok(!/(.{12}).*\1.*\1/s.test(data.slice(22, 2_000)));
      }
    }));
});

Deno.test("relay: a server that alters, doubles, drops or invents a message ends the channel", async () => {
  const flip = (data: string): string => data.slice(0, 30) + (data[30] === "A" ? "B" : "A") + data.slice(31);
  const frauds: ((text: string, data: string) => string[])[] = [
    (text, data) => [text.replace(data, flip(data))],
    (text) => [text, text],
    () => [],
    (text, data) => [text.replace(data, data.slice(0, 22) + "B".repeat(42)), text],
  ];
  for (const fraud of frauds) {
    let isEvil = false;
    const change = (text: string): string[] => {
      const data = /"type":"relay".*"data":"([^"]*)"/.exec(text)?.[1];
      if (!isEvil || data === undefined) return [text];
      isEvil = false;
      return fraud(text, data);
    };
    await tapped(change, () =>
      withTwo(async (two) => {
        const { near, far } = await openCarriers(two);
        const received: unknown[] = [];
        far.onMessage((message) => received.push(message));
        isEvil = true;
        near.sendMessage("order one");
        if (fraud !== frauds[1]) near.sendMessage("order two");
        assert.ok(await far.closed instanceof ConnectionError);
        assert.ok(await near.closed instanceof ConnectionError);
        assert.deepEqual(received, fraud === frauds[1] ? ["order one"] : []);
      }));
  }
});

Deno.test("relay: other peers, of this room and of another, cannot put anything in", () =>
  withTwo(async (two) => {
    const { near, far } = await openCarriers(two);
    const { client, worker, server } = two;
    const received: unknown[] = [];
    far.onMessage((message) => received.push(message));
    const elsewhere = await TestPeer.open(server.wsUrl);
    await elsewhere.ask(await registration(await createRoom(server), "far"));
    const beside = await TestPeer.open(server.wsUrl);
    const { roomId, token } = client.room;
    await beside.ask(await registration({ server, roomId, token }, "beside"));
    const data = "AAAA".repeat(20);
    const message = { type: "relay", sender: client.peerId, target: worker.peerId, data };
    const error = { type: "error", relay: worker.peerId };
    for (const peer of [elsewhere, beside]) {
      assert.deepEqual(await peer.ask(message), {
        ...error,
        code: "NOT_IN_ROOM",
        message: "Sender not in any room",
      });
    }
    assert.deepEqual(await elsewhere.ask({ ...message, sender: "far" }), {
      ...error,
      code: "PEER_NOT_FOUND",
      message: `Target peer ${worker.peerId} not found`,
    });
    beside.send({ ...message, sender: "beside" });
    await beside.assertSilent();
    near.sendMessage("still here");
    near.close();
    assert.equal(await far.closed, undefined);
    assert.deepEqual(received, ["still here"]);
    await Promise.all([elsewhere.close(), beside.close()]);
  }));

Deno.test("relay: the server says why it does not relay", () =>
  withRoom(async (_room, join) => {
    const [a] = await twoPeers(join);
    const message = { type: "relay", sender: "a", target: "b", data: "" };
    const missing = { type: "error", code: "INVALID_MESSAGE" };
    for (const part of ["sender", "target", "data"]) {
      assert.deepEqual(await a.ask({ ...message, [part]: undefined }), {
        ...missing,
        message: "Missing required fields: sender, target, data",
      });
    }
    assert.deepEqual(await a.ask({ ...message, data: "x".repeat(128 * 1024) }), {
      ...missing,
      message: "Relayed message too large",
      relay: "b",
    });
    assert.equal((await a.ask({ ...message, target: "nobody" }))["code"], "PEER_NOT_FOUND");
  }));

Deno.test("relay: messages arrive as they were sent", () =>
  withRoom(async (_room, join) => {
    const [a, b] = await twoPeers(join);
    const message = { type: "relay", sender: "a", target: "b", data: "x".repeat(128 * 1024 - 64), more: 1 };
    a.send(message);
    assert.deepEqual(await b.next(), message);
  }));

async function twoPeers(join: Join): Promise<[TestPeer, TestPeer]> {
  const [a, b] = [await join("a"), await join("b")];
  await a.next();
  await b.next();
  return [a, b];
}

Deno.test("relay: a server with a limit of 0 refuses, and the opening fails", () =>
  withTwo(async ({ client, worker }) => {
    const carrier = new RelayCarrier(relayPath(client, worker.peerId), agreedKeys().client);
    await assert.rejects(carrier.opened, /did not relay: This server relays no data/);
  }, 0));

Deno.test("relay: with a server that does not know relaying the opening fails", () =>
  tapped(
    (text) => [text.replace('"type":"relay"', '"type":"unheard of"')],
    () =>
      withTwo(async ({ client, worker }) => {
        const carrier = new RelayCarrier(relayPath(client, worker.peerId), agreedKeys().client);
        await assert.rejects(carrier.opened, /server does not know how to relay/);
      }),
  ));

Deno.test("relay: a limit slows the relay, not the other peers, and loses nothing", () =>
  withTwo(async (two) => {
    const { near, far } = await openCarriers(two);
    const [left, right] = [new Channel(near), new Channel(far)];
    const started = performance.now();
    const chunk = new Uint8Array(65_536);
    for (let count = 0; count < 48; count++) await left.send(chunk);
    await two.worker.discover();
    const answeredMs = performance.now() - started;
    assert.equal((await take(right, 48)).length, 48);
    const tookMs = performance.now() - started;
    // 3 MiB are 4 MiB of text.
    assert.ok(tookMs > 450, `took ${tookMs} ms`);
    assert.ok(answeredMs < tookMs / 2, `answered after ${answeredMs} ms of ${tookMs}`);
    left.close();
    await right.closed;
  }, 8 * MIB));

Deno.test("relay: much more than the server holds arrives although its reader is slow", () =>
  withTwo(async (two) => {
    const { near, far } = await openCarriers(two);
    const [left, right] = [new Channel(near), new Channel(far)];
    const count = 640;
    const sending = (async (): Promise<void> => {
      for (let index = 0; index < count; index++) await left.send(new Uint8Array(65_536).fill(index));
      await left.flush();
    })();
    for (let index = 0; index < count; index++) {
      const message = await right.receive();
      assert.ok(message instanceof Uint8Array && message.length === 65_536 && message[7] === index % 256);
      // This thread is the server's and the sender's as well: all wait.
      if (index % 64 === 0) await soon(5);
    }
    await sending;
    left.close();
    await right.closed;
  }));

Deno.test("relay: a peer that leaves, or a lost socket, ends the channel", () =>
  withTwo(async (two) => {
    const first = await openCarriers(two);
    two.worker.close();
    assert.match(String(await first.far.closed), /connection to the signaling server is lost/);
    // The server may still be taking leave of the other one.
    const timer = setInterval(() => {
      try {
        first.near.sendMessage("anybody there?");
      } catch {
        clearInterval(timer);
      }
    }, 5);
    assert.match(String(await first.near.closed), /did not relay: (Target peer|Failed to deliver)/);
    clearInterval(timer);
    const late = new RelayCarrier(relayPath(two.client, two.worker.peerId), agreedKeys().client);
    await assert.rejects(late.opened, /Target peer .* not found/);
  }));

Deno.test("relay: a hundred channels, one after the other, leave no listener behind", () =>
  withTwo(async (two) => {
    let listeners = 0;
    for (const signaling of [two.client, two.worker]) {
      for (const method of ["listen", "listenGone"] as const) {
        const original = signaling[method].bind(signaling) as (listener: () => void) => () => void;
        signaling[method] = (listener: unknown): () => void => {
          listeners++;
          const stop = original(listener as () => void);
          return () => {
            listeners--;
            stop();
          };
        };
      }
    }
    for (let count = 0; count < 100; count++) {
      const { near, far } = await openCarriers(two);
      assert.equal(listeners, 6);
      const [one, other] = count % 2 ? [near, far] : [far, near];
      one.sendMessage("bye");
      one.close();
      assert.deepEqual(await readAll(new Channel(other)), ["bye"]);
    }
    assert.equal(listeners, 0);
  }));
