import assert from "node:assert/strict";
import fc from "fast-check";
import { bindingText, splitCandidates } from "../../rtc/sdp.ts";

const OLD_OFFER = [
  "v=0",
  "m=application 58153 DTLS/SCTP 5000",
  "a=sctpmap:5000 webrtc-datachannel 65535",
  "a=mid:7",
  "a=candidate:1 1 udp 2130706431 192.0.2.1 58153 typ host",
  "a=candidate:2 1 udp 2130706431 2001:db8::1 58154 typ host",
  "a=end-of-candidates",
  "a=setup:actpass",
  "",
].join("\r\n");

Deno.test("sdp: candidates come out without a= and with the section's mid", () => {
  const { sdp, candidates } = splitCandidates(OLD_OFFER);
  assert.deepEqual(candidates, [
    { candidate: "candidate:1 1 udp 2130706431 192.0.2.1 58153 typ host", mid: "7" },
    { candidate: "candidate:2 1 udp 2130706431 2001:db8::1 58154 typ host", mid: "7" },
  ]);
  assert.ok(!sdp.includes("candidate"));
  assert.ok(
    sdp.includes("m=application 58153 DTLS/SCTP 5000\r\na=sctpmap:5000 webrtc-datachannel 65535\r\n"),
  );
  assert.ok(sdp.endsWith("a=setup:actpass\r\n"));
});

Deno.test("sdp: relays stay in", () => {
  const relay = "a=candidate:4 1 UDP 1047807 192.0.2.9 49175 typ relay raddr 0.0.0.0 rport 0";
  const { sdp, candidates } = splitCandidates(`${OLD_OFFER}${relay}\r\n`);
  assert.equal(candidates.length, 2);
  assert.ok(sdp.endsWith(`${relay}\r\n`));
});

Deno.test("sdp: bare line feeds are taken and become CRLF, without a mid it is 0", () => {
  const { sdp, candidates } = splitCandidates("v=0\na=candidate:x\n");
  assert.equal(sdp, "v=0\r\n");
  assert.deepEqual(candidates, [{ candidate: "candidate:x", mid: "0" }]);
});

Deno.test("sdp: any text is split without a throw and without a lost line", () => {
  const line = fc.oneof(
    fc.constantFrom("a=candidate:1 2 3", "a=end-of-candidates", "a=mid:0", "v=0", ""),
    fc.string().filter((text) => !/[\r\n]/.test(text)),
  );
  fc.assert(fc.property(fc.array(line), (lines) => {
    const { sdp, candidates } = splitCandidates(lines.join("\r\n"));
    const kept = lines.filter((each) => !/^a=(candidate:|end-of-candidates)/.test(each));
    assert.equal(sdp, kept.join("\r\n"));
    assert.equal(candidates.length, lines.filter((each) => each.startsWith("a=candidate:")).length);
  }));
});

/** A fingerprint whose 32 bytes are all the same. */
const print = (byte: string): string => `sha-256 ${Array(32).fill(byte).join(":")}`;

Deno.test("sdp: a binding has the offering end's certificate first, and is the same at both ends", () => {
  const [one, two] = [print("AA"), print("0B")];
  const sdp = (fingerprint: string): string => `v=0\r\na=fingerprint:${fingerprint}\r\nm=application\r\n`;
  assert.equal(bindingText({ type: "offer", sdp: sdp(one) }, two), `${one} ${two}`);
  assert.equal(bindingText({ type: "answer", sdp: sdp(two) }, one), `${one} ${two}`);
  const sloppy = { type: "offer", sdp: sdp(one.toLowerCase().replace("sha", "SHA")) };
  assert.equal(bindingText(sloppy, two.toLowerCase()), `${one} ${two}`);
});

Deno.test("sdp: there is no binding without two whole SHA-256 fingerprints", () => {
  const good = print("AA");
  const sha1 = `sha-1 ${Array(20).fill("AA").join(":")}`;
  for (
    const bad of ["", "sha-1 ", "undefined undefined", sha1, good.slice(0, -1), `${good}:AA`, `${good} x`]
  ) {
    assert.equal(bindingText({ type: "offer", sdp: `a=fingerprint:${good}` }, bad), undefined, bad);
    assert.equal(bindingText({ type: "offer", sdp: `a=fingerprint:${bad}` }, good), undefined, bad);
  }
  assert.equal(bindingText({ type: "offer", sdp: "v=0\r\n" }, good), undefined);
});
