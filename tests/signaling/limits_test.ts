import assert from "node:assert/strict";
import { addressGroup, clientAddress } from "../../signaling/address.ts";
import { Bucket, Buckets } from "../../signaling/bucket.ts";
import { type Json, post, registration, signIn, TestPeer, withRoom, withServer } from "./test_peer.ts";

/** How often limits were exceeded, by name. */
async function refusals(httpUrl: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${httpUrl}/metrics?format=prometheus`)).text();
  const lines = [...text.matchAll(/^sleap_rtc_refusals_total\{limit="(\w+)"\} (\d+)$/gm)];
  return Object.fromEntries(lines.map(([, limit, count]) => [limit, Number(count)]));
}

Deno.test("an address is an IPv4 address or the network of one IPv6 customer", () => {
  const groups: Record<string, string> = {
    "192.0.2.7": "192.0.2.7",
    "::ffff:192.0.2.7": "192.0.2.7",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
    "2001:DB8:1:2::6": "2001:db8:1:2::/64",
    "2001:0db8::1": "2001:db8:0:0::/64",
    "::1": "0:0:0:0::/64",
    "fe80::1%eth0": "fe80:0:0:0::/64",
    "64:ff9b::192.0.2.7": "64:ff9b:0:0::/64",
    "somewhere": "somewhere",
  };
  for (const [address, group] of Object.entries(groups)) assert.equal(addressGroup(address), group, address);
});

Deno.test("only a trusted proxy tells addresses, and only its own word counts", () => {
  const request = (forwarded?: string): Request =>
    new Request("http://x/", { headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded } });
  assert.equal(clientAddress(request("198.51.100.1"), "192.0.2.7", false), "192.0.2.7");
  assert.equal(clientAddress(request("10.9.9.9, 198.51.100.1"), "127.0.0.1", true), "198.51.100.1");
  assert.equal(clientAddress(request("2001:db8:1:2::9"), "127.0.0.1", true), "2001:db8:1:2::/64");
  for (const nothing of [undefined, "", "nonsense", "10.9.9.9,"]) {
    assert.equal(clientAddress(request(nothing), "192.0.2.7", true), "192.0.2.7");
  }
});

Deno.test("a bucket gives its burst at once, then its rate, and never more than its burst", () => {
  const bucket = new Bucket({ burst: 3, perSecond: 2 }, 0);
  assert.deepEqual([1, 1, 1].map((amount) => bucket.take(amount, 0)), [0, 0, 0]);
  assert.equal(bucket.take(1, 0), 0.5);
  assert.equal(bucket.take(1, 500), 0);
  assert.equal(bucket.take(3, 1_000_000), 0);
  assert.ok(bucket.take(1, 1_000_000) > 0);
  // A clock that goes back gives nothing, and breaks nothing.
  assert.ok(bucket.take(1, 0) > 0);
});

Deno.test("buckets that are full again are forgotten", () => {
  const buckets = new Buckets({ burst: 1, perSecond: 1 });
  for (let each = 0; each < 1_000; each++) assert.equal(buckets.take(`address ${each}`, 0), 0);
  assert.ok(buckets.take("address 7", 0) > 0);
  buckets.take("late", 100_000);
  assert.equal(buckets.size, 1);
});

Deno.test("sign-ins and rooms beyond the limit are told when to come back", () =>
  withServer(
    async (server) => {
      const headers = { authorization: `Bearer ${await signIn(server)}` };
      await signIn(server);
      const signedIn = await fetch(`${server.httpUrl}/anonymous-signin`, { method: "POST" });
      assert.equal(signedIn.status, 429);
      assert.equal(signedIn.headers.get("retry-after"), "1800");
      assert.deepEqual(await signedIn.json(), { detail: "Too many sign-ins from this address" });
      const url = `${server.httpUrl}/create-room`;
      assert.equal((await post(url, { headers })).status, 200);
      const room = await fetch(url, { method: "POST", headers });
      assert.equal(room.status, 429);
      assert.equal(room.headers.get("retry-after"), "3600");
      assert.deepEqual(await room.json(), { detail: "Too many rooms from this address" });
      assert.deepEqual(await refusals(server.httpUrl), { sign_ins_per_address: 1, rooms_per_address: 1 });
    },
    [],
    { limits: { signInsPerAddress: 2, roomsPerAddress: 1 } },
  ));

Deno.test("behind a proxy each address has its own share", () =>
  withServer(
    async ({ httpUrl }) => {
      const status = async (address: string): Promise<number> =>
        (await post(`${httpUrl}/anonymous-signin`, { headers: { "x-forwarded-for": address } })).status;
      assert.deepEqual([await status("192.0.2.1"), await status("192.0.2.1")], [200, 429]);
      assert.equal(await status("192.0.2.2"), 200);
      assert.equal(await status("192.0.2.2, 192.0.2.1"), 429);
      assert.deepEqual([await status("2001:db8::1"), await status("2001:db8::ffff:1")], [200, 429]);
    },
    [],
    { limits: { signInsPerAddress: 1 }, trustProxy: true },
  ));

Deno.test("an address has so many connections, and a closed one makes room", () =>
  withServer(
    async (server) => {
      const peers = [await TestPeer.open(server.wsUrl), await TestPeer.open(server.wsUrl)];
      await assert.rejects(TestPeer.open(server.wsUrl));
      await peers[0]!.close();
      // The server may see the close a little later than the peer.
      const open = async (): Promise<number> =>
        (await (await fetch(`${server.httpUrl}/metrics`)).json()).active_connections;
      while (await open() > 1) continue;
      const third = await TestPeer.open(server.wsUrl);
      await Promise.all([third.close(), peers[1]!.close()]);
      assert.deepEqual(await refusals(server.httpUrl), { connections_per_address: 1 });
    },
    [],
    { limits: { connectionsPerAddress: 2 } },
  ));

Deno.test("a peer that sends too many messages is closed, the others are not", () =>
  withRoom(
    async ({ server }, join) => {
      const noisy = await join("noisy");
      await noisy.next();
      const calm = await join("calm");
      await calm.next();
      for (let each = 0; each < 50; each++) noisy.send({ type: "quit", sender: "noisy", target: "calm" });
      const { code, reason } = await noisy.closed;
      assert.deepEqual([code, reason], [1008, "too many messages"]);
      let told = 0;
      for (
        let each = await calm.ask({ type: "marker" });
        each["type"] === "quit";
        each = await calm.next()
      ) told++;
      // One went for the registration; what came after the limit was not handled.
      assert.equal(told, 19);
      assert.deepEqual(await refusals(server.httpUrl), { message_rate: 1 });
    },
    { limits: { messageBurst: 20, messageRate: 1 } },
  ));

Deno.test("relayed data is not counted as messages; a stranger's is", () =>
  withRoom(
    async (room, join) => {
      const [from, to] = [await join("from"), await join("to")];
      await Promise.all([from.next(), to.next()]);
      for (let each = 0; each < 200; each++) {
        from.send({
          type: "relay",
          sender: "from",
          target: "to",
          data: "x",
        });
      }
      for (let each = 0; each < 200; each++) assert.equal((await to.next())["type"], "relay");
      const stranger = await TestPeer.open(room.server.wsUrl);
      for (let each = 0; each < 50; each++) {
        stranger.send({
          type: "relay",
          sender: "from",
          target: "to",
          data: "x",
        });
      }
      assert.equal((await stranger.closed).code, 1008);
    },
    { limits: { messageBurst: 20, messageRate: 1 } },
  ));

Deno.test("large messages count more", () =>
  withRoom(
    async (_room, join) => {
      const peer = await join("p");
      await peer.next();
      const payload = { text: "x".repeat(900_000) };
      peer.send({ type: "peer_message", from_peer_id: "p", to_peer_id: "p", payload });
      assert.equal((await peer.next())["type"], "peer_message");
      peer.send({ type: "peer_message", from_peer_id: "p", to_peer_id: "p", payload });
      assert.equal((await peer.closed).code, 1008);
    },
    { limits: { messageBurst: 100, messageRate: 1 } },
  ));

Deno.test("limits of size and of peers in a room are the server's own", () =>
  withRoom(
    async (room, join) => {
      const [a, b] = [await join("a"), await join("b")];
      await Promise.all([a.next(), b.next()]);
      assert.deepEqual(await (await join("c")).next(), { type: "error", reason: "Room is full" });
      assert.equal((await a.ask(await registration(room, "a")))["type"], "registered_auth");
      a.sendText("x".repeat(2001));
      const { code, reason } = await a.closed;
      assert.deepEqual([code, reason], [1009, "message too big: at most 2000 bytes"]);
      assert.deepEqual(await refusals(room.server.httpUrl), { peers_per_room: 1, message_bytes: 1 });
    },
    { limits: { peersPerRoom: 2, messageBytes: 2000 } },
  ));

Deno.test("who does not register in time is closed; who has registered stays", () =>
  withRoom(
    async (room, join) => {
      const peer = await join("p");
      await peer.next();
      const stranger = await TestPeer.open(room.server.wsUrl);
      stranger.send({ type: "nonsense" });
      const { code, reason } = await stranger.closed;
      assert.deepEqual([code, reason], [1008, "not registered within 1 s"]);
      await peer.assertSilent();
    },
    { limits: { registerTimeout: 1 } },
  ));

Deno.test("a peer that answers no ping is closed", () =>
  withServer(
    async (server) => {
      const raw = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(server.wsUrl).port) });
      const handshake = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
      await raw.write(new TextEncoder().encode(handshake));
      // Reads whatever comes, and says nothing.
      for await (const _ of raw.readable) continue;
      assert.equal((await (await fetch(`${server.httpUrl}/metrics`)).json()).active_connections, 0);
    },
    [],
    { limits: { idleTimeout: 1 } },
  ));

Deno.test("what is nested too deeply or longer than any honest message is refused, and harms nobody", () =>
  withRoom(async (room, join) => {
    const [peer, other] = [await join("p"), await join("o")];
    await Promise.all([peer.next(), other.next()]);
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    const messages: Record<string, Json | string> = {
      "nested too deeply":
        `{"type":"peer_message","from_peer_id":"p","to_peer_id":"o","payload":{"a":${deep}}}`,
      "too large": { type: "offer", sender: "p", target: "o", sdp: "x".repeat(140_000) },
    };
    for (const [told, message] of Object.entries(messages)) {
      peer.sendText(typeof message === "string" ? message : JSON.stringify(message));
      const answer = await peer.next();
      assert.deepEqual([answer["code"], answer["message"]], ["INVALID_MESSAGE", `Message ${told}`]);
    }
    const metadata = `{"properties":{"a":${deep}}}`;
    peer.sendText(JSON.stringify(await registration(room, "p")).replace(/}$/, `,"metadata":${metadata}}`));
    assert.equal((await peer.next())["code"], "INVALID_MESSAGE");
    await Promise.all([peer.assertSilent(), other.assertSilent()]);
  }));

Deno.test("pages of origins that are not allowed are refused; programs and allowed pages are not", () =>
  withServer(
    async (server) => {
      const url = `${server.httpUrl}/anonymous-signin`;
      const from = (origin: string, method = "POST"): Promise<Response> =>
        fetch(url, { method, headers: { origin, "access-control-request-method": "POST" } });
      for (
        const origin of [
          "https://evil.example",
          "null",
          "https://lab.example.evil.example",
          "http://lab.example",
        ]
      ) {
        const response = await from(origin);
        assert.equal(response.status, 403, origin);
        assert.equal(response.headers.get("access-control-allow-origin"), null);
        await response.body?.cancel();
      }
      for (const method of ["POST", "OPTIONS"]) {
        const response = await from("https://lab.example", method);
        assert.ok(response.ok);
        assert.equal(response.headers.get("access-control-allow-origin"), "https://lab.example");
        await response.body?.cancel();
      }
      const program = await fetch(url, { method: "POST" });
      assert.deepEqual([program.status, program.headers.get("access-control-allow-origin")], [200, null]);
      await program.body?.cancel();
      const status = await upgradeStatus(server.wsUrl, "https://evil.example");
      assert.equal(status, 403);
      assert.equal(await upgradeStatus(server.wsUrl, "https://lab.example"), 101);
    },
    [],
    { origins: ["https://lab.example"] },
  ));

/** The status of a WebSocket handshake of a page. */
async function upgradeStatus(wsUrl: string, origin: string): Promise<number> {
  const raw = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(wsUrl).port) });
  const handshake = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: ${origin}\r\n\r\n`;
  await raw.write(new TextEncoder().encode(handshake));
  const buffer = new Uint8Array(2048);
  const answer = new TextDecoder().decode(buffer.subarray(0, await raw.read(buffer) ?? 0));
  raw.close();
  return Number(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1]);
}
