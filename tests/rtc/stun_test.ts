import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createSocket, type Socket } from "node:dgram";
import fc from "fast-check";
import { askStun, readAnswer } from "../../rtc/stun.ts";

const ID = Buffer.from("0123456789ab");

function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\s/g, ""), "hex");
}

/** A success response to {@link ID} with these attributes. */
function answer(attributes: string): Buffer {
  const body = hex(attributes);
  const head = hex("0101 0000 2112a442");
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, ID, body]);
}

Deno.test("stun: the test vectors of RFC 5769, sections 2.2 and 2.3", () => {
  const id = hex("b7e7a701bc34d686fa87dfae");
  const head = "2112a442 b7e7a701bc34d686fa87dfae";
  const software = "8022000b 7465737420766563746f7220";
  const four = hex(`0101003c ${head} ${software} 00200008 0001a147e112a643`);
  assert.equal(readAnswer(four, id), "192.0.2.1:32853");
  const six = hex(`01010048 ${head} ${software} 00200014 0002a147 0113a9faa5d3f179 bc25f4b5bed2b9d9`);
  assert.equal(readAnswer(six, id), "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
});

Deno.test("stun: an old server's address, one without any, and what is no answer", () => {
  assert.equal(readAnswer(answer("0001 0008 0001 1f90 c0a80001"), ID), "192.168.0.1:8080");
  assert.equal(readAnswer(answer(""), ID), "");
  assert.equal(readAnswer(answer("0020 0004 0001 1f90"), ID), "");
  assert.equal(readAnswer(answer("0020 ffff 0001 1f90"), ID), "");
  assert.equal(readAnswer(answer(""), Buffer.from("another id 1")), undefined);
  assert.equal(readAnswer(Buffer.alloc(0), ID), undefined);
});

Deno.test("stun: any bytes are read without an error", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
    const text = readAnswer(answer(Buffer.from(bytes).toString("hex")), ID);
    assert.equal(typeof text, "string");
    readAnswer(Buffer.from(bytes), ID);
  }));
});

/** Runs a UDP server until `use` is done. */
async function withServer(
  onMessage: (socket: Socket, message: Buffer, port: number) => void,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("message", (message, { port }) => onMessage(socket, message, port));
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  try {
    await use(socket.address().port);
  } finally {
    socket.close();
  }
}

Deno.test("stun: a server is asked again when a packet is lost, and other packets are passed over", async () => {
  let asked = 0;
  const onMessage = (socket: Socket, message: Buffer, port: number): void => {
    if (++asked === 1) return;
    const reply = Buffer.concat([hex("0101 000c"), message.subarray(4), hex("0001 0008 0001 1f90 c0a80001")]);
    socket.send("hello", port, "127.0.0.1");
    socket.send(reply, port, "127.0.0.1");
  };
  await withServer(onMessage, async (port) => {
    const found = await askStun({ hostname: "127.0.0.1", port }, 60_000);
    assert.equal(found?.seenAs, "192.168.0.1:8080");
    assert.ok(asked >= 2);
  });
});

Deno.test("stun: silence ends with the time, and an unknown host is said", async () => {
  await withServer(() => {}, async (port) => {
    assert.equal(await askStun({ hostname: "localhost", port }, 50), undefined);
  });
  await assert.rejects(
    askStun({ hostname: "no-such-host.invalid", port: 3478 }, 1_000),
    /the host no-such-host\.invalid is not known/,
  );
});
