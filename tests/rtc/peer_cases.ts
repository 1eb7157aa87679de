import assert from "node:assert/strict";
import { Peer } from "../../rtc/peer.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { KEEP_ALIVE, MAX_MESSAGE_BYTES } from "../../protocol/message.ts";
import { fileURLToPath } from "node:url";
import { openPair, withPair } from "./pair.ts";
import { readAll, take } from "./read.ts";

const MIB = 1024 * 1024;

Deno.test("peer: a channel opens from one offer and one answer, all candidates inside", () =>
  withPair(async ({ offering, answering, near, far }) => {
    assert.ok(near.isOpen && far.isOpen);
    await near.send("hello");
    assert.deepEqual(await take(far, 1), ["hello"]);
    assert.ok(offering.rttMs === undefined || offering.rttMs >= 0);
    assert.ok(answering.rttMs === undefined || answering.rttMs >= 0);
  }));

Deno.test("peer: offers and answers are complete and never hold a trickled part", async () => {
  const { peer: offering, sdp: offer } = await Peer.offer();
  const { peer: answering, sdp: answer } = await Peer.answer(offer);
  for (const sdp of [offer, answer]) {
    assert.match(sdp, /^a=candidate:/m);
    assert.match(sdp, /^m=application .*SCTP/m);
  }
  offering.close();
  answering.close();
  await assert.rejects(offering.channel, ConnectionError);
  await assert.rejects(answering.channel, ConnectionError);
  assert.equal(typeof await offering.closed, "string");
});

Deno.test("peer: messages keep order and kind both ways, keep-alives are taken out", () =>
  withPair(async ({ near, far }) => {
    for (const [from, to] of [[near, far], [far, near]] as const) {
      const expected: (string | Uint8Array)[] = [];
      for (let index = 0; index < 500; index++) {
        const message = index % 3 === 0 ? `text ${index} é` : Uint8Array.of(index & 255, index >> 8);
        expected.push(message);
        await from.send(message);
        if (index % 50 === 0) await from.send(KEEP_ALIVE);
      }
      const got = await take(to, expected.length);
      assert.deepEqual(got.map((each) => typeof each === "string" ? each : [...each]), [
        ...expected.map((each) => typeof each === "string" ? each : [...each]),
      ]);
    }
  }));

Deno.test("peer: messages sent before the other side reads are not lost", () =>
  withPair(async ({ near, far }) => {
    for (let index = 0; index < 100; index++) await near.send(String(index));
    await near.flush();
    assert.deepEqual(await take(far, 100), Array.from({ length: 100 }, (_, index) => String(index)));
  }));

Deno.test("peer: 64 MiB go through with a bounded queue, and the buffer may be used again at once", () =>
  withPair(async ({ near, far }) => {
    const total = 64 * MIB;
    const reading = (async (): Promise<void> => {
      let received = 0;
      for await (const message of far) {
        assert.ok(message instanceof Uint8Array);
        const stamp = (received / MAX_MESSAGE_BYTES) & 255;
        assert.ok(message[0] === stamp && message[message.length - 1] === stamp);
        received += message.length;
        if (received === total) return;
      }
      assert.fail(`the channel ended after ${received} bytes`);
    })();
    const buffer = new Uint8Array(MAX_MESSAGE_BYTES);
    for (let index = 0; index < total / MAX_MESSAGE_BYTES; index++) {
      buffer.fill(index & 255);
      await near.send(buffer);
    }
    await reading;
    assert.equal(near.bytesSent, total);
    assert.equal(far.bytesReceived, total);
  }));

for (const side of ["near", "far"] as const) {
  Deno.test(`peer: close of the ${side} channel ends the iteration of both`, async () => {
    const pair = await openPair();
    const reading = [readAll(pair.near), readAll(pair.far)];
    pair[side].close();
    assert.deepEqual(await Promise.all(reading), [[], []]);
    await Promise.all([pair.offering.closed, pair.answering.closed]);
    await assert.rejects(pair.near.send("x"), ConnectionError);
    await assert.rejects(pair.far.send("x"), ConnectionError);
  });
}

for (const side of ["offering", "answering"] as const) {
  Deno.test(`peer: close of the ${side} peer closes both channels`, async () => {
    const pair = await openPair();
    pair[side].close();
    pair[side].close();
    await Promise.all([pair.near.closed, pair.far.closed]);
    await Promise.all([pair.offering.closed, pair.answering.closed]);
  });
}

Deno.test("peer: what was flushed before a close arrives", async () => {
  const pair = await openPair();
  const reading = readAll(pair.far);
  await pair.near.send("last words");
  await pair.near.flush();
  pair.offering.close();
  assert.deepEqual(await reading, ["last words"]);
});

for (const sdp of ["", "nonsense", "v=0\r\nm=audio 9 RTP/AVP 0\r\n"]) {
  Deno.test(`peer: the offer ${JSON.stringify(sdp)} is refused and leaves nothing behind`, async () => {
    await assert.rejects(Peer.answer(sdp), ConnectionError);
  });
}

Deno.test("peer: an answer that is nonsense is a ConnectionError", async () => {
  const { peer } = await Peer.offer();
  assert.throws(() => peer.acceptAnswer("nonsense"), ConnectionError);
  peer.close();
});

Deno.test("peer: broken candidates in an offer do not keep the good ones from working", async () => {
  const { peer: offering, sdp: offer } = await Peer.offer();
  const spoilt = offer.replace(/^a=candidate:/m, "a=candidate:rubbish\r\na=candidate:");
  const { peer: answering, sdp: answer } = await Peer.answer(spoilt);
  offering.acceptAnswer(answer);
  const channels = await Promise.all([offering.channel, answering.channel]);
  offering.close();
  answering.close();
  await Promise.all(channels.map((channel) => channel.closed));
});

Deno.test("peer: STUN and TURN servers of every form are taken or left out, never an error", async () => {
  const { peer } = await Peer.offer({
    iceServers: [
      { urls: ["turns:turn.invalid:443?transport=tcp", "turn:127.0.0.1:9?transport=tcp", "http://x", ""] },
      { urls: "turn:127.0.0.1:9?transport=udp", username: "u", credential: "c" },
    ],
  });
  peer.close();
});

Deno.test("peer: a program leaves in peace after channels that never opened and one too many", async () => {
  const script = fileURLToPath(new URL("leave.ts", import.meta.url));
  const args = ["run", "-A", "--no-check", "--v8-flags=--expose-gc", script, "10"];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  assert.equal(new TextDecoder().decode(stdout), "left\n");
});
