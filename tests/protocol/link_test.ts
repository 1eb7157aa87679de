import assert from "node:assert/strict";
import fc from "fast-check";
import {
  formatAck,
  formatFrame,
  formatHello,
  type Frame,
  MAX_PAYLOAD_BYTES,
  parseFrame,
  parseHello,
} from "../../protocol/link.ts";
import { MAX_MESSAGE_BYTES } from "../../protocol/message.ts";
import { text } from "./generators.ts";

const PLAIN = { noNullPrototype: true };
const sequence = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ kind: fc.constant("text" as const), sequence, text }, PLAIN),
  fc.record({ kind: fc.constant("bytes" as const), sequence, bytes: fc.uint8Array() }, PLAIN),
  fc.record({ kind: fc.constant("ack" as const), sequence, received: sequence, onLane: sequence }, PLAIN),
  fc.record({ kind: fc.constant("bye" as const), sequence }, PLAIN),
);

function format(frame: Frame): Uint8Array {
  if (frame.kind === "text") {
    return formatFrame("text", frame.sequence, new TextEncoder().encode(frame.text));
  }
  if (frame.kind === "ack") return formatAck(frame.sequence, frame.received, frame.onLane);
  return formatFrame(frame.kind, frame.sequence, ...(frame.kind === "bytes" ? [frame.bytes] : []));
}

Deno.test("link frames: what is formatted parses back, wherever it lies in a buffer", () => {
  fc.assert(
    fc.property(frame, fc.nat({ max: 9 }), (each, offset) => {
      const formatted = format(each);
      const buffer = new Uint8Array(offset + formatted.length + 3).fill(255);
      buffer.set(formatted, offset);
      assert.deepEqual(parseFrame(buffer.subarray(offset, offset + formatted.length)), each);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("link frames: the parts of a payload are joined", () => {
  fc.assert(fc.property(fc.array(fc.uint8Array()), sequence, (parts, sequence) => {
    const bytes = Uint8Array.from(parts.flatMap((part) => [...part]));
    assert.deepEqual(parseFrame(formatFrame("bytes", sequence, ...parts)), {
      kind: "bytes",
      sequence,
      bytes,
    });
  }));
});

Deno.test("link frames: the largest is as long as a message may be, one byte more is refused", () => {
  assert.equal(formatFrame("bytes", 1, new Uint8Array(MAX_PAYLOAD_BYTES)).length, MAX_MESSAGE_BYTES);
  assert.throws(
    () => formatFrame("bytes", 1, new Uint8Array(MAX_PAYLOAD_BYTES), new Uint8Array(1)),
    RangeError,
  );
});

Deno.test("link frames: any bytes parse to a frame that formats to the same, or to nothing", () => {
  const mutated = fc.tuple(frame, fc.array(fc.tuple(fc.nat({ max: 40 }), fc.nat({ max: 255 })))).map(
    ([each, changes]) => {
      const bytes = format(each);
      for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
      return bytes;
    },
  );
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), mutated), (bytes) => {
      const found = parseFrame(bytes);
      if (found) assert.deepEqual(format(found), bytes);
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("link frames: broken ones are nothing", () => {
  const good = formatFrame("ack", 1);
  assert.equal(parseFrame(good.subarray(0, 7)), undefined);
  assert.equal(parseFrame(Uint8Array.of(...good, 0)), undefined, "an acknowledgement carries nothing");
  assert.equal(parseFrame(Uint8Array.of(5, ...good.subarray(1))), undefined, "an unknown kind");
  assert.equal(parseFrame(Uint8Array.of(3, 1, ...good.subarray(2))), undefined, "a byte that has to be 0");
  assert.equal(parseFrame(formatFrame("text", 1, Uint8Array.of(0xc3))), undefined, "a text that is no UTF-8");
});

Deno.test("link hello: what is formatted parses back", () => {
  const hex = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((each) => each.toHex());
  fc.assert(fc.property(hex, fc.maxSafeNat(), (id, received) => {
    assert.deepEqual(parseHello(formatHello({ id, received })), { id, received });
  }));
});

Deno.test("link hello: anything else is nothing, and nothing throws", () => {
  const id = "0123456789abcdef".repeat(2);
  const others = [
    undefined,
    "",
    "LINK::",
    "LINK::null",
    `LINK::{"id":"${id}"}`,
    `LINK::{"id":"${id}","received":-1}`,
    `LINK::{"id":"${id}","received":0.5}`,
    `LINK::{"id":"${id}","received":1e99}`,
    `LINK::{"id":"${id}\\n","received":0}`,
    `LINK::{"id":"${id.toUpperCase()}","received":0}`,
    ` LINK::{"id":"${id}","received":0}`,
    new TextEncoder().encode(`LINK::{"id":"${id}","received":0}`),
  ];
  for (const each of others) assert.equal(parseHello(each), undefined, String(each));
  const hostile = fc.oneof(fc.string({ unit: "binary" }), fc.json().map((json) => `LINK::${json}`));
  fc.assert(fc.property(hostile, (each) => assert.equal(parseHello(each), undefined)));
});
