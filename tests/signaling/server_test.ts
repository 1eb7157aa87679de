import assert from "node:assert/strict";
import { UserError } from "../../config/user_error.ts";
import { startSignaling } from "../../signaling/server.ts";
import { post, TestPeer, withServer } from "./test_peer.ts";

const anyPorts = { hostname: "127.0.0.1", httpPort: 0, wsPort: 0 };

Deno.test("shutdown closes sockets with 1001 and frees the ports", async () => {
  const server = await startSignaling(anyPorts);
  const peers = await Promise.all([TestPeer.open(server.wsUrl), TestPeer.open(server.httpUrl)]);
  await Promise.all([server.shutdown(), server.shutdown(), server.finished]);
  for (const peer of peers) assert.equal((await peer.closed).code, 1001);
  const httpPort = Number(new URL(server.httpUrl).port);
  const next = await startSignaling({ ...anyPorts, httpPort });
  await next.shutdown();
});

Deno.test("an abort signal shuts down, also one that came before", async () => {
  const controller = new AbortController();
  const server = await startSignaling({ ...anyPorts, signal: controller.signal });
  controller.abort();
  await server.finished;
  await (await startSignaling({ ...anyPorts, signal: AbortSignal.abort() })).finished;
});

Deno.test("a peer that never answers the close does not hold up the shutdown", async () => {
  const server = await startSignaling(anyPorts);
  const raw = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(server.wsUrl).port) });
  const handshake = [
    "GET /any/path HTTP/1.1",
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
  ];
  await raw.write(new TextEncoder().encode(handshake.join("\r\n") + "\r\n\r\n"));
  const buffer = new Uint8Array(2048);
  const answer = new TextDecoder().decode(buffer.subarray(0, await raw.read(buffer) ?? 0));
  assert.match(answer, /^HTTP\/1.1 101 /);
  assert.doesNotMatch(answer, /permessage-deflate/i);
  await server.shutdown();
  raw.close();
});

Deno.test("a request that never ends does not hold up the shutdown", async () => {
  const server = await startSignaling(anyPorts);
  const raw = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(server.httpUrl).port) });
  const head = "POST /delete-peer HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n";
  await raw.write(new TextEncoder().encode(head));
  // The server asks for the body, hence is at work on the request.
  const buffer = new Uint8Array(2048);
  const answer = new TextDecoder().decode(buffer.subarray(0, await raw.read(buffer) ?? 0));
  assert.match(answer, /^HTTP\/1.1 100 /);
  await server.shutdown();
  raw.close();
});

Deno.test("equal ports share one listener", () =>
  withServer(async (other) => {
    // A port that was free a moment ago.
    const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = probe.addr;
    probe.close();
    const server = await startSignaling({ hostname: "127.0.0.1", httpPort: port, wsPort: port });
    assert.equal(new URL(server.httpUrl).port, new URL(server.wsUrl).port);
    assert.notEqual(server.httpUrl, other.httpUrl);
    assert.equal((await post(`${server.httpUrl}/anonymous-signin`)).status, 200);
    const peer = await TestPeer.open(server.wsUrl);
    await peer.assertSilent();
    await peer.close();
    await server.shutdown();
  }));

Deno.test("a port in use is told, and nothing is left open", () =>
  withServer(async (server) => {
    const wsPort = Number(new URL(server.wsUrl).port);
    const starting = startSignaling({ ...anyPorts, wsPort });
    await assert.rejects(starting, (error) => {
      assert.ok(error instanceof UserError);
      assert.equal(error.message, `port ${wsPort} is in use`);
      assert.ok(error.hint);
      return true;
    });
  }));

Deno.test("an upgrade that is no handshake is refused", () =>
  withServer(async (server) => {
    const raw = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(server.wsUrl).port) });
    const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    await raw.write(new TextEncoder().encode(request));
    const buffer = new Uint8Array(2048);
    const answer = new TextDecoder().decode(buffer.subarray(0, await raw.read(buffer) ?? 0));
    assert.match(answer, /^HTTP\/1.1 400 /);
    raw.close();
  }));
