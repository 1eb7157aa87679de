import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { KEEP_ALIVE } from "../../protocol/message.ts";
import { FileReceiver } from "../../rtc/receive.ts";
import { type OutgoingFile, sendFile } from "../../rtc/send.ts";
import { ConnectionError, TransferError } from "../../rtc/transfer_error.ts";
import { createInside } from "../../storage/containment.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { FakeNative, linkedChannels } from "./fake_native.ts";
import { take } from "./read.ts";

/** A file in memory that is read in pieces. */
function outgoing(size: number, ...pieces: Uint8Array[]): OutgoingFile {
  return {
    name: "a.zip",
    size,
    hint: "False",
    file: {
      read: (buffer): Promise<number | null> => {
        const piece = pieces.shift();
        if (piece) buffer.set(piece);
        return Promise.resolve(piece?.length ?? null);
      },
    },
  };
}

async function receiver(dir: string, size: number, name = "a.zip"): Promise<FileReceiver> {
  return new FileReceiver(name, size, await createInside(dir, name));
}

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name);
}

Deno.test("sendFile: announcement, chunks of at most 65536 bytes, end", async () => {
  const native = new FakeNative();
  await sendFile(native.channel(), outgoing(70_000, new Uint8Array(70_000)));
  const lengths = native.sent.map((each) => typeof each === "string" ? each : each.length);
  assert.deepEqual(lengths, ["FILE_META::a.zip:70000:False", 65_536, 70_000 - 65_536, "END_OF_FILE"]);
});

Deno.test("sendFile: an empty file is announced and ended", async () => {
  const native = new FakeNative();
  await sendFile(native.channel(), outgoing(0));
  assert.deepEqual(native.sent, ["FILE_META::a.zip:0:False", "END_OF_FILE"]);
});

Deno.test("sendFile: a file that shrank is an error and is not ended", async () => {
  const native = new FakeNative();
  await assert.rejects(sendFile(native.channel(), outgoing(10, new Uint8Array(9))), TransferError);
  assert.ok(!native.sent.includes("END_OF_FILE"));
});

Deno.test("sendFile: a file that grew is an error and is not ended", async () => {
  const native = new FakeNative();
  const growing = outgoing(10, new Uint8Array(8), new Uint8Array(8));
  await assert.rejects(sendFile(native.channel(), growing), TransferError);
  assert.ok(!native.sent.includes("END_OF_FILE"));
});

Deno.test("sendFile: a name with a colon is refused before anything is said", async () => {
  const native = new FakeNative();
  const file = { ...outgoing(0), name: "a:b.zip" };
  await assert.rejects(sendFile(native.channel(), file), TransferError);
  assert.deepEqual(native.sent, []);
});

Deno.test("sendFile: an abort ends it with its reason, a closed channel with ConnectionError", async () => {
  const native = new FakeNative();
  const channel = native.channel();
  const reason = new Error("enough");
  await assert.rejects(
    sendFile(channel, outgoing(1, new Uint8Array(1)), { signal: AbortSignal.abort(reason) }),
    reason,
  );
  channel.close();
  await assert.rejects(sendFile(channel, outgoing(1, new Uint8Array(1))), ConnectionError);
});

Deno.test("sendFile: file data that equals a keep-alive arrives all the same", async () => {
  const { near, far } = linkedChannels();
  await sendFile(near, outgoing(10, KEEP_ALIVE));
  near.close();
  let received = 0;
  for await (const message of far) if (typeof message !== "string") received += message.length;
  assert.equal(received, 10);
});

Deno.test("receive: nothing is visible before the end, then the whole file", () =>
  withTempDir(async (dir) => {
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    const file = await receiver(dir, 60_000 * 40);
    for (let index = 0; index < 40; index++) {
      const message = bytes.slice();
      await file.write(message);
      assert.equal(message.length, 0, "its memory is not given back");
    }
    assert.ok(!names(dir).includes("a.zip"));
    const path = await file.finish();
    await file.discard();
    assert.deepEqual(names(dir), ["a.zip"]);
    const whole = await Deno.readFile(path);
    assert.equal(whole.length, 60_000 * 40);
    for (let index = 0; index < 40; index++) {
      assert.ok(Buffer.compare(whole.subarray(index * 60_000, (index + 1) * 60_000), bytes) === 0);
    }
  }));

Deno.test("receive: missing bytes are an error and nothing is left", () =>
  withTempDir(async (dir) => {
    const file = await receiver(dir, 3);
    await file.write(Uint8Array.of(1, 2));
    await assert.rejects(file.finish(), TransferError);
    await file.discard();
    await file.discard();
    assert.deepEqual(names(dir), []);
  }));

Deno.test("receive: more bytes than announced are an error at once and nothing is left", () =>
  withTempDir(async (dir) => {
    const file = await receiver(dir, 3);
    await assert.rejects(file.write(new Uint8Array(4)), TransferError);
    await file.discard();
    assert.deepEqual(names(dir), []);
  }));

Deno.test("receive: an empty file is a file", () =>
  withTempDir(async (dir) => {
    const path = await (await receiver(dir, 0)).finish();
    assert.equal((await Deno.stat(path)).size, 0);
  }));

Deno.test("receive: a name that a folder already has is an error, and discard leaves nothing", () =>
  withTempDir(async (dir) => {
    await Deno.mkdir(join(dir, "a.zip", "in the way"), { recursive: true });
    const file = await receiver(dir, 0);
    await assert.rejects(file.finish());
    await file.discard();
    assert.deepEqual(names(dir), ["a.zip"]);
  }));

Deno.test("receive: messages and bytes of two linked channels stay in order", async () => {
  const { near, far } = linkedChannels();
  await near.send("one");
  await near.send(Uint8Array.of(2));
  assert.deepEqual(await take(far, 2), ["one", Uint8Array.of(2)]);
});
