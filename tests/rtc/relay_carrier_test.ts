import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_MESSAGE_BYTES } from "../../protocol/message.ts";
import { Channel } from "../../rtc/channel.ts";
import { RelayCarrier } from "../../rtc/relay_carrier.ts";
import { FrameKind, RelayFrames } from "../../rtc/relay_frames.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { text } from "../protocol/generators.ts";
import { readAll, take } from "./read.ts";
import { agreedKeys, FakePath, linkedPaths, openCarriers } from "./relay_pair.ts";

const EMPTY = new Uint8Array();
const KIB = 1024;
const soon = (ms = 0): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test("relay: any texts and bytes arrive both ways, equal and in order, and the end after them", async () => {
  const messages = fc.array(fc.oneof(text, fc.uint8Array()), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(messages, messages, async (there, back) => {
      const { client, worker, near, far } = await openCarriers();
      const [left, right] = [new Channel(client), new Channel(worker)];
      const plain = (each: string | Uint8Array): string | Uint8Array =>
        typeof each === "string" ? each : new Uint8Array(each);
      for (const each of there) await left.send(each);
      for (const each of back) await right.send(each);
      if (back.length > 0) assert.deepEqual(await take(left, back.length), back.map(plain));
      left.close();
      assert.deepEqual(await readAll(right), there.map(plain));
      assert.equal(await worker.closed, undefined);
      assert.equal(near.listeners + far.listeners, 0);
    }),
    { numRuns: 50 },
  );
});

Deno.test("relay: the longest messages arrive, a longer one is an error", async () => {
  const { client, worker } = await openCarriers();
  const [left, right] = [new Channel(client), new Channel(worker)];
  const bytes = crypto.getRandomValues(new Uint8Array(MAX_MESSAGE_BYTES));
  await left.send(bytes);
  await left.send("\ufeff€".repeat(10_000));
  assert.deepEqual(await take(right, 2), [bytes, "\ufeff€".repeat(10_000)]);
  assert.throws(() => client.sendMessageBinary(new Uint8Array(MAX_MESSAGE_BYTES + 1)), RangeError);
  left.close();
  await right.closed;
});

Deno.test("relay: what came before the channel was made is not lost, nor the end", async () => {
  const { client, worker } = await openCarriers();
  client.sendMessage("early");
  client.sendMessageBinary(Uint8Array.of(1));
  client.close();
  await worker.closed;
  assert.deepEqual(await readAll(new Channel(worker)), ["early", Uint8Array.of(1)]);
});

Deno.test("relay: what the other side has not received counts as buffered, and a sender waits for it", async () => {
  const { client, worker, near, far } = await openCarriers();
  const [left, right] = [new Channel(client), new Channel(worker)];
  const held: string[] = [];
  far.change = (data) => (held.push(data), []);
  let sent = 0;
  const sending = (async (): Promise<void> => {
    for (; sent < 200; sent++) await left.send(new Uint8Array(MAX_MESSAGE_BYTES));
  })();
  assert.equal((await take(right, 96)).length, 96);
  await soon(50);
  // 8 MiB of base64 text.
  assert.equal(sent, 95);
  assert.ok(client.bufferedAmount() > 8192 * KIB);
  far.change = (data) => [data];
  for (const each of held) near.deliver(each);
  await take(right, 104);
  await sending;
  await left.flush();
  assert.equal(client.bufferedAmount(), 0);
  left.close();
  await right.closed;
});

Deno.test("relay: a client's side that nobody answers is closed by its owner", async () => {
  const { near } = linkedPaths();
  const client = new RelayCarrier(near, agreedKeys().client);
  assert.throws(() => client.sendMessage("too soon"), ConnectionError);
  client.close();
  await assert.rejects(client.opened, /was closed/);
  assert.equal(await client.closed, undefined);
  assert.equal(near.sent.length, 2);
  assert.equal(near.listeners, 0);
});

Deno.test("relay: a worker's side that is not needed leaves in silence", async () => {
  const path = new FakePath();
  const worker = new RelayCarrier(path, agreedKeys().worker);
  worker.close();
  worker.close();
  await assert.rejects(worker.opened, ConnectionError);
  assert.deepEqual(path.sent, []);
  assert.equal(path.listeners, 0);
});

Deno.test("relay: messages of an earlier connection between the same two do no harm", async () => {
  const { client, worker, near } = await openCarriers();
  const old = new RelayFrames(agreedKeys().client);
  for (const kind of [FrameKind.OPEN, FrameKind.TEXT, FrameKind.CLOSE]) near.send(old.seal(kind, EMPTY));
  for (const strange of ["", "?", "AAAA", "A".repeat(100)]) near.send(strange);
  client.sendMessage("new");
  client.close();
  assert.deepEqual(await readAll(new Channel(worker)), ["new"]);
});

for (
  const [what, change, error] of [
    ["lost", (): string[] => [], /lost on its way/],
    ["doubled", (data: string): string[] => [data, data], /second time/],
    [
      "altered",
      (data: string): string[] => [data.replace(/(.)=$/, (_, last) => last === "A" ? "E=" : "A=")],
      /altered/,
    ],
  ] as const
) {
  Deno.test(`relay: a message that is ${what} on its way ends both sides, with an error`, async () => {
    const { client, worker, near, far } = await openCarriers();
    const received: unknown[] = [];
    worker.onMessage((message) => received.push(message));
    client.sendMessage("before");
    await soon();
    near.change = change;
    // Its base64 ends in one "=".
    client.sendMessage("changed!");
    await soon();
    near.change = (data) => [data];
    // Only the next message shows that one was lost.
    if (what === "lost") client.sendMessage("after");
    assert.match(String(await worker.closed), error);
    assert.match(String(await client.closed), /the other side found a fault/);
    assert.deepEqual(received, what === "doubled" ? ["before", "changed!"] : ["before"]);
    assert.equal(near.listeners + far.listeners, 0);
    assert.throws(() => client.sendMessage("more"), ConnectionError);
    let reason = "";
    client.onError((each) => reason = each);
    assert.match(reason, /found a fault/);
  });
}

Deno.test("relay: who has the keys and breaks the rules is left", async () => {
  const ack = (count: number): Uint8Array => Uint8Array.of(0, 0, 0, 0, 0, 0, 0, count);
  const breaches: [number, Uint8Array][] = [
    [FrameKind.OPEN, EMPTY],
    [99, EMPTY],
    [FrameKind.ACK, ack(1)],
    [FrameKind.ACK, EMPTY],
    [FrameKind.ACK, new Uint8Array(8).fill(255)],
  ];
  for (const [kind, payload] of breaches) {
    const keys = agreedKeys();
    const path = new FakePath();
    const worker = new RelayCarrier(path, keys.worker);
    const client = new RelayFrames(keys.client);
    path.deliver(client.seal(FrameKind.OPEN, EMPTY));
    await worker.opened;
    path.deliver(client.seal(kind, payload));
    assert.ok(await worker.closed instanceof ConnectionError);
  }
  const keys = agreedKeys();
  const { near, far } = linkedPaths();
  const worker = new RelayCarrier(far, keys.worker);
  near.send(new RelayFrames(keys.client).seal(FrameKind.TEXT, EMPTY));
  await assert.rejects(worker.opened, /did not open/);
});

Deno.test("relay: a way that is lost ends the carrier, before and after it is open", async () => {
  const { client, worker, near, far } = await openCarriers();
  near.lose("the server says so");
  assert.match(String(await client.closed), /the server says so/);
  assert.match(String(await worker.closed), /found a fault/);
  assert.equal(near.listeners + far.listeners, 0);
  const early = new RelayCarrier(near, agreedKeys().client);
  near.lose("unknown");
  await assert.rejects(early.opened, /unknown/);
  near.isConnected = false;
  const late = new RelayCarrier(near, agreedKeys().client);
  await assert.rejects(late.opened, /server is gone/);
  assert.equal(near.listeners, 0);
});

Deno.test("relay: a send that cannot leave throws and ends", async () => {
  const { client, worker, near } = await openCarriers();
  const channel = new Channel(client);
  near.isConnected = false;
  await assert.rejects(channel.send("lost"), ConnectionError);
  assert.match(String(await client.closed), /server is gone/);
  worker.close();
});
