import assert from "node:assert/strict";
import { parseIceUrl } from "../../config/ice_url.ts";
import { parseConfig } from "../../config/load.ts";
import { ConfigFileError } from "../../config/mistake.ts";
import { explainConfig } from "../../config/settings.ts";
import { FILE, load, surroundings } from "./fake_surroundings.ts";

const SECRET = "p4ssw0rd";
const SERVERS = `[default]
ice_transport = "relay"
[[default.ice_servers]]
urls = "stun:stun.example.org"
[[default.ice_servers]]
urls = ["turn:turn.example.org:3478", "turns:turn.example.org"]
username = "lab"
credential = "${SECRET}"
`;

Deno.test("ice: addresses of STUN and TURN servers have their parts", () => {
  const parts = { hostname: "a.org", isUdp: true };
  assert.deepEqual(parseIceUrl("stun:a.org"), { ...parts, kind: "stun", port: 3478 });
  assert.deepEqual(parseIceUrl("TURN:a.org:99?transport=udp"), { ...parts, kind: "turn", port: 99 });
  assert.deepEqual(parseIceUrl("turn:a.org?transport=tcp"), {
    ...parts,
    kind: "turn",
    port: 3478,
    isUdp: false,
  });
  assert.deepEqual(parseIceUrl("turns:a.org"), { ...parts, kind: "turn", port: 5349, isUdp: false });
  assert.equal(parseIceUrl("turn:[2001:db8::1]:3478")?.hostname, "2001:db8::1");
  for (
    const text of [
      "",
      "a.org",
      "http://a.org",
      "turn:u:p@a.org:1",
      "turn:a.org:0",
      "turn:a.org:70000",
      "stun:",
    ]
  ) {
    assert.equal(parseIceUrl(text), undefined, text);
  }
});

Deno.test("ice: the servers of the file arrive in their order, and the flag wins over ice_transport", () => {
  const { iceServers, relayOnly } = load(SERVERS);
  assert.equal(relayOnly, true);
  assert.deepEqual(iceServers, [
    { urls: "stun:stun.example.org" },
    {
      urls: ["turn:turn.example.org:3478", "turns:turn.example.org"],
      username: "lab",
      credential: SECRET,
    },
  ]);
  assert.equal(load("", {}, { relayOnly: true }).relayOnly, true);
});

Deno.test("ice: config show tells everything but the password", () => {
  const { settings } = explainConfig({}, surroundings({ files: { [FILE]: SERVERS } }));
  assert.doesNotMatch(JSON.stringify(settings), new RegExp(SECRET));
  const found = settings.filter(({ key }) => key.startsWith("default.ice"))
    .map(({ key, value, source }) => `${key} = ${JSON.stringify(value)} # ${source}`);
  assert.deepEqual(found, [
    'default.ice_servers.0.urls = "stun:stun.example.org" # file sleap-rtc.toml:4',
    "default.ice_servers.0.username = undefined # default",
    "default.ice_servers.0.credential = undefined # default",
    'default.ice_servers.1.urls = ["turn:turn.example.org:3478","turns:turn.example.org"] # file sleap-rtc.toml:6',
    'default.ice_servers.1.username = "lab" # file sleap-rtc.toml:7',
    'default.ice_servers.1.credential = "***" # file sleap-rtc.toml:8',
    'default.ice_transport = "relay" # file sleap-rtc.toml:2',
  ]);
});

Deno.test("ice: mistakes have their place and show no password", () => {
  const cases: [string, RegExp][] = [
    ['urls = "turn:a.org"\nusername = "u"', /^f:1:1: .*credential: is missing; expected the password/],
    [`urls = "turn:u:${SECRET}@a.org"`, /^f:2:1: .*urls: found "turn:\*\*\*@a.org", expected stun:HOST:PORT/],
    ['urls = ["stun:a.org", "ftp://a"]', /^f:2:1: .*urls.1: found "ftp:/],
    [`urls = "turn:a.org"\nusername = "u"\ncredential = ["${SECRET}"]`, /^f:4:1: .*found \*\*\*, expected/],
    [`urls = "stun:a.org"\npasword = "${SECRET}"`, /^f:3:1: .*pasword: unknown key; valid keys: urls, user/],
  ];
  for (const [toml, expected] of cases) {
    assert.throws(() => parseConfig(`[[default.ice_servers]]\n${toml}`, "f"), (error) => {
      assert.ok(error instanceof ConfigFileError);
      assert.match(error.message, expected);
      assert.doesNotMatch(error.message, new RegExp(SECRET));
      return true;
    });
  }
  assert.throws(
    () => parseConfig(`[default]\nice_servers = { urls = "turn:a", credential = "${SECRET}" }`, "f"),
    /^ConfigFileError: f:2:1: default.ice_servers: found .*"credential":"\*\*\*".*, expected a list of tables/,
  );
  assert.throws(
    () => parseConfig('[default]\nice_transport = "relays"', "f"),
    /f:2:1: default.ice_transport: found "relays", expected "all" or "relay"/,
  );
});
