import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { FrameKind, RelayFrames } from "../../rtc/relay_frames.ts";
import { RelayKeyPair } from "../../rtc/relay_keys.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { agreedKeys } from "./relay_pair.ts";

/** Made by another program; the same as in docs/protocol.md. */
const VECTOR = {
  clientPublic: "pOCSkrZRwni5dyxWn1-puxPZBrRqtoyd-dwrRAn4ogk",
  workerPublic: "zo060cy2M-x7cMF4FKXHbs0CloUFDTRHRboFhw5YfVk",
  fromClient: "dc696826feef2aca031dde469cff507fc0b471714be2b678bf1d137220998ac7",
  fromWorker: "41c5efe8b2aaba5066dae52690bc0d7bfb50244c7c409c6b6af2ff4e345bff7a",
  id: "643e13f4615fceed",
  open: "ZD4T9GFfzu0AAAAAAAAAABL6p7Pq1pCMwwzfgH4UrpmI",
  text: "ZD4T9GFfzu0AAAAAAAAAAZoKavQSfG2Y5eHV03FXaLV7x0yxkg8=",
  answer: "ZD4T9GFfzu0AAAAAAAAAAL0ZCHvWjIkPeN1qeYS7awhw",
  acknowledgement: "ZD4T9GFfzu0AAAAAAAAAAQG/jksxumONm3z5YpKF9d4BQVJQTkrTlWg=",
};
const clientPair = new RelayKeyPair(new Uint8Array(32).fill(1));
const workerPair = new RelayKeyPair(new Uint8Array(32).fill(2));
const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex");

Deno.test("relay: keys and messages are those of the test vectors, and the document has them", async () => {
  assert.equal(clientPair.publicKey, VECTOR.clientPublic);
  assert.equal(workerPair.publicKey, VECTOR.workerPublic);
  const client = clientPair.agree("client", VECTOR.workerPublic);
  const worker = workerPair.agree("worker", VECTOR.clientPublic);
  assert.equal(client.binding, `${VECTOR.clientPublic}.${VECTOR.workerPublic}`);
  assert.equal(worker.binding, client.binding);
  for (const key of [client.send, worker.receive]) assert.equal(hex(key), VECTOR.fromClient);
  for (const key of [client.receive, worker.send]) assert.equal(hex(key), VECTOR.fromWorker);
  for (const { id } of [client, worker]) assert.equal(hex(id), VECTOR.id);
  const [near, far] = [new RelayFrames(client), new RelayFrames(worker)];
  assert.equal(near.seal(FrameKind.OPEN, bytes("")), VECTOR.open);
  assert.equal(near.seal(FrameKind.TEXT, bytes("HELLO")), VECTOR.text);
  assert.equal(far.seal(FrameKind.OPEN, bytes("")), VECTOR.answer);
  assert.equal(far.seal(FrameKind.ACK, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 180)), VECTOR.acknowledgement);
  assert.deepEqual(far.open(VECTOR.open), { kind: FrameKind.OPEN, payload: bytes("") });
  assert.deepEqual(far.open(VECTOR.text), { kind: FrameKind.TEXT, payload: bytes("HELLO") });
  const document = await Deno.readTextFile(new URL("../../docs/protocol.md", import.meta.url));
  for (const value of Object.values(VECTOR)) assert.ok(document.includes(value), `${value} is not there`);
});

Deno.test("relay: every attempt has keys of its own", () => {
  const [one, other] = [agreedKeys(), agreedKeys()];
  for (const part of ["send", "receive", "id", "binding"] as const) {
    assert.notDeepEqual(one.client[part], other.client[part]);
  }
});

Deno.test("relay: what is no key, and a key that makes no secret, are refused", () => {
  const zero = "A".repeat(43);
  const one = `AQ${"A".repeat(41)}`;
  // The last one is another spelling of a good key.
  const spelling = `${VECTOR.workerPublic.slice(0, -1)}l`;
  for (const key of ["", "A", "=".repeat(43), `${zero}A`, `${zero.slice(1)}+`, spelling, zero, one]) {
    assert.throws(() => clientPair.agree("client", key), ConnectionError, key);
  }
});

Deno.test("relay: every altered bit of a message is noticed", () => {
  const { client, worker } = agreedKeys();
  const sealed = Buffer.from(new RelayFrames(client).seal(FrameKind.TEXT, bytes("a secret")), "base64");
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const altered = Buffer.from(sealed);
    altered[bit >> 3]! ^= 1 << (bit & 7);
    const open = (): unknown => new RelayFrames(worker).open(altered.toString("base64"));
    // The first eight bytes say of which connection it is.
    if (bit < 64) assert.equal(open(), undefined);
    else assert.throws(open, ConnectionError);
  }
  for (let length = 0; length < sealed.length; length++) {
    const frames = new RelayFrames(worker);
    const cut = sealed.subarray(0, length).toString("base64");
    if (length <= 32) assert.equal(frames.open(cut), undefined);
    else assert.throws(() => frames.open(cut), /altered/);
  }
});

Deno.test("relay: a message that comes again, late, or without the one before it is noticed", () => {
  const { client, worker } = agreedKeys();
  const sender = new RelayFrames(client);
  const [first, second, third] = ["1", "2", "3"].map((each) => sender.seal(FrameKind.TEXT, bytes(each)));
  const receiver = new RelayFrames(worker);
  assert.throws(() => receiver.open(second!), /lost/);
  assert.ok(receiver.open(first!));
  assert.throws(() => receiver.open(first!), /second time/);
  assert.throws(() => receiver.open(third!), /lost/);
  assert.ok(receiver.open(second!));
});

Deno.test("relay: nobody reads with other keys, and a sender's messages do not pass for its peer's", () => {
  const { client, worker } = agreedKeys();
  const sealed = new RelayFrames(client).seal(FrameKind.TEXT, bytes("a secret"));
  assert.equal(new RelayFrames(agreedKeys().worker).open(sealed), undefined);
  const stranger = { ...agreedKeys().worker, id: worker.id };
  assert.throws(() => new RelayFrames(stranger).open(sealed), /altered/);
  assert.throws(() => new RelayFrames(client).open(sealed), /altered/);
});

Deno.test("relay: a server that hands over its own key gets no common keys with both sides", () => {
  const between = new RelayKeyPair();
  const client = clientPair.agree("client", between.publicKey);
  const worker = workerPair.agree("worker", between.publicKey);
  assert.notEqual(client.binding, worker.binding);
  assert.notDeepEqual(client.send, worker.receive);
});
