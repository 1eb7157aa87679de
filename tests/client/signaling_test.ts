import assert from "node:assert/strict";
import { createRoom, signIn } from "../../signaling/account.ts";
import { jittered, SignalingClient, type SignalingOptions } from "../../signaling/client.ts";
import { SignalingError } from "../../signaling/signaling_error.ts";
import { peerGone } from "../../signaling/presence.ts";
import type { SignalingServer } from "../../signaling/server.ts";
import { withServer } from "../signaling/test_peer.ts";

const SIGNAL = new AbortController().signal;

async function options(
  server: SignalingServer,
  fields: Partial<SignalingOptions> = {},
): Promise<SignalingOptions> {
  const identity = await signIn(server.httpUrl, SIGNAL);
  const room = fields.room ?? await createRoom(server.httpUrl, identity, SIGNAL);
  const metadata = { tags: ["t"], properties: { status: "available" } };
  return { url: server.wsUrl, identity, timeoutMs: 2_000, role: "client", metadata, room, ...fields };
}

Deno.test("signaling: peers of a room find each other, and hear of changed properties", () =>
  withServer(async (server) => {
    const worker = await SignalingClient.connect(await options(server, { role: "worker" }));
    const client = await SignalingClient.connect(await options(server, { room: worker.room }));
    assert.ok(worker.isConnected);
    worker.updateProperties({ status: "busy" });
    await worker.next((message) => message.type === "metadata_updated" ? message : undefined);
    const [found] = await client.discover({ role: "worker" });
    assert.equal(found?.peer_id, worker.peerId);
    assert.deepEqual(found?.metadata?.properties?.["status"], "busy");
    worker.close();
    client.close();
    assert.equal(await worker.closed, undefined);
    assert.equal(worker.send({}), false);
  }));

Deno.test("signaling: who has left hears nothing more, also what the server answers to the last question", () =>
  withServer(async (server) => {
    const leaving = await SignalingClient.connect(await options(server));
    const staying = await SignalingClient.connect(await options(server, { room: leaving.room }));
    const heard: unknown[] = [];
    leaving.listen((message) => heard.push(message));
    leaving.send({ type: "no such question" });
    leaving.close();
    // Each answer of the server comes after those to what was asked before.
    while ((await staying.discover()).length > 0);
    await staying.discover();
    assert.deepEqual(heard, []);
    staying.close();
  }));

for (
  const [refusal, change] of [
    ["Room not found", { roomId: "nowhere" }],
    ["Invalid token", { token: "wrong" }],
  ] as const
) {
  Deno.test(`signaling: ${refusal} is an error with the server's word and a hint`, () =>
    withServer(async (server) => {
      const good = await options(server);
      const connecting = SignalingClient.connect({ ...good, room: { ...good.room, ...change } });
      await assert.rejects(
        connecting,
        (error) => error instanceof SignalingError && error.refusal === refusal && !!error.hint,
      );
    }));
}

Deno.test("signaling: a server that is not there is an error with a hint", async () => {
  const url = await withServerUrls();
  await assert.rejects(signIn(url.http, SIGNAL), (error) => error instanceof SignalingError && !!error.hint);
  const identity = { peerId: "p", idToken: "t" };
  const room = { roomId: "r", token: "t" };
  const fields = { identity, room, timeoutMs: 2_000, role: "client" as const, metadata: {} };
  await assert.rejects(
    SignalingClient.connect({ url: url.ws, ...fields }),
    (error) => error instanceof SignalingError && error.refusal === undefined && !!error.hint,
  );
  await assert.rejects(SignalingClient.connect({ url: "no url", ...fields }), SignalingError);
});

/** Addresses of a server that has been shut down. */
async function withServerUrls(): Promise<{ http: string; ws: string }> {
  let urls = { http: "", ws: "" };
  await withServer((server) => {
    urls = { http: server.httpUrl, ws: server.wsUrl };
    return Promise.resolve();
  });
  return urls;
}

Deno.test("signaling: next ends by its limit, by close and by an abort, also one that came before", () =>
  withServer(async (server) => {
    const client = await SignalingClient.connect(await options(server));
    const never = (): undefined => undefined;
    await assert.rejects(client.next(never, 1), /no answer within/);
    const reason = new Error("enough");
    const abort = new AbortController();
    const waiting = assert.rejects(client.next(never, 5_000, abort.signal), reason);
    abort.abort(reason);
    await waiting;
    await assert.rejects(client.next(never, 500, abort.signal), reason);
    const closing = assert.rejects(client.next(never, 5_000), SignalingError);
    client.close();
    await closing;
  }));

Deno.test("signaling: no two peers wait alike for a server that is away, and none much shorter than it should", () => {
  const pauses = Array.from({ length: 1000 }, () => jittered(8_000));
  assert.ok(pauses.every((ms) => ms >= 4_000 && ms <= 8_000));
  assert.ok(new Set(pauses.map(Math.round)).size > 500);
});

/** Runs a test in which every timer is due at once. */
async function withoutPauses(test: () => Promise<void>): Promise<void> {
  const original = globalThis.setTimeout;
  const hasty = (callback: () => void, ms = 0): unknown =>
    original(callback, ms === 5_000 ? ms : Math.min(ms, 5));
  globalThis.setTimeout = hasty as unknown as typeof setTimeout;
  try {
    await test();
  } finally {
    globalThis.setTimeout = original;
  }
}

Deno.test("signaling: a client whose socket is closed by the server comes back with its newest properties", () =>
  withServer(async (server) => {
    const sockets: WebSocket[] = [];
    const Original = globalThis.WebSocket;
    globalThis.WebSocket = class extends Original {
      constructor(url: string) {
        super(url);
        sockets.push(this);
      }
    } as typeof WebSocket;
    try {
      const heartbeat = { quietMs: 5_000, answerMs: 5_000 };
      const client = await SignalingClient.connect(await options(server, { timeoutMs: 5_000, heartbeat }));
      client.updateProperties({ status: "busy" });
      await client.next((message) => message.type === "metadata_updated" ? message : undefined);
      const closed = new Promise((resolve) => sockets[0]!.addEventListener("close", resolve));
      await withoutPauses(async () => {
        sockets[0]!.close(3000, "as if the server had gone");
        await closed;
        while (!client.isConnected) await new Promise((resolve) => setTimeout(resolve, 5));
      });
      const other = await SignalingClient.connect(await options(server, { room: client.room }));
      const [found] = await other.discover({});
      assert.equal(found?.peer_id, client.peerId);
      assert.equal(found?.metadata?.properties?.["status"], "busy");
      assert.equal(sockets.length, 3);
      client.close();
      other.close();
    } finally {
      globalThis.WebSocket = Original;
    }
  }));

/** A room as `peerGone` sees it. */
function room(
  isConnected: () => boolean,
  peers: () => string[],
): { signaling: SignalingClient; asked: () => number } {
  let asked = 0;
  const discover = (): Promise<unknown> => {
    asked++;
    return Promise.resolve(peers().map((peer_id) => ({ peer_id })));
  };
  const signaling = {
    get isConnected(): boolean {
      return isConnected();
    },
    discover,
  };
  return { signaling: signaling as unknown as SignalingClient, asked: () => asked };
}

Deno.test("presence: a silent peer that has left the room is gone, one that is there or heard of is not", () =>
  withoutPauses(async () => {
    let looks = 0;
    const steps = room(() => ++looks > 3, () => looks < 6 ? ["peer"] : []);
    await peerGone(() => steps.signaling, "peer", () => 4_000, SIGNAL);
    assert.equal(looks, 6);
    assert.equal(steps.asked(), 3);
    const abort = new AbortController();
    let heard = 0;
    const loud = room(() => true, () => []);
    await peerGone(() => loud.signaling, "peer", () => (++heard === 5 && abort.abort(), 3_999), abort.signal);
    assert.equal(loud.asked(), 0);
  }));
