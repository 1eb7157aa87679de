import assert from "node:assert/strict";
import { signalingHosts } from "../../worker/permissions.ts";

Deno.test("the engine may reach the ports that its requests go to, named or not", () => {
  const cases: [http: string, websocket: string, hosts: string[]][] = [
    ["http://a", "ws://a", ["a:8001", "a:80"]],
    ["https://a", "wss://a", ["a:8001", "a:443"]],
    ["https://a:443/", "wss://a:8443/path", ["a:443", "a:8443"]],
    ["http://a:80", "ws://a:8080", ["a:80", "a:8080"]],
  ];
  for (const [signalingHttp, signalingWebsocket, hosts] of cases) {
    assert.deepEqual(signalingHosts({ signalingHttp, signalingWebsocket }), hosts);
  }
});
