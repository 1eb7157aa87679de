import assert from "node:assert/strict";
import { configure, type LogRecord, reset } from "@logtape/logtape";
import { connectionHint, nativeIceServers } from "../../rtc/ice.ts";
import { Peer } from "../../rtc/peer.ts";
import { candidatesOf, relaysOnly } from "../../rtc/sdp.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { withPair } from "./pair.ts";

const login = { username: "u", credential: "c" };
const HOST = "a=candidate:1 1 UDP 2114977791 192.0.2.2 47319 typ host\r\n";
const RELAY = "a=candidate:4 1 UDP 1047807 192.0.2.9 49175 typ relay raddr 0.0.0.0 rport 0\r\n";

Deno.test("ice: the first STUN server and the first two TURN servers are taken, each once", () => {
  const taken = nativeIceServers([
    { urls: ["stun:a", "turn:a", "turn:a:3478?transport=udp"], ...login },
    { urls: ["stun:b", "turn:[::1]:99", "turn:c"], ...login },
  ]);
  const relay = { relayType: "TurnUdp", username: "u", password: "c" };
  assert.deepEqual(taken, [
    { hostname: "a", port: 3478 },
    { hostname: "a", port: 3478, ...relay },
    { hostname: "::1", port: 99, ...relay },
  ]);
});

Deno.test("ice: what cannot be used is named in the log, once and without passwords", async () => {
  const records: LogRecord[] = [];
  await configure({
    reset: true,
    sinks: { list: (record) => void records.push(record) },
    loggers: [
      { category: ["sleap-rtc"], sinks: ["list"] },
      { category: ["logtape", "meta"], sinks: [], lowestLevel: "warning" },
    ],
  });
  try {
    const servers = [
      { urls: ["turns:a", "turn:a?transport=tcp", "stuns:a", "turn:a"], username: "u" },
      { urls: "turn:u:secret@a" },
    ];
    assert.deepEqual(nativeIceServers(servers), []);
    nativeIceServers(servers);
  } finally {
    await reset();
  }
  assert.deepEqual(records.map(({ message }) => message.join("")), [
    "STUN and TURN servers that cannot be used are left out: " +
    "turns:a (TCP and TLS are not supported, only UDP), " +
    "turn:a?transport=tcp (TCP and TLS are not supported, only UDP), " +
    "stuns:a (TCP and TLS are not supported, only UDP), " +
    "turn:a (user or password is missing), turn:***@a (no address of a STUN or TURN server)",
  ]);
});

Deno.test("ice: a failed connection says what is missing", () => {
  const turn = nativeIceServers([{ urls: "turn:t", ...login }]);
  const hint = (servers: typeof turn, own: string, theirs: string, relayOnly = false): string =>
    connectionHint({ servers, relayOnly, own, theirs }) ?? "";
  assert.match(hint(turn, HOST, RELAY), /the TURN server t:3478 gave no relay/);
  assert.match(hint(turn, RELAY, HOST, true), /the other side got no relay/);
  assert.match(hint([], HOST, HOST), /a TURN server is needed/);
  assert.equal(hint(turn, HOST + RELAY, HOST), "");
  assert.equal(connectionHint({ servers: [], relayOnly: false, own: HOST, theirs: undefined }), undefined);
});

Deno.test("ice: candidates of an SDP, and the relays alone", () => {
  const sdp = `a=mid:0\r\n${HOST}${RELAY}a=end-of-candidates\r\n`;
  assert.deepEqual(candidatesOf(sdp), [
    { type: "host", address: "192.0.2.2", port: 47319 },
    { type: "relay", address: "192.0.2.9", port: 49175 },
  ]);
  assert.equal(relaysOnly(sdp), `a=mid:0\r\n${RELAY}a=end-of-candidates\r\n`);
});

Deno.test("ice: relay-only without a TURN server is refused at once", async () => {
  await assert.rejects(Peer.offer({ relayOnly: true }), ConnectionError);
  const { peer, sdp } = await Peer.offer();
  assert.equal(peer.route(), undefined);
  await assert.rejects(Peer.answer(sdp, { relayOnly: true }), /no TURN server is known/);
  peer.close("of a whim");
  assert.equal(peer.route(), undefined);
  await assert.rejects(peer.channel, /no data channel: of a whim/);
});

Deno.test("ice: a pair on one machine is connected directly", () =>
  withPair(({ offering, answering }) => {
    for (const peer of [offering, answering]) {
      const route = peer.route();
      assert.equal(route?.kind, "direct");
      assert.ok(route.local.port > 0 && route.remote.port > 0);
    }
    return Promise.resolve();
  }));
