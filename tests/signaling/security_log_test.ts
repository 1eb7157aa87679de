import assert from "node:assert/strict";
import { LabProcess } from "../../scripts/local_lab.ts";
import { runArguments } from "../../scripts/programs.ts";
import { post, TestPeer } from "./test_peer.ts";

const ADMIN_KEY = "an administrator's key";

interface Line {
  event?: string;
  data?: Record<string, unknown>;
}

Deno.test("each security event is one line with its name and fields, and no line has a secret", async () => {
  const flags = ["--host", "127.0.0.1", "--http-port", "0", "--ws-port", "0", "--store", "memory", "--json"];
  const limits = ["--message-burst", "30", "--message-rate", "1"];
  const server = new LabProcess(
    [Deno.execPath(), ...runArguments("signaling/main.ts"), ...flags, ...limits],
    { env: { SLEAP_RTC_ADMIN_KEY: ADMIN_KEY } },
  );
  try {
    const { http, websocket } = JSON.parse(await server.line(/"listening"/));
    const { body: identity } = await post(`${http}/anonymous-signin`);
    const authorization = `Bearer ${identity["id_token"]}`;
    const { body: room } = await post(`${http}/create-room`, { headers: { authorization } });
    const peer = await TestPeer.open(websocket);
    const good = { type: "register", peer_id: identity["username"], ...room, id_token: identity["id_token"] };
    const forged = `${identity["id_token"]}x`;
    await peer.ask({ ...good, id_token: forged });
    await peer.ask({ ...good, peer_id: "someone else" });
    await peer.ask({ ...good, token: "wrong-token" });
    await (await fetch(`${http}/health`, { headers: { origin: "https://evil.example" } })).body?.cancel();
    await post(`${http}/admin/delete-room`, { headers: { authorization } });
    const admin = { authorization: `Bearer ${ADMIN_KEY}` };
    await post(`${http}/admin/revoke-peer`, { headers: admin, body: { peer_id: identity["username"] } });
    await peer.ask(good);
    for (let each = 0; each < 60; each++) peer.send({ type: "nonsense" });
    await peer.closed;
    await server.line(/limit_exceeded/);
    const lines = server.stderr.map((line): Line => JSON.parse(line)).filter(({ event }) =>
      event !== undefined
    );
    const address = "127.0.0.1";
    const user = identity["username"];
    assert.deepEqual(lines.map(({ event, data }) => [event, data]), [
      ["token_refused", { address, peer: user }],
      ["identity_refused", { address, peer: "someone else" }],
      ["room_token_wrong", { address, peer: user, room: room["room_id"] }],
      ["origin_refused", { address, origin: "https://evil.example" }],
      ["admin_refused", { address, path: "/admin/delete-room" }],
      ["admin_action", { action: "revoke-peer", address, peer: user, disconnected: 0 }],
      ["revoked_token_used", { address, peer: user }],
      ["limit_exceeded", { limit: "message_rate", address }],
    ]);
    for (const secret of [identity["id_token"], room["token"], ADMIN_KEY, "wrong-token"]) {
      assert.ok(!server.output.includes(String(secret)));
    }
  } finally {
    server.kill("SIGTERM");
    await server.exited();
  }
});
