import assert from "node:assert/strict";
import fc from "fast-check";
import { splitCandidates } from "../../rtc/sdp.ts";

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
