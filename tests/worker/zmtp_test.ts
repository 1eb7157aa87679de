import assert from "node:assert/strict";
import fc from "fast-check";
import { writeAll } from "../../storage/write_all.ts";
import { TrainerLink } from "../../worker/trainer_link.ts";
import { Publisher, Subscriber } from "../../worker/zmtp.ts";
import { pythonWithZmq } from "./trainer.ts";

const encoder = new TextEncoder();

/** What a peer of ZMTP 3.0 says first, from RFC 23: signature, version, mechanism, no server. */
const GREETING = Uint8Array.of(
  0xff,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  1,
  0x7f,
  3,
  0,
  ...encoder.encode("NULL"),
  ...Array(48).fill(0),
);

function ready(type: string): Uint8Array {
  const body = encoder.encode(`\x05READY\x0bSocket-Type\0\0\0\x03${type}\x08Identity\0\0\0\0`);
  return Uint8Array.of(4, body.length, ...body);
}

function short(text: string, flags = 0): Uint8Array {
  const body = encoder.encode(text);
  return Uint8Array.of(flags, body.length, ...body);
}

/** The same with a length of eight bytes. */
function long(body: Uint8Array): Uint8Array {
  const head = new Uint8Array(9);
  head[0] = 2;
  new DataView(head.buffer).setBigUint64(1, BigInt(body.length));
  return Uint8Array.of(...head, ...body);
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** A port that takes texts; what came is kept. */
async function withSubscriber(
  test: (port: number, texts: string[], subscriber: Subscriber) => Promise<void>,
): Promise<void> {
  const texts: string[] = [];
  const subscriber = new Subscriber((text) => {
    texts.push(text);
    return Promise.resolve();
  });
  try {
    await test(subscriber.port, texts, subscriber);
  } finally {
    subscriber.close();
  }
}

/** Says bytes in pieces, then nothing more, and hears the other side out. */
async function speak(port: number, pieces: readonly Uint8Array[]): Promise<Uint8Array> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const heard: number[] = [];
  try {
    for (const piece of pieces) await writeAll(connection, piece);
    await connection.closeWrite();
    const buffer = new Uint8Array(4096);
    for (let read; (read = await connection.read(buffer)) !== null;) heard.push(...buffer.subarray(0, read));
  } catch {
    // A peer that is refused is cut off in the middle of its words.
  } finally {
    connection.close();
  }
  return Uint8Array.from(heard);
}

Deno.test("zmtp: greeting, READY and subscription are those of RFC 23", () =>
  withSubscriber(async (port) => {
    const heard = await speak(port, [GREETING, ready("PUB")]);
    assert.deepEqual([...heard.subarray(0, 12)], [0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0]);
    assert.equal(new TextDecoder().decode(heard.subarray(12, 16)), "NULL");
    assert.ok(heard.subarray(16, 64).every((byte) => byte === 0));
    const command = encoder.encode("\x05READY\x0bSocket-Type\0\0\0\x03SUB");
    assert.deepEqual([...heard.subarray(64)], [4, command.length, ...command, 0, 1, 1]);
  }));

Deno.test("zmtp: messages arrive whole, wherever the stream is cut", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: "binary", maxLength: 300 }), { maxLength: 5 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      (said, cuts) =>
        withSubscriber(async (port, texts, subscriber) => {
          const frames = said.map((text) => long(encoder.encode(text)));
          const bytes = joined(GREETING, ready("PUB"), short("\x04PING", 4), ...frames);
          const places = [0, ...cuts.map((cut) => cut % bytes.length), bytes.length].sort((a, b) => a - b);
          await speak(port, places.slice(1).map((end, index) => bytes.subarray(places[index], end)));
          await subscriber.drained(10_000);
          assert.deepEqual(texts, said.map((text) => text.replace(/^\ufeff/, "").toWellFormed()));
        }),
    ),
    { numRuns: 40 },
  ));

Deno.test("zmtp: whoever speaks another language is cut off and disturbs nobody", () =>
  withSubscriber(async (port, texts, subscriber) => {
    const version = GREETING.slice();
    version[10] = 2;
    const curve = GREETING.slice();
    curve.set(encoder.encode("CURVE"), 12);
    const huge = Uint8Array.of(2, 0x7f, 255, 255, 255, 255, 255, 255, 255);
    const bad = [
      [encoder.encode(`GET / HTTP/1.1\r\nHost: ${"x".repeat(100)}\r\n\r\n`)],
      [version, ready("PUB"), short("no")],
      [curve, ready("PUB"), short("no")],
      [GREETING, ready("SUB"), short("no")],
      [GREETING, short("no"), short("no")],
      [GREETING, ready("PUB"), huge],
      [GREETING.subarray(0, 20)],
    ];
    for (const pieces of bad) await speak(port, pieces);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
        await speak(port, [noise]);
      }),
      { numRuns: 30 },
    );
    await speak(port, [GREETING, ready("PUB"), short("yes")]);
    await subscriber.drained(10_000);
    assert.deepEqual(texts, ["yes"]);
  }));

Deno.test("zmtp: what nobody heard is told to the first that listens, once", async () => {
  const publisher = new Publisher();
  publisher.publish("one");
  publisher.publish("two");
  const heard = async (): Promise<string> => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: publisher.port });
    try {
      await connection.write(joined(GREETING, ready("SUB"), short("\x01")));
      const [bytes, buffer] = [[] as number[], new Uint8Array(4096)];
      while (publisher.publish("now") === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      while (!new TextDecoder().decode(Uint8Array.from(bytes)).endsWith("now")) {
        bytes.push(...buffer.subarray(0, await connection.read(buffer) ?? 0));
      }
      return new TextDecoder().decode(Uint8Array.from(bytes.slice(64)));
    } finally {
      connection.close();
    }
  };
  assert.match(await heard(), /one.*two.*now/s);
  assert.doesNotMatch(await heard(), /one/);
  publisher.close();
});

Deno.test("zmtp: a publisher tells those who subscribed, and only what they subscribed to", async () => {
  const publisher = new Publisher();
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: publisher.port });
  try {
    assert.equal(publisher.publish("nobody is there"), 0);
    await connection.write(joined(GREETING, ready("SUB"), short('\x01{"command"')));
    // The subscription has no answer: it is there when somebody listens.
    while (publisher.publish('{"command": "stop"}') === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(publisher.publish("something else"), 0);
    const heard: number[] = [];
    const buffer = new Uint8Array(4096);
    while (!new TextDecoder().decode(Uint8Array.from(heard)).endsWith('{"command": "stop"}')) {
      heard.push(...buffer.subarray(0, await connection.read(buffer) ?? 0));
    }
    assert.deepEqual(heard.slice(-21), [...short('{"command": "stop"}')]);
  } finally {
    connection.close();
    publisher.close();
  }
});

Deno.test("zmtp: the sandbox's permission lets it listen, and connect to nothing", async () => {
  const script = `
    import { Subscriber } from "${new URL("../../worker/zmtp.ts", import.meta.url).href}";
    const { port } = new Subscriber(() => Promise.resolve());
    console.log(port > 0, await Deno.connect({ hostname: "127.0.0.1", port }).catch((error) => error.name));
    Deno.exit();`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-check", "--ext=ts", "--allow-net=127.0.0.1:0", "--allow-read", "-"],
    cwd: new URL("../..", import.meta.url),
    stdin: "piped",
    stdout: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(encoder.encode(script));
  await writer.close();
  const { stdout } = await child.output();
  assert.equal(new TextDecoder().decode(stdout), "true NotCapable\n");
});

const python = await pythonWithZmq();
Deno.test({
  name: `zmtp: Python's ZeroMQ sockets are understood${
    python === undefined ? " (skipped: needs python3-zmq)" : ""
  }`,
  ignore: python === undefined,
  fn: async () => {
    const reports: string[] = [];
    const link = new TrainerLink((text) => {
      reports.push(text);
      return Promise.resolve();
    });
    const script = `
import sys, zmq
context = zmq.Context()
publisher, control = context.socket(zmq.PUB), context.socket(zmq.SUB)
control.subscribe("")
control.connect(f"tcp://127.0.0.1:{sys.argv[2]}")
publisher.connect(f"tcp://127.0.0.1:{sys.argv[1]}")
# Said until it is heard: what a PUB socket says before somebody has subscribed is lost.
while not control.poll(20):
    publisher.send_string("are you there?")
print(control.recv_string())
for size in (1, 255, 256, 60000, 70000):
    publisher.send_string("x" * size)
publisher.send_multipart([b"two", b"parts"])
publisher.send_string("grüß dich")
publisher.close()
control.close()
context.term()
`;
    const { publishPort, controllerPort } = link.ports;
    const child = new Deno.Command(python!, {
      args: ["-c", script, `${publishPort}`, `${controllerPort}`],
      stdout: "piped",
    }).spawn();
    const order = "stop, bitte – " + "y".repeat(300);
    while (reports.length === 0 || !link.control(order)) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const { success, stdout } = await child.output();
    await link.close();
    assert.ok(success);
    assert.equal(new TextDecoder().decode(stdout), `${order}\n`);
    const told = reports.filter((text) => text !== "PROGRESS_REPORT::are you there?");
    const texts = [..."x".repeat(3)].map((x, index) => x.repeat([1, 255, 256][index]!));
    assert.deepEqual(
      told,
      // What no message of the wire format can hold is left out.
      [...texts, "x".repeat(60_000), "two", "parts", "grüß dich"].map((text) => `PROGRESS_REPORT::${text}`),
    );
  },
});
