import assert from "node:assert/strict";
import fc from "fast-check";
import { formatSession, parseSession, SessionStringError } from "../../protocol/session_string.ts";
import { text } from "./generators.ts";

const PREFIX = "sleap-session:";
const SESSION = { roomId: "room-1", token: "tökén?>", peerId: "worker-1" };

function encode(json: string): string {
  return PREFIX + new TextEncoder().encode(json).toBase64({ alphabet: "base64url" });
}

Deno.test("what is formatted parses back", () => {
  const part = text.filter((each) => each !== "");
  fc.assert(
    fc.property(
      fc.record({ roomId: part, token: part, peerId: part }, { noNullPrototype: true }),
      (session) => {
        const found = formatSession(session);
        assert.match(found, /^sleap-session:[A-Za-z0-9_-]+={0,2}$/);
        assert.equal((found.length - PREFIX.length) % 4, 0, "Python peers need the padding");
        assert.deepEqual(parseSession(found), session);
      },
    ),
  );
});

Deno.test("the JSON has the keys r, t and p", () => {
  const encoded = formatSession(SESSION).slice(PREFIX.length);
  const bytes = Uint8Array.fromBase64(encoded, { alphabet: "base64url" });
  assert.deepEqual(JSON.parse(new TextDecoder().decode(bytes)), { r: "room-1", t: "tökén?>", p: "worker-1" });
});

Deno.test("Python's form, with blanks in the JSON, is read", () => {
  const json = '{"r": "room-1", "t": "t\\u00f6k\\u00e9n?>", "p": "worker-1"}';
  assert.deepEqual(parseSession(encode(json)), SESSION);
  // json.dumps and base64.urlsafe_b64encode of Python
  assert.deepEqual(
    parseSession("sleap-session:eyJyIjogInJvb20iLCAidCI6ICJ0b2tlbiIsICJwIjogInBlZXIifQ=="),
    { roomId: "room", token: "token", peerId: "peer" },
  );
});

Deno.test("missing padding and blanks around it are forgiven", () => {
  for (const token of ["a", "ab", "abc", "abcd"]) {
    const session = { ...SESSION, token };
    const found = formatSession(session);
    assert.deepEqual(parseSession(found.replace(/=+$/, "")), session);
    assert.deepEqual(parseSession(`  ${found}\r\n`), session);
  }
});

Deno.test("further keys are ignored", () => {
  assert.deepEqual(parseSession(encode('{"v":2,"r":"a","t":"b","p":"c"}')), {
    roomId: "a",
    token: "b",
    peerId: "c",
  });
});

const BAD: readonly [string, string][] = [
  ["nothing", ""],
  ["the prefix alone", PREFIX],
  ["another prefix", "sleap:abc"],
  ["the prefix in capitals", formatSession(SESSION).replace("sleap", "SLEAP")],
  ["the prefix not at the start", `use ${formatSession(SESSION)}`],
  ["no base64", `${PREFIX}!!!!`],
  ["a cut end", formatSession(SESSION).slice(0, -9)],
  ["base64 of no JSON", encode("hello")],
  ["base64 of bytes that are no UTF-8", `${PREFIX}${new Uint8Array([0x22, 0xff, 0x22]).toBase64()}`],
  ["a list", encode("[]")],
  ["null", encode("null")],
  ["a text", encode('"room"')],
  ["no room", encode('{"t":"b","p":"c"}')],
  ["no token", encode('{"r":"a","p":"c"}')],
  ["no worker", encode('{"r":"a","t":"b"}')],
  ["an empty room", encode('{"r":"","t":"b","p":"c"}')],
  ["a number for a room", encode('{"r":1,"t":"b","p":"c"}')],
  ["null for a token", encode('{"r":"a","t":null,"p":"c"}')],
  ["two strings in a row", `${formatSession(SESSION)} ${formatSession(SESSION)}`],
];

for (const [what, input] of BAD) {
  Deno.test(`refuses ${what}`, () => {
    assert.throws(() => parseSession(input), (error: unknown) => {
      assert.ok(error instanceof SessionStringError);
      assert.equal(error.exitCode, 2);
      assert.match(error.message, /^not a session string: /);
      assert.match(error.hint ?? "", /sleap-session:/);
      return true;
    });
  });
}

Deno.test("any text is a session or refused by name", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.boolean(), (each, prefixed) => {
      try {
        parseSession(prefixed ? PREFIX + each : each);
      } catch (error) {
        assert.ok(error instanceof SessionStringError);
      }
    }),
  );
});

Deno.test("an error does not repeat the token", () => {
  try {
    parseSession(encode('{"r":"a","t":"top-secret"}'));
    assert.fail("it was taken");
  } catch (error) {
    assert.ok(error instanceof SessionStringError);
    assert.doesNotMatch(`${error.message}${error.hint}`, /top-secret/);
  }
});
