import assert from "node:assert/strict";
import fc from "fast-check";
import {
  formatAck,
  formatFrame,
  formatHello,
  frameBytes,
  LINK_UNKNOWN,
  ONE_LANE_WINDOW_BYTES,
  parseFrame,
  WINDOW_BYTES,
} from "../../protocol/link.ts";
import { MAX_MESSAGE_BYTES, MAX_TEXT_BYTES } from "../../protocol/message.ts";
import { readHello } from "../../rtc/hello.ts";
import { Link, LinkUnknownError, newLinkId } from "../../rtc/link.ts";
import { ConnectionError } from "../../rtc/transfer_error.ts";
import { liveBytes } from "../memory.ts";
import { FakeClock } from "./fake_clock.ts";
import { hostileLink, type LabLane, LinkLab, settled, takeFrom, wires, withLink } from "./link_lab.ts";

const MIB = 1024 * 1024;
const KIB_60 = 60 * 1024;

/** A message of a kind and a size, that tells which one it is. */
function messageOf(number: number, size: number, isText: boolean): string | Uint8Array {
  if (isText) return `${number} ${"é".repeat(size / 2)}`;
  const bytes = new Uint8Array(size + 4);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes.fill(number % 251, 4);
}

/** Bytes of its frame. */
function frameLength(message: string | Uint8Array): number {
  return frameBytes([typeof message === "string" ? new TextEncoder().encode(message) : message]);
}

const size = fc.oneof({ weight: 4, arbitrary: fc.nat({ max: 300 }) }, fc.nat({ max: KIB_60 }));
const messages = fc.array(fc.tuple(size, fc.boolean()), { maxLength: 120 })
  .map((each) => each.map(([size, isText], number) => messageOf(number, size, isText)));
type Step = "cut" | "attach" | "half" | "wait";
const steps = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom<Step>("cut") },
    { weight: 3, arbitrary: fc.constantFrom<Step>("attach") },
    { weight: 1, arbitrary: fc.constantFrom<Step>("half") },
    { weight: 5, arbitrary: fc.constantFrom<Step>("wait") },
  ),
  { maxLength: 30 },
);

async function sendAll(link: Link, messages: readonly (string | Uint8Array)[]): Promise<void> {
  for (const message of messages) await link.send(message);
}

Deno.test("link: every message arrives once and in order, both ways, however lanes come and go", async () => {
  await fc.assert(
    fc.asyncProperty(messages, messages, steps, async (there, back, steps) => {
      const lab = new LinkLab();
      const lanes: LabLane[] = [];
      let losses = 0;
      const attach = async (): Promise<void> => {
        const lane = wires();
        lanes.push(lane);
        // It may be lost before it is used.
        await lab.attach(lane).catch((error) => assert.ok(error instanceof ConnectionError));
      };
      const sending = [sendAll(lab.client, there), sendAll(lab.worker, back)];
      const receiving = [takeFrom(lab.worker, there.length), takeFrom(lab.client, back.length)];
      for (const step of steps) {
        if (step === "attach") void attach();
        if (step === "cut") {
          lanes.shift()?.cut();
          losses++;
        }
        // One side alone notices at first.
        if (step === "half") {
          lanes.shift()?.client.close();
          losses++;
        }
        await settled();
      }
      await attach();
      assert.deepEqual(await Promise.all(receiving), [there, back]);
      await Promise.all(sending);
      // Who asks for more is done with what came.
      const ends = [lab.client.receive(), lab.worker.receive()];
      await Promise.all([lab.client.flush(), lab.worker.flush()]);
      const bytes = [...there, ...back].reduce((sum, message) => sum + frameLength(message), 0);
      for (const { bytesResent, bytesDone } of [lab.client, lab.worker]) {
        assert.ok(bytesResent <= losses * (ONE_LANE_WINDOW_BYTES + MAX_MESSAGE_BYTES));
        assert.equal(bytesDone, bytes);
      }
      await lab.close();
      assert.deepEqual(await Promise.all(ends), [undefined, undefined]);
    }),
    { numRuns: 60 },
  );
});

Deno.test("link: a lost lane costs one window at most, and a window that arrived is not sent again", () =>
  withLink(async (lab, [lane]) => {
    const { client, worker } = lab;
    lane!.client.isHeld = true;
    const sent = sendAll(client, Array.from({ length: 400 }, (_, each) => messageOf(each, KIB_60, false)));
    await settled();
    lane!.cut();
    await lab.attach();
    const received = await takeFrom(worker, 400);
    await sent;
    assert.deepEqual(received.map((each) => new DataView((each as Uint8Array).buffer, 8).getUint32(0)), [
      ...Array(400).keys(),
    ]);
    assert.ok(
      client.bytesResent > MIB / 2 && client.bytesResent <= ONE_LANE_WINDOW_BYTES + MAX_MESSAGE_BYTES,
    );
  }));

Deno.test("link: what has arrived, though nobody has read it, is not sent again", () =>
  withLink(async (lab, [lane]) => {
    await sendAll(lab.client, ["one", "two"]);
    await settled();
    lane!.cut();
    await lab.attach();
    assert.deepEqual(await takeFrom(lab.worker, 2), ["one", "two"]);
    assert.equal(lab.client.bytesResent, 0);
  }));

Deno.test("link: several lanes share the load", () =>
  withLink(async ({ client, worker }, lanes) => {
    const carried = lanes.map(() => 0);
    for (const [number, lane] of lanes.entries()) {
      lane.client.alter = (message): string | Uint8Array => {
        carried[number]! += message.length;
        return message;
      };
    }
    const all = Array.from({ length: 1_000 }, (_, each) => messageOf(each, KIB_60, false));
    const receiving = takeFrom(worker, all.length);
    await sendAll(client, all);
    assert.deepEqual(await receiving, all);
    assert.equal(client.lanes, 3);
    for (const bytes of carried) assert.ok(bytes > MIB, carried.join());
  }, 3));

Deno.test("link: a reader that does not read holds the sender at one window", () =>
  withLink(async ({ client, worker }, lanes) => {
    let sent = 0;
    const sending = (async (): Promise<void> => {
      for (; sent < 1_000; sent++) await client.send(messageOf(sent, KIB_60, false));
    })();
    for (let each = 0; each < 100; each++) await settled();
    const held = sent * KIB_60;
    assert.ok(held > 0.98 * WINDOW_BYTES && held <= WINDOW_BYTES, String(held));
    assert.ok(client.bytesSent <= WINDOW_BYTES + MAX_MESSAGE_BYTES);
    assert.ok(lanes.every(({ client }) => client.buffered === 0), "all of it has left");
    await takeFrom(worker, 1_000);
    await sending;
  }, 2));

Deno.test("link: many small messages are held as well", () =>
  withLink(async ({ client, worker }) => {
    let sent = 0;
    const sending = (async (): Promise<void> => {
      for (; sent < 200_000; sent++) await client.send("x");
    })();
    for (let each = 0; each < 100; each++) await settled();
    assert.ok(sent < 70_000, String(sent));
    await takeFrom(worker, 200_000);
    await sending;
  }));

Deno.test("link: a reader that is always behind keeps no more than a window in memory, on each side", () =>
  withLink(async ({ client, worker }) => {
    const before = liveBytes();
    const sending = (async (): Promise<void> => {
      for (let each = 0; each < 4_000; each++) await client.send(new Uint8Array(KIB_60));
    })();
    let most = 0;
    for (let read = 0; read < 4_000; read++) {
      await worker.receive();
      if (read % 50 === 0) await settled();
      if (read % 500 === 0) most = Math.max(most, liveBytes() - before);
    }
    await sending;
    assert.ok(most < 3 * WINDOW_BYTES, `${most / MIB} MiB of 234`);
  }));

Deno.test("link: flush waits until the other side is done with everything", () =>
  withLink(async ({ client, worker }) => {
    await client.flush();
    await sendAll(client, ["one", "two"]);
    let flushed = false;
    const flushing = client.flush().then(() => flushed = true);
    assert.deepEqual(await takeFrom(worker, 2), ["one", "two"]);
    await settled();
    assert.equal(flushed, false, "the second is in the reader's hands");
    const next = worker.receive();
    await flushing;
    await client.send("three");
    assert.equal(await next, "three");
  }));

Deno.test("link: an abort ends waiting with its reason, and loses nothing", () =>
  withLink(async ({ client, worker }) => {
    const reason = new Error("enough");
    const abort = new AbortController();
    const receiving = assert.rejects(worker.receive(abort.signal), reason);
    abort.abort(reason);
    await receiving;
    await assert.rejects(worker.receive(abort.signal), reason);
    const late = new AbortController();
    let sent = 0;
    const sending = assert.rejects(
      (async (): Promise<void> => {
        for (;; sent++) await client.send(messageOf(sent, KIB_60, false), late.signal);
      })(),
      reason,
    );
    const flushing = assert.rejects(client.flush(late.signal), reason);
    for (let each = 0; each < 50; each++) await settled();
    late.abort(reason);
    await Promise.all([sending, flushing]);
    const all = await takeFrom(worker, sent + 1);
    assert.deepEqual(all, all.map((_, number) => messageOf(number, KIB_60, false)));
  }));

Deno.test("link: the largest text and the largest bytes pass, one byte more is a RangeError and breaks nothing", () =>
  withLink(async ({ client, worker }) => {
    const largest = "é".repeat(MAX_TEXT_BYTES / 2);
    await sendAll(client, [largest, new Uint8Array(MAX_TEXT_BYTES)]);
    await assert.rejects(client.send(`${largest}x`), RangeError);
    await assert.rejects(client.send(new Uint8Array(MAX_TEXT_BYTES + 1)), RangeError);
    await client.send("after");
    assert.deepEqual(await takeFrom(worker, 3), [largest, new Uint8Array(MAX_TEXT_BYTES), "after"]);
  }));

Deno.test("link: a farewell ends both sides; what came before is still read", () =>
  withLink(async ({ client, worker }, lanes) => {
    await sendAll(client, ["one", "two"]);
    await settled();
    await client.close();
    await client.close();
    await worker.closed;
    assert.deepEqual([client.isOpen, worker.isOpen], [false, false]);
    assert.deepEqual(await takeFrom(worker, 4), ["one", "two", undefined, undefined]);
    assert.equal(await client.receive(), undefined);
    for (const link of [client, worker]) await assert.rejects(link.send("x"), ConnectionError);
    await Promise.all([client.flush(), worker.flush()]);
    await settled();
    assert.ok(lanes.every(({ client, worker }) => client.closed && worker.closed));
  }, 2));

Deno.test("link: who has said farewell waits until it is heard, whatever comes in between", async () => {
  const { link, native } = await hostileLink();
  const closing = link.close();
  native.deliver(formatAck(0, 0, 0));
  native.deliver(formatFrame("text", 1, new TextEncoder().encode("late")));
  await settled();
  const last = native.sent.at(-1);
  assert.equal(last instanceof Uint8Array && parseFrame(last)?.kind, "bye");
  assert.ok(!native.closed, "a farewell that is on its way is lost with its channel");
  native.deliver(formatFrame("bye", 0));
  await closing;
  assert.ok(native.closed);
});

Deno.test("link: one that has ended takes no lane any more", () =>
  withLink(async (lab) => {
    await lab.worker.close();
    const { far, worker } = wires();
    await lab.worker.welcome(far, { id: lab.worker.id, received: 0 });
    assert.ok(worker.closed);
  }));

Deno.test("link: an end wakes all who wait", () =>
  withLink(async ({ client, worker }) => {
    const receiving = worker.receive();
    const sending = assert.rejects(
      (async (): Promise<void> => {
        for (;;) await client.send(new Uint8Array(KIB_60));
      })(),
      ConnectionError,
    );
    assert.ok(await receiving);
    const flushing = client.flush();
    await worker.close();
    await Promise.all([sending, flushing]);
  }));

Deno.test("link: without a lane it waits, tells so once for each loss, and ends when nobody comes back", async () => {
  let detached = 0;
  await FakeClock.use(async (clock) => {
    const link = new Link({ id: newLinkId(), patienceMs: 60_000, onDetached: () => detached++ });
    const attach = async (): Promise<LabLane> => {
      const lane = wires();
      await link.welcome(lane.far, { id: link.id, received: 0 });
      return lane;
    };
    const first = await attach();
    const second = await attach();
    first.cut();
    await clock.pass(100);
    assert.equal(detached, 0);
    second.cut();
    await clock.pass(59_000);
    assert.equal(detached, 1);
    const third = await attach();
    await clock.pass(8_000);
    assert.ok(link.isOpen);
    third.cut();
    await clock.pass(59_000);
    assert.ok(link.isOpen && link.silentMs >= 59_000);
    await clock.pass(2_000);
    assert.equal(link.isOpen, false);
    await link.closed;
  });
  assert.equal(detached, 2);
});

Deno.test("link: a lane that is joined must lead to the same link", async () => {
  const link = new Link({ id: newLinkId(), patienceMs: 1_000 });
  const answers: readonly [string | Uint8Array, new (...args: never[]) => Error][] = [
    [LINK_UNKNOWN, LinkUnknownError],
    [formatHello({ id: newLinkId(), received: 0 }), ConnectionError],
    ["JOB_FAILED::x", ConnectionError],
    [Uint8Array.of(1), ConnectionError],
  ];
  for (const [answer, error] of answers) {
    const { near, far } = wires();
    await far.send(answer);
    await assert.rejects(link.join(near), error);
    await near.close();
  }
  const { near, far } = wires();
  await far.close();
  await assert.rejects(link.join(near), ConnectionError);
  const reason = new Error("enough");
  await assert.rejects(link.join(wires().near, AbortSignal.abort(reason)), reason);
  assert.equal(link.lanes, 0);
});

Deno.test("link: a client that does not say hello is not listened to", async () => {
  for (const first of ["x", Uint8Array.of(1)]) {
    const { near, far } = wires();
    await near.send(first);
    await assert.rejects(readHello(far), ConnectionError);
  }
});

const text = (sequence: number, text = "x"): Uint8Array =>
  formatFrame("text", sequence, new TextEncoder().encode(text));

const BREACHES: readonly [string, string | Uint8Array][] = [
  ["a text", "hello"],
  ["garbage", new Uint8Array(100).fill(200)],
  ["nothing", new Uint8Array(0)],
  ["an acknowledgement of what was never sent", formatAck(1, 1, 0)],
  ["a text that is no UTF-8", formatFrame("text", 1, Uint8Array.of(0xff))],
];
for (const [name, breach] of BREACHES) {
  Deno.test(`link: a peer that sends ${name} is left`, async () => {
    const { link, native } = await hostileLink();
    native.deliver(breach);
    await link.closed;
    assert.equal(await link.receive(), undefined);
    await settled();
    assert.ok(native.closed);
    const last = native.sent.at(-1);
    assert.equal(last instanceof Uint8Array && parseFrame(last)?.kind, "bye");
  });
}

Deno.test("link: a peer that overruns its window is left, in order or out of order, large or small", async () => {
  const payload = new Uint8Array(KIB_60);
  for (const [first, bytes] of [[1, payload], [2, payload], [2 ** 40, new Uint8Array(1)]] as const) {
    const { link, native } = await hostileLink();
    let delivered = 0;
    for (let sequence: number = first; link.isOpen; sequence++) {
      for (let each = 0; each < 50; each++) native.deliver(formatFrame("bytes", sequence++, bytes));
      delivered += 50;
      await settled();
    }
    assert.ok(delivered * (bytes.length + 300) < 2.5 * WINDOW_BYTES, String(delivered));
  }
});

Deno.test("link: messages that come again, or late acknowledgements, change nothing", async () => {
  const { link, native } = await hostileLink();
  for (const sequence of [2, 1, 1, 2, 0, 3, 2]) native.deliver(text(sequence, `text ${sequence}`));
  assert.deepEqual(await takeFrom(link, 3), ["text 1", "text 2", "text 3"]);
  await sendAll(link, ["a", "b"]);
  for (const sequence of [0, 2, 1, 0]) native.deliver(formatAck(sequence, 0, 0));
  await link.flush();
  assert.ok(link.isOpen);
  await link.close();
});

Deno.test("link: a hello that claims what was never sent does no harm to what is sent later", async () => {
  const link = new Link({ id: newLinkId(), patienceMs: 60_000 });
  const first = wires();
  await link.welcome(first.far, { id: link.id, received: 1e15 });
  await link.send("one");
  await settled();
  first.cut();
  const { near, far } = wires();
  await link.welcome(far, { id: link.id, received: 0 });
  await near.receive();
  assert.deepEqual(parseFrame(await near.receive() as Uint8Array), {
    kind: "text",
    sequence: 1,
    text: "one",
  });
  await link.close();
});

Deno.test("link: acknowledgements lost with their lane are told again over the next", () =>
  withLink(async (lab, [lane]) => {
    await lab.client.send("one");
    lane!.worker.isHeld = true;
    assert.equal(await lab.worker.receive(), "one");
    const next = lab.worker.receive();
    await new Promise((resolve) => setTimeout(resolve, 30));
    lane!.cut();
    await lab.attach();
    await lab.client.flush();
    await lab.client.send("two");
    assert.equal(await next, "two");
  }));
