import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import fc from "fast-check";
import type { FileEntry } from "../../protocol/files.ts";
import { formatChunkHeader, MAX_CHUNK_BYTES } from "../../protocol/files.ts";
import { WINDOW_BYTES } from "../../protocol/link.ts";
import { formatMessage, type Message, parseMessage } from "../../protocol/message.ts";
import { declineFiles, FilesReceiver, parseOffer } from "../../rtc/receive_files.ts";
import { FilesSender, type OutgoingFiles } from "../../rtc/send_files.ts";
import { ConnectionError, TransferError } from "../../rtc/transfer_error.ts";
import { withTempDir } from "../storage/temp.ts";
import { KEY, noise, outgoingOf, receive, send, sha256 } from "./files_lab.ts";
import { type LabLane, type LinkLab, withLink } from "./link_lab.ts";

const MIB = 1024 * 1024;

interface FilesLab extends LinkLab {
  lanes: readonly LabLane[];
  /** Where files are sent from, where they arrive, and where they end. */
  home: string;
  root: string;
  target: string;
}

function withFiles(test: (lab: FilesLab) => Promise<void>): Promise<void> {
  return withTempDir((dir) =>
    withLink(async (lab, lanes) => {
      const [home, root, target] = [join(dir, "home"), join(dir, "root"), join(dir, "target")];
      for (const each of [home, root]) await Deno.mkdir(each);
      await test(Object.assign(lab, { lanes, home, root, target }));
    })
  );
}

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).toSorted();
}

/** Sends all, and checks that all arrives and nothing else is left. */
async function roundTrip(
  { client, worker, root, target }: FilesLab,
  outgoing: OutgoingFiles,
  contents: Readonly<Record<string, Uint8Array | string>>,
): Promise<FilesSender> {
  const [{ folder, error }, sender] = await Promise.all([receive(worker, { root }), send(client, outgoing)]);
  assert.equal(error, undefined);
  await folder!.moveTo(target);
  for (const [name, content] of Object.entries(contents)) {
    const expected = typeof content === "string" ? new TextEncoder().encode(content) : content;
    assert.equal(sha256(await Deno.readFile(join(target, name))), sha256(expected), name);
  }
  assert.deepEqual(names(root), []);
  return sender;
}

const CONTENTS: readonly [string, Readonly<Record<string, Uint8Array | string>>][] = [
  ["one file", { "a.zip": noise(5 * MIB + 7) }],
  ["no file", {}],
  ["one empty file", { a: "" }],
  ["files around the size of a chunk", {
    a: noise(MAX_CHUNK_BYTES - 1),
    b: noise(MAX_CHUNK_BYTES),
    c: noise(MAX_CHUNK_BYTES + 1),
    d: noise(MIB),
    e: noise(MIB + 1),
  }],
  ["nested and empty files, in any order", { "x/y/z": "1", a: "", "x/a": "2", "x/y/b": "", z: "" }],
  ["names with letters of all kinds", {
    "Über/größe.txt": "1",
    "データ/🧬 1": "2",
    "a'b\"c": "3",
    "e\u0301": "4",
  }],
];
for (const [name, contents] of CONTENTS) {
  Deno.test(`files: ${name}`, () =>
    withFiles(async (lab) => {
      const sender = await roundTrip(lab, await outgoingOf(lab.home, contents), contents);
      assert.equal(sender.bytesSent, sender.size);
    }));
}

Deno.test("files: two thousand of them", () =>
  withFiles(async (lab) => {
    const contents = Object.fromEntries(
      Array.from({ length: 2_000 }, (_, each) => [`${each % 40}/${each}`, `file ${each}`.repeat(each % 3)]),
    );
    await roundTrip(lab, await outgoingOf(lab.home, contents), contents);
  }));

Deno.test("files: progress goes from what was there to the end, and never back", () =>
  withFiles(async ({ client, worker, root, home }) => {
    const outgoing = await outgoingOf(home, { a: noise(3 * MIB), b: "", c: noise(100) });
    const [there, here]: number[][] = [[], []];
    const keep = (list: number[]) => (done: number, total: number): void => {
      assert.equal(total, 3 * MIB + 100);
      list.push(done);
    };
    const [{ folder }] = await Promise.all([
      receive(worker, { root, durable: true, onProgress: keep(here!) }),
      send(client, outgoing, { onProgress: keep(there!) }),
    ]);
    await folder!.discard();
    for (const list of [there!, here!]) {
      assert.deepEqual(list, list.toSorted((a, b) => a - b));
      assert.equal(list.at(-1), 3 * MIB + 100);
    }
  }));

Deno.test("files: resumed wherever they were interrupted, with little sent again", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.constant(0), fc.nat({ max: 200_000 }), fc.constant(2 * MIB)), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 3 }),
      async (sizes, stops) => {
        const contents = Object.fromEntries(sizes.map((size, each) => [`f/${each}`, noise(size, each + 1)]));
        await withFiles(async (lab) => {
          const outgoing = await outgoingOf(lab.home, contents);
          let sent = 0;
          for (const stop of stops) {
            await withLink(async ({ client, worker }) => {
              const sending = send(client, outgoing).then(({ bytesSent }) => sent += bytesSent, () => {});
              const { folder } = await receive(worker, { root: lab.root }, stop);
              await folder?.keep();
              await worker.close();
              await sending;
            });
          }
          let found = 0;
          const [{ folder }, sender] = await Promise.all([
            receive(lab.worker, { root: lab.root }),
            send(lab.client, outgoing, { onFound: (bytes) => found = bytes }),
          ]);
          assert.equal(sender.bytesSent, sender.size - found);
          await folder!.moveTo(lab.target);
          for (const [name, bytes] of Object.entries(contents)) {
            assert.equal(sha256(await Deno.readFile(join(lab.target, name))), sha256(bytes));
          }
          assert.deepEqual(names(lab.root), []);
        });
      },
    ),
    { numRuns: 25 },
  ));

/** Breaks a transfer of 30 MiB off after 25 MiB, and returns what was sent. */
async function breakOff({ home, root }: FilesLab): Promise<OutgoingFiles> {
  const outgoing = await outgoingOf(home, { a: noise(10 * MIB), b: "", c: noise(20 * MIB, 2) });
  await withLink(async ({ client, worker }) => {
    const sending = assert.rejects(send(client, outgoing), ConnectionError);
    assert.deepEqual(await receive(worker, { root }, Math.ceil(25 * MIB / MAX_CHUNK_BYTES)), {});
    await worker.close();
    await sending;
  });
  return outgoing;
}

/** Sends what was broken off; returns how much was found. */
async function goOn(lab: FilesLab, outgoing: OutgoingFiles): Promise<number> {
  let found = -1;
  const [{ folder }] = await Promise.all([
    receive(lab.worker, { root: lab.root, onFound: (bytes) => found = bytes }),
    send(lab.client, outgoing),
  ]);
  await folder!.moveTo(lab.target);
  for (const { name } of outgoing.files) {
    const [a, b] = await Promise.all(
      [join(lab.home, name), join(lab.target, name)].map((each) => Deno.readFile(each)),
    );
    assert.equal(sha256(a!), sha256(b!), name);
  }
  return found;
}

Deno.test("files: a transfer goes on after its link is lost; what had come is not sent again", () =>
  withFiles(async (lab) => {
    const found = await goOn(lab, await breakOff(lab));
    assert.ok(25 * MIB - found <= MIB + WINDOW_BYTES && found > 8 * MIB, String(found));
  }));

Deno.test("files: content that changed under the same key begins anew", () =>
  withFiles(async (lab) => {
    const outgoing = await breakOff(lab);
    await Deno.writeFile(join(lab.home, "a"), noise(10 * MIB, 9));
    assert.equal(await goOn(lab, outgoing), 0);
  }));

Deno.test("files: a list that changed under the same key begins anew", () =>
  withFiles(async (lab) => {
    await breakOff(lab);
    assert.equal(await goOn(lab, await outgoingOf(lab.home, { a: noise(10 * MIB), other: "x" })), 0);
  }));

/** What may have become of an unfinished transfer on disk. */
const DAMAGES: Readonly<Record<string, (files: string) => Promise<void>>> = {
  "a byte is another": async (files) => {
    using file = await Deno.open(join(files, "a"), { write: true });
    await file.seek(MIB, Deno.SeekMode.Start);
    await file.write(Uint8Array.of(noise(MIB + 1).at(-1)! ^ 1));
  },
  "a file is longer": (files) => Deno.writeFile(join(files, "a"), new Uint8Array(5), { append: true }),
  "a file is shorter": (files) => Deno.truncate(join(files, "a"), MIB),
  "a file is gone": (files) => Deno.remove(join(files, "a")),
  "an empty file is gone": (files) => Deno.remove(join(files, "b")),
  "a folder is where a file was": async (files) => {
    await Deno.remove(join(files, "a"));
    await Deno.mkdir(join(files, "a/x"), { recursive: true });
  },
  "all are gone": (files) => Deno.remove(files, { recursive: true }),
  "the list is gone": (files) => Deno.remove(join(dirname(files), "list.json")),
  "the list is garbage": (files) => Deno.writeTextFile(join(dirname(files), "list.json"), "{"),
};
for (const [name, damage] of Object.entries(DAMAGES)) {
  Deno.test(`files: whatever happens on disk meanwhile, the right bytes arrive: ${name}`, () =>
    withFiles(async (lab) => {
      const outgoing = await breakOff(lab);
      await damage(join(lab.root, KEY, "files"));
      await goOn(lab, outgoing);
    }));
}

/** Sends, expects both sides to fail, and nothing to be left. */
async function failBoth(
  { client, worker, root }: FilesLab,
  outgoing: OutgoingFiles,
  here: RegExp,
  there: RegExp,
): Promise<void> {
  const sending = send(client, outgoing).then(() => undefined, (error: unknown) => error);
  const { folder, error } = await receive(worker, { root });
  assert.equal(folder, undefined);
  assert.match(String(error), there);
  const sent = await sending;
  assert.ok(sent instanceof TransferError, String(sent));
  assert.match(sent.message, here);
  assert.deepEqual(names(root), []);
}

Deno.test("files: a bit that flips on the way is found, both sides name the file, and nothing is delivered", () =>
  withFiles(async (lab) => {
    let [seen, flipped] = [0, 0];
    lab.lanes[0]!.client.alter = (message): string | Uint8Array => {
      if (typeof message !== "string" && message.length > 60_000 && ++seen === 30) {
        message[message.length - 5]! ^= 4;
        flipped++;
      }
      return message;
    };
    await failBoth(
      lab,
      await outgoingOf(lab.home, { good: "x", "bad.bin": noise(4 * MIB) }),
      /bad\.bin/,
      /bad\.bin/,
    );
    assert.equal(flipped, 1);
  }));

const CHANGES: Readonly<Record<string, (path: string) => Promise<void>>> = {
  "is cut short": (path) => Deno.truncate(path, 2 * MIB),
  grows: (path) => Deno.writeFile(path, new Uint8Array(1), { append: true }),
  "is written to": async (path) => {
    using file = await Deno.open(path, { write: true });
    await file.write(Uint8Array.of(0));
  },
};
for (const [name, change] of Object.entries(CHANGES)) {
  for (const when of ["before", "while"]) {
    // Before it is opened nobody knows what it held.
    if (name === "is written to" && when === "before") continue;
    Deno.test(`files: a file that ${name} ${when} it is sent is named on both sides`, () =>
      withFiles(async (lab) => {
        const outgoing = await outgoingOf(lab.home, { first: "x", "changing.bin": noise(40 * MIB) });
        const path = join(lab.home, "changing.bin");
        await Deno.utime(path, new Date(0), new Date(0));
        if (when === "before") await change(path);
        else {
          let chunks = 0;
          lab.lanes[0]!.client.alter = (message): string | Uint8Array => {
            if (message.length > 60_000 && ++chunks === 5) void change(path);
            return message;
          };
        }
        await failBoth(lab, outgoing, /changing\.bin changed/, /changing\.bin changed/);
      }));
  }
}

Deno.test("files: a file that is gone ends the transfer without telling where it was", () =>
  withFiles(async (lab) => {
    const outgoing = await outgoingOf(lab.home, { a: "x" });
    await Deno.remove(join(lab.home, "a"));
    const sending = assert.rejects(send(lab.client, outgoing), Deno.errors.NotFound);
    const { error } = await receive(lab.worker, { root: lab.root });
    assert.ok(error instanceof TransferError && !error.message.includes(lab.home));
    await sending;
  }));

const HOSTILE_NAMES = [
  "../a",
  "/etc/a",
  "a/../../b",
  "C:a",
  "a\\b",
  "a\0b",
  "..",
  ".",
  "a\nb",
  "con",
  "x".repeat(300),
];
for (const name of HOSTILE_NAMES) {
  Deno.test(`files: the name ${JSON.stringify(name).slice(0, 20)} is refused, and nothing is left`, () =>
    withFiles(async (lab) => {
      const { purpose, key, files } = await outgoingOf(lab.home, { a: "x" });
      await failBoth(lab, { purpose, key, files: [{ ...files[0]!, name }] }, /Path outside/, /Path outside/);
      assert.deepEqual(names(join(lab.root, "..")), ["home", "root"]);
    }));
}

Deno.test("files: a refusal that is long to tell is told all the same", () =>
  withFiles(async (lab) => {
    const { purpose, key, files } = await outgoingOf(lab.home, { a: "x" });
    const name = `${"ü/".repeat(2_040)}../x`;
    await failBoth(lab, { purpose, key, files: [{ ...files[0]!, name }] }, /Path outside/, /Path outside/);
  }));

for (
  const pair of [["a", "a"], ["a", "A"], ["a", "a/b"], ["a/b", "a"], ["A/x", "a"], ["\u00e9", "e\u0301"]]
) {
  Deno.test(`files: ${pair.join(" and ")} in one transfer are refused`, () =>
    withFiles(async (lab) => {
      const { purpose, key, files } = await outgoingOf(lab.home, { a: "x" });
      const both = pair.map((name) => ({ ...files[0]!, name }));
      await failBoth(lab, { purpose, key, files: both }, /Path outside/, /Path outside/);
    }));
}

/** A receiver whose sender is a test. */
interface Hostile {
  receiver: FilesReceiver;
  /** What the sender was told. */
  told: Message[];
  take(type: "FILES_LIST" | "FILES_BEGIN" | "FILE_END" | "FILES_CANCEL", value: object): Promise<unknown>;
  chunk(file: number, offset: number, bytes: number, id?: number): Promise<void>;
}

function hostile(root: string, files: number, bytes: number, key: string | null = KEY): Hostile {
  const told: Message[] = [];
  const pipe = {
    send: (text: string | Uint8Array): Promise<void> => {
      told.push(parseMessage(String(text)) as Message);
      return Promise.resolve();
    },
  };
  const offer = { id: 7, purpose: "folder" as const, key, files, bytes };
  const receiver = new FilesReceiver(pipe as never, offer, { root, durable: false });
  return {
    receiver,
    told,
    take: (type, value) => receiver.take({ type, json: JSON.stringify({ id: 7, ...value }) }),
    chunk: (file, offset, bytes, id = 7) =>
      receiver.takeChunk(Uint8Array.of(...formatChunkHeader({ id, file, offset }), ...new Uint8Array(bytes))),
  };
}

const LIST: FileEntry[] = [{ name: "a", size: 10 }, { name: "b", size: 0 }, { name: "c", size: 5 }];
const END_A = { file: 0, sha256: sha256(new Uint8Array(10)) };

/** What a sender may do wrong after an offer of three files with fifteen bytes. */
const WRONGS: Readonly<Record<string, (hostile: Hostile) => Promise<unknown>>> = {
  "more files than announced": ({ take }) => take("FILES_LIST", { files: [...LIST, { name: "d", size: 0 }] }),
  "other sizes than announced": ({ take }) =>
    take("FILES_LIST", { files: LIST.with(0, { name: "a", size: 11 }) }),
  "a second list": async ({ take }) => {
    await take("FILES_LIST", { files: LIST });
    await take("FILES_LIST", { files: LIST });
  },
  "no JSON": ({ receiver }) => receiver.take({ type: "FILES_LIST", json: "{" }),
  "another transfer's list": ({ take }) => take("FILES_LIST", { id: 8, files: LIST }),
  "a beginning before the list": ({ take }) => take("FILES_BEGIN", { offset: 0 }),
  "a chunk before the list": ({ chunk }) => chunk(0, 0, 1),
  "a file's end before the list": ({ take }) => take("FILE_END", END_A),
  ...afterList({
    "a chunk before the beginning": ({ chunk }) => chunk(0, 0, 1),
    "a file's end before the beginning": ({ take }) => take("FILE_END", END_A),
    "a beginning where nobody asked for": ({ take }) => take("FILES_BEGIN", { offset: 5 }),
    "a beginning at the end": ({ take }) => take("FILES_BEGIN", { offset: 15 }),
    "a beginning behind the end": ({ take }) => take("FILES_BEGIN", { offset: 16 }),
    "two beginnings": async ({ take }) => {
      await take("FILES_BEGIN", { offset: 0 });
      await take("FILES_BEGIN", { offset: 0 });
    },
    ...afterBegin({
      "a chunk of another transfer": ({ chunk }) => chunk(0, 0, 1, 8),
      "a chunk of another file": ({ chunk }) => chunk(2, 0, 1),
      "a chunk of no file": ({ chunk }) => chunk(99, 0, 1),
      "a chunk with a gap before it": ({ chunk }) => chunk(0, 1, 1),
      "a chunk twice": async ({ chunk }) => {
        await chunk(0, 0, 4);
        await chunk(0, 0, 4);
      },
      "a chunk over the end": ({ chunk }) => chunk(0, 0, 11),
      "a chunk that is none": ({ receiver }) => receiver.takeChunk(new Uint8Array(16)),
      "an early end": ({ take }) => take("FILE_END", END_A),
      "the end of another file": ({ take }) => take("FILE_END", { ...END_A, file: 1 }),
      "another hash": async ({ take, chunk }) => {
        await chunk(0, 0, 10);
        await take("FILE_END", { file: 0, sha256: KEY });
      },
    }),
  }),
};

type Wrongs = Readonly<Record<string, (hostile: Hostile) => Promise<unknown>>>;

function afterList(wrongs: Wrongs): Wrongs {
  return before(({ take }) => take("FILES_LIST", { files: LIST }), wrongs);
}

function afterBegin(wrongs: Wrongs): Wrongs {
  return before(({ take }) => take("FILES_BEGIN", { offset: 0 }), wrongs);
}

function before(first: (hostile: Hostile) => Promise<unknown>, wrongs: Wrongs): Wrongs {
  return Object.fromEntries(
    Object.entries(wrongs).map((
      [name, wrong],
    ) => [name, (hostile) => first(hostile).then(() => wrong(hostile))]),
  );
}

for (const [name, wrong] of Object.entries(WRONGS)) {
  Deno.test(`files: a sender with ${name} is refused with a reason, and nothing is left`, () =>
    withTempDir(async (root) => {
      const lab = hostile(root, 3, 15);
      await assert.rejects(wrong(lab), TransferError);
      const last = lab.told.at(-1)!;
      assert.equal(last.type, "FILES_CANCEL");
      assert.deepEqual(names(root), []);
      assert.ok(lab.receiver.isOver);
      // What still comes of it is passed over.
      await lab.chunk(0, 0, 1);
      assert.equal(await lab.take("FILE_END", END_A), undefined);
      assert.equal(lab.told.at(-1), last);
    }));
}

Deno.test("files: a transfer that ends before anything came leaves nothing, after that what came", () =>
  withTempDir(async (root) => {
    for (const steps of [0, 1, 2]) {
      const { take, receiver } = hostile(root, 3, 15);
      if (steps > 0) await take("FILES_LIST", { files: LIST });
      if (steps > 1) await take("FILES_BEGIN", { offset: 0 });
      await receiver.interrupt();
      assert.deepEqual(names(root), []);
    }
    const { take, chunk, receiver } = hostile(root, 3, 15);
    await take("FILES_LIST", { files: LIST });
    await take("FILES_BEGIN", { offset: 0 });
    await chunk(0, 0, 1);
    await receiver.interrupt();
    assert.deepEqual(names(root), [KEY]);
  }));

Deno.test("files: more than the disk has room for is refused before anything comes", () =>
  withTempDir(async (root) => {
    const { take, told } = hostile(root, 1, 2 ** 52);
    await assert.rejects(
      take("FILES_LIST", { files: [{ name: "a", size: 2 ** 52 }] }),
      /the disk has no space for/,
    );
    const last = told.at(-1)!;
    assert.ok(
      last.type === "FILES_CANCEL" && /"no space"/.test(last.json) && !last.json.includes(root),
      String(last),
    );
    assert.deepEqual(names(root), []);
  }));

Deno.test("files: names that would fill the memory are refused as they come", () =>
  withTempDir(async (root) => {
    const { take, receiver } = hostile(root, 100_000, 0);
    let taken = 0;
    const flood = async (): Promise<void> => {
      for (; taken < 100_000; taken += 10) {
        const files = Array.from(
          { length: 10 },
          (_, each) => ({ name: `${taken + each}/`.padEnd(4_000, "x"), size: 0 }),
        );
        await take("FILES_LIST", { files });
      }
    };
    await assert.rejects(flood(), TransferError);
    assert.ok(taken < 5_000 && receiver.isOver, String(taken));
  }));

Deno.test({
  name:
    "files: a disk that runs full is told to the sender, and nothing is left (needs root for a small tmpfs)",
  ignore: Deno.build.os !== "linux" || Deno.uid() !== 0,
  fn: () =>
    withFiles(async (lab) => {
      const mount = ["-t", "tmpfs", "-o", "size=8m", "tmpfs", lab.root];
      assert.ok((await new Deno.Command("mount", { args: mount }).output()).success);
      try {
        const outgoing = await outgoingOf(lab.home, { a: noise(6 * MIB) });
        // Somebody else fills the disk meanwhile.
        let chunks = 0;
        lab.lanes[0]!.client.alter = (message): string | Uint8Array => {
          if (message.length > 60_000 && ++chunks === 1) {
            Deno.writeFileSync(join(lab.root, "other"), noise(5 * MIB));
          }
          return message;
        };
        const sending = assert.rejects(
          send(lab.client, outgoing),
          /not enough disk space on the receiving side/,
        );
        const { error } = await receive(lab.worker, { root: lab.root });
        assert.match(String(error), /the disk has no space for/);
        await sending;
        assert.deepEqual(names(lab.root), ["other"]);
      } finally {
        assert.ok((await new Deno.Command("umount", { args: [lab.root] }).output()).success);
      }
    }),
});

Deno.test("files: a sender that gives up tells why; what came is kept for its next attempt", () =>
  withFiles(async (lab) => {
    const outgoing = await outgoingOf(lab.home, { a: noise(40 * MIB) });
    const abort = new AbortController();
    const reason = new Error("enough");
    const sending = assert.rejects(send(lab.client, outgoing, {}, abort.signal), reason);
    const { error } = await receive(lab.worker, {
      root: lab.root,
      onProgress: (done) => done > 20 * MIB && abort.abort(reason),
    });
    assert.match(String(error), /the sender ended the transfer: enough/);
    await sending;
    assert.ok(await goOn(lab, outgoing) > 18 * MIB);
  }));

Deno.test("files: a sender that gives up does not wait for a side that is away", () =>
  withFiles(async (lab) => {
    const abort = new AbortController();
    const reason = new Error("enough");
    const outgoing = await outgoingOf(lab.home, { a: noise(40 * MIB) });
    const sending = assert.rejects(send(lab.client, outgoing, {}, abort.signal), reason);
    const receiving = receive(lab.worker, {
      root: lab.root,
      onProgress: (done) => {
        if (done < 5 * MIB || abort.signal.aborted) return;
        lab.lanes[0]!.cut();
        setTimeout(() => abort.abort(reason), 50);
      },
    });
    await sending;
    await lab.worker.close();
    await receiving;
  }));

Deno.test("files: an abort before the start, and an end of the link, end the sender", () =>
  withFiles(async ({ client, worker, home }) => {
    const outgoing = await outgoingOf(home, { a: "x" });
    const reason = new Error("enough");
    await assert.rejects(send(client, outgoing, {}, AbortSignal.abort(reason)), reason);
    const sending = assert.rejects(send(client, outgoing), ConnectionError);
    await worker.close();
    await sending;
    await assert.rejects(new FilesSender(client, outgoing).run(), ConnectionError);
  }));

Deno.test("files: who declines is read", () =>
  withFiles(async ({ client, worker, home }) => {
    const sending = send(client, await outgoingOf(home, { a: "x" }));
    const offer = parseMessage(String(await worker.receive()));
    assert.ok(offer.type === "FILES_OFFER");
    await declineFiles(worker, parseOffer(offer.json)!, "not now");
    await assert.rejects(sending, /the other side ended the transfer: not now/);
  }));

Deno.test("files: a link that ends while the other side looks for what it has takes nothing away", () =>
  withFiles(async (lab) => {
    const outgoing = await breakOff(lab);
    await withLink(async ({ client, worker }) => {
      const sender = new FilesSender(client, outgoing);
      const sending = assert.rejects(sender.run(), ConnectionError);
      const heard = [];
      for (let each = 0; each < 2; each++) heard.push(parseMessage(String(await worker.receive())));
      await worker.close();
      await sending;
      const [offer, list] = heard;
      assert.ok(offer?.type === "FILES_OFFER" && list?.type === "FILES_LIST");
      const receiver = new FilesReceiver(worker, parseOffer(offer.json)!, { root: lab.root, durable: false });
      await assert.rejects(receiver.take(list), ConnectionError);
    });
    assert.ok(await goOn(lab, outgoing) > 8 * MIB);
  }));

Deno.test("files: what is said of the other direction's transfer with the same number is passed over", () =>
  withFiles(async ({ client, home, root }) => {
    const lab = hostile(root, 3, 15);
    await lab.take("FILES_CANCEL", { by: "receiver", code: "refused", reason: "another" });
    assert.equal(lab.receiver.isOver, false);
    await lab.receiver.interrupt();
    const sender = new FilesSender(client, await outgoingOf(home, { a: "x" }));
    const running = assert.rejects(sender.run(), ConnectionError);
    for (let id = 0; id < 1_000; id++) {
      const json = JSON.stringify({ id, by: "sender", code: "cancelled", reason: "another" });
      sender.take({ type: "FILES_CANCEL", json });
    }
    await client.close();
    await running;
  }));

Deno.test("files: answers about other transfers, or broken ones, are passed over by a sender", () =>
  withFiles(async (lab) => {
    const contents = { a: noise(MIB) };
    void lab.worker.send(formatMessage({ type: "FILES_DONE", json: '{"id":4294967295}' }));
    void lab.worker.send(formatMessage({ type: "FILES_READY", json: "{" }));
    void lab.worker.send(formatMessage({ type: "FILES_CANCEL", json: "[]" }));
    void lab.worker.send(formatMessage({ type: "FILES_LIST", json: "{}" }));
    await roundTrip(lab, await outgoingOf(lab.home, contents), contents);
  }));

Deno.test("files: two transfers with one key do not touch each other", () =>
  withFiles(async (lab) => {
    const outgoing = await outgoingOf(lab.home, { a: noise(3 * MIB) });
    await withLink(async ({ client, worker }) => {
      const sending = [send(lab.client, outgoing), send(client, outgoing)];
      const both = await Promise.all([lab.worker, worker].map((each) => receive(each, { root: lab.root })));
      await Promise.all(sending);
      for (const [number, { folder }] of both.entries()) {
        const target = `${lab.target}${number}`;
        await folder!.moveTo(target);
        assert.equal(sha256(await Deno.readFile(join(target, "a"))), sha256(noise(3 * MIB)));
      }
      assert.deepEqual(names(lab.root), []);
    });
  }));
