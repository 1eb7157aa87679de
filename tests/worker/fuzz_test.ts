/** What a hostile client may send over a link, in large numbers. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../../config/user_error.ts";
import { formatChunkHeader } from "../../protocol/files.ts";
import { formatAck, formatFrame, parseFrame } from "../../protocol/link.ts";
import type { FilesMessageType } from "../../protocol/message.ts";
import type { Link } from "../../rtc/link.ts";
import { FilesReceiver } from "../../rtc/receive_files.ts";
import { Dice } from "../../scripts/dice.ts";
import { IncomingFolder } from "../../storage/incoming.ts";
import { liveBytes } from "../memory.ts";
import type { FakeNative } from "../rtc/fake_native.ts";
import { KEY, noise, outgoingOf, sha256 } from "../rtc/files_lab.ts";
import { hostileLink, settled, withLink } from "../rtc/link_lab.ts";
import { type Places, sending, serve, until, withPlaces } from "./link_lab.ts";
import { names } from "./session_lab.ts";

/** Messages in all. */
const MESSAGES = 1_000_000;
/** So many at a time. */
const BURST = 2_000;
/** Memory may grow by so many bytes: less than a hundred for each message. */
const GROWTH = 64 * 1024 * 1024;

const HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const LISTS: readonly object[] = [
  { files: [{ name: "a", size: 3 }] },
  { files: [{ name: "a", size: 1 }, { name: "b/c", size: 2 }] },
  { files: [{ name: "../a", size: 3 }] },
];

/** A message about files, good by itself; in which order they come is left to chance. */
function aboutFiles(dice: Dice): [FilesMessageType, object] {
  const id = 1 + dice.roll(2);
  const [file, offset] = [dice.roll(3), dice.pick([0, 0, 1, 3])];
  switch (dice.roll(8)) {
    case 0: {
      const purpose = dice.pick(["package", "folder", "folder", "results"]);
      const [files, bytes] = dice.pick([[0, 0], [1, 3], [2, 3], [1, 2 ** 50]] as const);
      return ["FILES_OFFER", { id, purpose, key: dice.pick([null, KEY, HASH]), files, bytes }];
    }
    case 1:
    case 2:
      return ["FILES_LIST", { id, ...dice.pick(LISTS) }];
    case 3:
    case 4:
      return ["FILES_BEGIN", { id, offset }];
    case 5:
      return ["FILE_END", { id, file, sha256: HASH }];
    case 6:
      return [dice.pick(["FILES_READY", "FILES_DONE"]), { id, offset, sha256: HASH }];
    default: {
      const code = dice.pick(["cancelled", "changed", "x"]);
      return ["FILES_CANCEL", { id, by: dice.pick(["sender", "receiver"]), code, reason: "x" }];
    }
  }
}

const TEXTS = [
  "STORAGE_BACKEND::vast",
  "STORAGE_BACKEND::none",
  "USER_SUBDIR::alice",
  "JOB_ID::job_1a2b3c4d",
  "FILE_META::pkg.zip:5:False",
  "SHARED_INPUT_PATH::pkg.zip",
  "SHARED_OUTPUT_PATH::../x",
  "SHARED_STORAGE_JOB::start",
  "PACKAGE_TYPE::train",
  "END_OF_FILE",
  "STORAGE_PROOF::{}",
  "ZMQ_CTRL::{}",
  "LINK::{}",
  "JOB_FAILED::x",
  "any text",
];

function chunk(dice: Dice): Uint8Array {
  const place = { id: 1 + dice.roll(2), file: dice.roll(3), offset: dice.pick([0, 0, 1, 2 ** 40]) };
  return Uint8Array.of(...formatChunkHeader(place), ...dice.bytes(4));
}

/** Changes, cuts or doubles some of it. */
function mutated(dice: Dice, bytes: Uint8Array): Uint8Array {
  switch (dice.roll(4)) {
    case 0:
      return bytes.subarray(0, dice.roll(bytes.length + 1));
    case 1:
      return Uint8Array.of(...bytes, ...bytes.subarray(dice.roll(bytes.length + 1)));
    default:
      for (let each = dice.roll(4); each >= 0; each--) bytes[dice.roll(bytes.length)] = dice.roll(256);
      return bytes;
  }
}

/** A text or bytes, whole or mutated, or nothing but noise. */
function payload(dice: Dice): ["text" | "bytes", Uint8Array] {
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  const kind = dice.roll(10);
  if (kind === 0) return ["bytes", dice.bytes(60)];
  let [type, bytes]: ["text" | "bytes", Uint8Array] = ["bytes", new Uint8Array()];
  if (kind < 4) bytes = chunk(dice);
  else if (kind < 8) {
    const [keyword, value] = aboutFiles(dice);
    [type, bytes] = ["text", encode(`${keyword}::${JSON.stringify(value)}`)];
  } else [type, bytes] = ["text", encode(dice.pick(TEXTS))];
  if (dice.roll(3) > 0) return [type, bytes];
  // A text that is no UTF-8 any more would end the link; that is tried elsewhere.
  const changed = mutated(dice, bytes);
  return [type, type === "text" ? encode(new TextDecoder().decode(changed)) : changed];
}

/** The other side of a link, which keeps to its rules and says what it likes. */
class Talker {
  sequence = 0;
  #consumed = 0;
  #heard = 0;

  constructor(readonly native: FakeNative) {}

  say(kind: "text" | "bytes", bytes: Uint8Array): void {
    this.native.deliver(formatFrame(kind, ++this.sequence, bytes));
  }

  /** Reads what was said in answer, until little enough is under way. */
  async listen(): Promise<void> {
    do {
      await settled();
      for (const message of this.native.sent.splice(0)) {
        const frame = typeof message === "string" ? undefined : parseFrame(message);
        if (frame?.kind === "ack") this.#consumed = Math.max(this.#consumed, frame.sequence);
        else if (frame) this.#heard = Math.max(this.#heard, frame.sequence);
      }
      this.native.deliver(formatAck(this.#heard, this.#heard, 0));
    } while (this.sequence - this.#consumed > 5 * BURST);
  }
}

/** Nothing has grown, and a package still arrives. */
async function assertUnharmed(places: Places, before: number): Promise<void> {
  const grown = liveBytes() - before;
  assert.ok(grown < GROWTH, `memory grew by ${grown} bytes`);
  const left = [names(places.scratch), names(places.incoming)];
  assert.ok(left.every((each) => each.length <= 8), left.join());
  await withLink(async ({ client, worker }) => {
    const running = serve(worker, places);
    const { sender, sent } = sending(
      client,
      await outgoingOf(places.home, { "x/a": noise(3_000_000), b: "" }),
    );
    await until(client, /^JOB_FAILED::.*No train-script/, sender);
    assert.equal(await sent, undefined);
    await client.close();
    await running;
  });
}

Deno.test("fuzz: a session over a link", () =>
  withPlaces(async (places) => {
    const dice = new Dice(1);
    const before = liveBytes();
    const { link, native } = await hostileLink();
    const running = serve(link, places);
    const talker = new Talker(native);
    for (let count = 0; count < MESSAGES / 2; count += BURST) {
      for (let each = 0; each < BURST; each++) talker.say(...payload(dice));
      await talker.listen();
    }
    assert.ok(link.isOpen);
    await link.close();
    await running;
    await assertUnharmed(places, before);
  }));

/** A frame out of order, mutated, or no frame at all. */
function frame(dice: Dice, sequence: number): string | Uint8Array {
  const near = Math.max(0, sequence + dice.roll(5) - 2);
  switch (dice.roll(200)) {
    case 0:
      return dice.bytes(40);
    case 1:
      return dice.pick(TEXTS);
    case 2:
      return mutated(dice, formatFrame(...payloadFrame(dice, near)));
    case 3:
      return formatAck(dice.roll(3), dice.roll(9), dice.roll(3));
    case 4:
      return formatFrame("bytes", dice.roll(2 ** 32), dice.bytes(20));
    default:
      return formatFrame(...payloadFrame(dice, near));
  }
}

function payloadFrame(dice: Dice, sequence: number): ["text" | "bytes", number, Uint8Array] {
  const [kind, bytes] = payload(dice);
  return [kind, sequence, bytes];
}

Deno.test("fuzz: links that are ended, and made again", () =>
  withPlaces(async (places) => {
    const dice = new Dice(2);
    const before = liveBytes();
    let links = 0;
    for (let count = 0; count < MESSAGES / 4; links++) {
      const { link, native } = await hostileLink();
      const reading = readAll(link);
      for (let sequence = 1; link.isOpen && count < MESSAGES / 4;) {
        for (let each = 0; each < BURST / 20; each++, count++) native.deliver(frame(dice, sequence++));
        native.sent.length = 0;
        await settled();
      }
      await link.close();
      await reading;
    }
    assert.ok(links > 100, String(links));
    await assertUnharmed(places, before);
  }));

async function readAll(link: Link): Promise<void> {
  while (await link.receive() !== undefined);
}

/** A transfer as it should be, step by step. */
const STEPS: readonly ((receiver: FilesReceiver) => Promise<unknown>)[] = [
  taking("FILES_LIST", LISTS[1]!),
  taking("FILES_BEGIN", { offset: 0 }),
  (receiver) => receiver.takeChunk(zeros(0, 0, 1)),
  taking("FILE_END", { file: 0, sha256: sha256(new Uint8Array(1)) }),
  (receiver) => receiver.takeChunk(zeros(1, 0, 1)),
  (receiver) => receiver.takeChunk(zeros(1, 1, 1)),
  taking("FILE_END", { file: 1, sha256: sha256(new Uint8Array(2)) }),
];

function taking(type: FilesMessageType, value: object): (receiver: FilesReceiver) => Promise<unknown> {
  return (receiver) => receiver.take({ type, json: JSON.stringify({ id: 1, ...value }) });
}

function zeros(file: number, offset: number, bytes: number): Uint8Array {
  return Uint8Array.of(...formatChunkHeader({ id: 1, file, offset }), ...new Uint8Array(bytes));
}

/** Anything but what should come. */
async function wrongStep(dice: Dice, receiver: FilesReceiver): Promise<unknown> {
  if (dice.roll(50) === 0) return await receiver.interrupt();
  if (dice.roll(3) === 0) return await receiver.takeChunk(chunk(dice));
  const [type, value] = aboutFiles(dice);
  const json = new TextEncoder().encode(JSON.stringify(value));
  return await receiver.take({
    type,
    json: new TextDecoder().decode(dice.roll(4) ? json : mutated(dice, json)),
  });
}

Deno.test("fuzz: receivers of files", () =>
  withPlaces(async (places) => {
    const dice = new Dice(3);
    const before = liveBytes();
    const pipe = { send: () => Promise.resolve() } as unknown as Link;
    const newReceiver = (): FilesReceiver => {
      const offer = {
        id: 1,
        purpose: "folder" as const,
        key: dice.pick([null, KEY, HASH]),
        files: 2,
        bytes: 3,
      };
      return new FilesReceiver(pipe, offer, { root: places.incoming, durable: false });
    };
    let [receiver, step, arrived] = [newReceiver(), 0, 0];
    for (let count = 0; count < MESSAGES / 4; count++) {
      if (receiver.isOver && dice.roll(100) === 0) [receiver, step] = [newReceiver(), 0];
      const isRight = step < STEPS.length && dice.roll(5) > 0;
      const taken = isRight ? STEPS[step++]!(receiver) : wrongStep(dice, receiver);
      const folder = await taken.catch((error: unknown) =>
        assert.ok(error instanceof UserError, String(error))
      );
      if (!(folder instanceof IncomingFolder)) continue;
      assert.deepEqual([...await Deno.readFile(join(folder.files, "b/c"))], [0, 0]);
      await folder.discard();
      arrived++;
    }
    await receiver.interrupt();
    assert.ok(arrived > 20, String(arrived));
    await assertUnharmed(places, before);
  }));
