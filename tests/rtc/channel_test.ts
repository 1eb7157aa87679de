import assert from "node:assert/strict";
import { keepAlive } from "../../rtc/channel.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { KEEP_ALIVE, MAX_MESSAGE_BYTES } from "../../protocol/message.ts";
import { FakeNative } from "./fake_native.ts";
import { readAll, take } from "./read.ts";

const MIB = 1024 * 1024;

Deno.test("channel: keep-alives are not delivered, but count as heard", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  native.deliver(KEEP_ALIVE);
  native.deliver("KEEP_ALIVE");
  native.deliver(new TextEncoder().encode("KEEP_ALIVE!"));
  assert.ok(channel.silentMs < 1000);
  native.end();
  assert.deepEqual(await readAll(channel), ["KEEP_ALIVE", new TextEncoder().encode("KEEP_ALIVE!")]);
});

Deno.test("channel: what came before the end is still delivered, in order, thousands of messages", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  const texts = Array.from({ length: 5000 }, (_, index) => `message ${index}`);
  for (const text of texts) native.deliver(text);
  native.end();
  assert.deepEqual(await readAll(channel), texts);
});

Deno.test("channel: a second iteration goes on where the first was left", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  for (let index = 0; index < 3000; index++) native.deliver(String(index));
  assert.equal((await take(channel, 1500)).at(-1), "1499");
  native.end();
  const rest = await readAll(channel);
  assert.equal(rest[0], "1500");
  assert.equal(rest.length, 1500);
});

Deno.test("channel: a sender waits above 8 MiB and goes on when the queue is short", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  native.buffered = 8 * MIB;
  await channel.send("at the mark");
  native.buffered = 8 * MIB + 1;
  let sent = false;
  const sending = channel.send("above").then(() => sent = true);
  await Promise.resolve();
  assert.equal(sent, false);
  native.drain();
  await sending;
});

Deno.test("channel: two waiting senders both go on", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  native.buffered = 9 * MIB;
  const both = Promise.all([channel.send("one"), channel.send("two")]);
  native.drain();
  await both;
});

Deno.test("channel: a missed low-water event does not hang the sender", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  native.buffered = 9 * MIB;
  const sending = channel.send("x");
  native.buffered = 0;
  await sending;
});

Deno.test("channel: the end of the channel ends a waiting sender with an error, and a flush without", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  native.buffered = 9 * MIB;
  const sending = assert.rejects(channel.send("x"), ConnectionError);
  native.end();
  await sending;
  await channel.flush();
  const other = new FakeNative();
  other.buffered = 1;
  const flushing = other.channel().flush();
  other.end();
  await flushing;
});

Deno.test("channel: an abort ends a waiting sender with its reason", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  native.buffered = 9 * MIB;
  const abort = new AbortController();
  const reason = new Error("enough");
  const sending = assert.rejects(channel.send("x", abort.signal), reason);
  abort.abort(reason);
  await sending;
});

Deno.test("channel: send after close is a ConnectionError, and close is harmless twice", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  channel.close();
  channel.close();
  assert.ok(native.closed);
  assert.equal(channel.isOpen, false);
  await channel.closed;
  await assert.rejects(channel.send("x"), ConnectionError);
  assert.deepEqual(await readAll(channel), []);
});

Deno.test("channel: a send that the library refuses, as the other side just closed, is a ConnectionError", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  native.broken = true;
  await assert.rejects(channel.send("x"), ConnectionError);
});

Deno.test("channel: the limit of a message is in bytes, not characters", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  await channel.send("x".repeat(MAX_MESSAGE_BYTES));
  await channel.send(new Uint8Array(MAX_MESSAGE_BYTES));
  await assert.rejects(channel.send("é".repeat(MAX_MESSAGE_BYTES / 2 + 1)), RangeError);
  await assert.rejects(channel.send(new Uint8Array(MAX_MESSAGE_BYTES + 1)), RangeError);
});

Deno.test("channel: bytes are counted both ways", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  await channel.send("é");
  await channel.send(new Uint8Array(3));
  assert.equal(channel.bytesSent, 5);
  native.deliver("é");
  native.deliver(new Uint8Array(3));
  assert.equal(channel.bytesReceived, 5);
});

Deno.test("channel: keep-alives go out until they are stopped or the channel ends", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  const first = Promise.withResolvers<void>();
  native.sendMessageBinary = (message): boolean => {
    first.resolve();
    return native.sent.push(message) > 0;
  };
  const stop = keepAlive(channel, 1);
  await first.promise;
  assert.deepEqual(native.sent[0], KEEP_ALIVE);
  stop();
  const closing = new FakeNative();
  const other = closing.channel();
  keepAlive(other, 60_000);
  closing.end();
  await other.closed;
});
