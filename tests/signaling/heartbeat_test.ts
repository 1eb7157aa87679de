import assert from "node:assert/strict";
import { SignalingClient } from "../../signaling/client.ts";
import type { HeartbeatTimes } from "../../signaling/heartbeat.ts";
import type { Json } from "./test_peer.ts";

const LIMIT_MS = 60_000;
/** What is answered here is answered in time on any machine. */
const PATIENT: HeartbeatTimes = { quietMs: 5, answerMs: LIMIT_MS };

/** How a played server answers a socket, after it has let the peer in. */
type Play = (message: Json, answer: (message: Json) => void, socketNumber: number) => void;

/** Runs a test with a server that only lets peers in, and plays the rest. */
async function withPlayed(
  play: Play,
  test: (connect: (heartbeat: HeartbeatTimes) => Promise<SignalingClient>) => Promise<void>,
): Promise<void> {
  let sockets = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    const number = ++sockets;
    const answer = (message: Json): void =>
      socket.readyState === WebSocket.OPEN ? socket.send(JSON.stringify(message)) : undefined;
    socket.onmessage = ({ data }) => {
      const message: Json = JSON.parse(data);
      if (message["type"] !== "register") return play(message, answer, number);
      answer({ type: "registered_auth", room_id: "r", token: "t", peer_id: message["peer_id"] });
    };
    return response;
  });
  const clients: SignalingClient[] = [];
  try {
    await test(async (heartbeat) => {
      const client = await SignalingClient.connect({
        url: `ws://127.0.0.1:${server.addr.port}`,
        identity: { peerId: "p", idToken: "t" },
        room: { roomId: "r", token: "t" },
        timeoutMs: LIMIT_MS,
        role: "worker",
        metadata: {},
        heartbeat,
      });
      clients.push(client);
      return client;
    });
  } finally {
    for (const client of clients) client.close();
    await server.shutdown();
  }
}

const list = (...ids: string[]): Json => ({
  type: "peer_list",
  peers: ids.map((peer_id) => ({ peer_id, role: "worker", metadata: {} })),
});

const isHeartbeat = ({ filters }: Json): boolean => JSON.stringify(filters) === '{"role":"nobody"}';

Deno.test("heartbeat: a registered peer whose server falls silent tells of it, and comes back by itself", () =>
  withPlayed((_message, answer, number) => number === 1 ? undefined : answer(list()), async (connect) => {
    const client = await connect({ quietMs: 5, answerMs: 2_000 });
    const gone = new Promise<void>((resolve) => client.listenGone(resolve));
    const back = new Promise<void>((resolve) => client.listenBack(resolve));
    await gone;
    assert.equal(client.isConnected, false);
    await back;
    assert.equal(client.isConnected, true);
  }));

Deno.test("heartbeat: a server that answers is asked again and again, and keeps its socket", async () => {
  const asked = Promise.withResolvers<void>();
  let count = 0;
  const play: Play = (message, answer) => {
    if (isHeartbeat(message) && ++count === 20) asked.resolve();
    answer(list());
  };
  await withPlayed(play, async (connect) => {
    const client = await connect(PATIENT);
    client.listenGone(() => asked.reject(new Error("the socket was given up")));
    const heard: string[] = [];
    client.listen(({ type }) => heard.push(type));
    await asked.promise;
    assert.deepEqual(heard, [], "nobody is told of the answers");
  });
});

Deno.test("heartbeat: who looks for peers while it is asked gets its own answer", async () => {
  const asked = Promise.withResolvers<() => void>();
  const play: Play = (message, answer) => {
    if (!isHeartbeat(message)) answer(list("w"));
    else asked.resolve(() => answer(list()));
  };
  await withPlayed(play, async (connect) => {
    const client = await connect(PATIENT);
    const answerHeartbeat = await asked.promise;
    const found = client.discover();
    answerHeartbeat();
    assert.deepEqual((await found).map(({ peer_id }) => peer_id), ["w"]);
  });
});

Deno.test("heartbeat: while somebody looks for peers that is question enough, also when the answer is empty", async () => {
  const questions: Json[] = [];
  const looking = Promise.withResolvers<() => void>();
  const play: Play = (message, answer) => {
    questions.push(message);
    if (isHeartbeat(message)) answer(list());
    else looking.resolve(() => answer(list()));
  };
  await withPlayed(play, async (connect) => {
    const client = await connect({ quietMs: 50, answerMs: LIMIT_MS });
    const found = client.discover();
    const answerIt = await looking.promise;
    const before = questions.length;
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(questions.length, before);
    answerIt();
    assert.deepEqual(await found, []);
  });
});

Deno.test("heartbeat: a server that answers a lookup with silence is given up as well", () =>
  withPlayed((_message, answer, number) => number === 1 ? undefined : answer(list()), async (connect) => {
    const client = await connect({ quietMs: 500, answerMs: 1_000 });
    const back = new Promise<void>((resolve) => client.listenBack(resolve));
    await assert.rejects(client.discover({}, 2_500), /no answer within/);
    await back;
    assert.deepEqual(await client.discover(), []);
  }));
