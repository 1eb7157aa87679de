import assert from "node:assert/strict";
import { Peer } from "../../rtc/peer.ts";
import { PeerProofError, provePeer } from "../../rtc/peer_proof.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { openPair, withPair } from "./pair.ts";
import { take } from "./read.ts";
import { relay } from "./relay.ts";

const secret = "correct horse battery staple";

Deno.test("peer: both ends have the same binding, the offering end's certificate first", async () => {
  const { peer: offering, sdp: offer } = await Peer.offer();
  const { peer: answering, sdp: answer } = await Peer.answer(offer);
  assert.throws(() => offering.binding, ConnectionError);
  offering.acceptAnswer(answer);
  await Promise.all([offering.channel, answering.channel]);
  const [own, other] = [offer, answer].map((sdp) => /^a=fingerprint:(.+)\r$/m.exec(sdp)?.[1]);
  assert.equal(offering.binding, `${own} ${other}`);
  assert.equal(answering.binding, offering.binding);
  offering.close();
  answering.close();
  assert.throws(() => offering.binding, ConnectionError);
});

Deno.test("peer: no two connections have the same binding", () =>
  withPair(({ offering: one }) =>
    withPair(({ offering: two }) => Promise.resolve(assert.notEqual(one.binding, two.binding)))
  ));

Deno.test("proof: two peers prove themselves over a real connection, and go on", () =>
  withPair(async ({ offering, answering, near, far }) => {
    await Promise.all([
      provePeer(near, { role: "client", secret, binding: offering.binding }),
      provePeer(far, { role: "worker", secret, binding: answering.binding }),
    ]);
    await near.send("hello");
    assert.deepEqual(await take(far, 1), ["hello"]);
  }));

Deno.test("proof: somebody who hands on every message between two real connections is caught", async () => {
  const [left, right] = [await openPair(), await openPair()];
  const heard = relay(left.far, right.near);
  const ended = await Promise.allSettled([
    provePeer(left.near, { role: "client", secret, binding: left.offering.binding }),
    provePeer(right.far, { role: "worker", secret, binding: right.answering.binding }),
  ]);
  for (const each of ended) assert.ok(each.status === "rejected" && each.reason instanceof PeerProofError);
  assert.equal((await heard).filter((each) => String(each).startsWith("PEER_PROOF::")).length, 1);
  const peers = [left, right].flatMap(({ offering, answering }) => [offering, answering]);
  await Promise.all(peers.map((peer) => peer.closed));
});
