import assert from "node:assert/strict";
import { join } from "node:path";
import { copyFile, type CopyOptions } from "../../storage/copy.ts";
import { isPartialName, stablePartial } from "../../storage/partial.ts";
import { failureOf, withTempDir } from "./temp.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const MIB = 2 ** 20;
const SIZE = 12 * MIB + 7;
const unix = Deno.build.os !== "windows";

function randomBytes(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

interface Lab {
  from: string;
  to: string;
  folder: string;
  bytes: Uint8Array<ArrayBuffer>;
  /** Absolute path of the unfinished file of a copy from `from` to `to`. */
  partial: string;
  /** Copies with `resume`; returns the bytes that were found there. */
  copy: (options?: CopyOptions) => Promise<number>;
  names: () => string[];
}

function withLab(use: (lab: Lab) => Promise<void>): Promise<void> {
  return withTempDir(async (dir) => {
    const [from, folder] = [join(dir, "from"), join(dir, "into")];
    const to = join(folder, "package.zip");
    const bytes = randomBytes(SIZE);
    await Deno.mkdir(folder);
    await Deno.writeFile(from, bytes);
    const partial = stablePartial(folder, "package.zip", await Deno.stat(from));
    const copy = async (options: CopyOptions = {}): Promise<number> => {
      let found = 0;
      await copyFile(from, to, { resume: true, onFound: (there) => found += there, ...options });
      return found;
    };
    const names = (): string[] => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    await use({ from, to, folder, bytes, partial, copy, names });
  });
}

async function assertSame(path: string, bytes: Uint8Array): Promise<void> {
  const found = await Deno.readFile(path);
  assert.equal(found.length, bytes.length);
  assert.ok(found.every((byte, index) => byte === bytes[index]));
}

/** Aborts a copy as soon as it has come to a point. */
async function interruptAt({ copy }: Lab, point: number): Promise<void> {
  const abort = new AbortController();
  const onProgress = (done: number): void => done >= point ? abort.abort(new Error("no more")) : undefined;
  await assert.rejects(() => copy({ signal: abort.signal, onProgress }), /no more/);
}

Deno.test("a copy that is interrupted anywhere is gone on with", () =>
  withLab(async (lab) => {
    for (let round = 0; round < 8; round++) {
      const point = 2 * MIB + Math.floor(Math.random() * (SIZE - 2 * MIB));
      await interruptAt(lab, point);
      assert.deepEqual(lab.names().filter((name) => !isPartialName(name)), [], `cut at ${point}`);
      const seen: number[] = [];
      const found = await lab.copy({ onProgress: (done) => seen.push(done) });
      assert.ok(found >= MIB && found <= SIZE, `cut at ${point}, found ${found}`);
      assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
      assert.equal(seen.at(-1), SIZE);
      await assertSame(lab.to, lab.bytes);
      assert.deepEqual(lab.names(), ["package.zip"]);
      await Deno.remove(lab.to);
    }
  }));

Deno.test("a copy may be interrupted again and again", () =>
  withLab(async (lab) => {
    for (let point = 2 * MIB; point < SIZE; point += 3 * MIB) await interruptAt(lab, point);
    assert.ok(await lab.copy() >= 8 * MIB);
    await assertSame(lab.to, lab.bytes);
  }));

Deno.test("too little to be worth it is not kept", () =>
  withLab(async (lab) => {
    await interruptAt(lab, 1);
    assert.deepEqual(lab.names(), []);
  }));

Deno.test("what a killed program left is gone on with", () =>
  withLab(async ({ partial, bytes, copy, to, names }) => {
    await Deno.writeFile(partial, bytes.subarray(0, 7 * MIB + 3));
    assert.equal(await copy(), 7 * MIB + 3);
    await assertSame(to, bytes);
    assert.deepEqual(names(), ["package.zip"]);
  }));

for (const at of [0, 5 * MIB + 1, 7 * MIB - 1]) {
  Deno.test(`left bytes that differ at ${at} are copied again from there`, () =>
    withLab(async ({ partial, bytes, copy, to }) => {
      const damaged = bytes.slice(0, 7 * MIB);
      damaged[at]! ^= 1;
      await Deno.writeFile(partial, damaged);
      assert.equal(await copy(), Math.floor(at / MIB) * MIB);
      await assertSame(to, bytes);
    }));
}

Deno.test("a hole that a crash left is filled", () =>
  withLab(async ({ partial, bytes, copy, to }) => {
    await Deno.writeFile(partial, bytes.subarray(0, 3 * MIB));
    await Deno.truncate(partial, 9 * MIB);
    assert.equal(await copy(), 3 * MIB);
    await assertSame(to, bytes);
  }));

Deno.test("what is longer than the source is not used", () =>
  withLab(async ({ partial, bytes, copy, to, names }) => {
    await Deno.writeFile(partial, new Uint8Array(SIZE + 1));
    assert.equal(await copy(), 0);
    await assertSame(to, bytes);
    assert.deepEqual(names(), ["package.zip"]);
  }));

Deno.test("what is left of another version of the source is not used", () =>
  withLab(async (lab) => {
    await interruptAt(lab, 6 * MIB);
    const changed = randomBytes(SIZE);
    await Deno.writeFile(lab.from, changed);
    const time = new Date("2020-02-03T04:05:06Z");
    await Deno.utime(lab.from, time, time);
    assert.equal(await lab.copy(), 0);
    await assertSame(lab.to, changed);
  }));

Deno.test({
  name: "links planted under the name of an unfinished file are not written through",
  ignore: !unix,
  fn: () =>
    withLab(async ({ partial, bytes, copy, to, folder }) => {
      const victim = join(folder, "victim");
      for (const plant of [Deno.symlink, Deno.link]) {
        await Deno.writeFile(victim, bytes.subarray(0, 2 * MIB));
        await plant(victim, partial);
        assert.equal(await copy(), 0);
        await assertSame(victim, bytes.subarray(0, 2 * MIB));
        await assertSame(to, bytes);
        await Deno.remove(to);
      }
    }),
});

Deno.test("two copies of one file to one place at the same time do no harm", () =>
  withLab(async (lab) => {
    await interruptAt(lab, 4 * MIB);
    const ends = await Promise.allSettled([lab.copy(), lab.copy()]);
    assert.ok(ends.some(({ status }) => status === "fulfilled"));
    await assertSame(lab.to, lab.bytes);
    assert.deepEqual(lab.names(), ["package.zip"]);
  }));

Deno.test("the unfinished file may lie elsewhere, so that it is found for a target in a new folder", () =>
  withLab(async ({ from, folder, bytes }) => {
    for (const job of ["job_1", "job_2"]) await Deno.mkdir(join(folder, job));
    const abort = new AbortController();
    const options = { resume: true, partialFolder: folder };
    const onProgress = (done: number): void => done > 5 * MIB ? abort.abort(new Error("no more")) : undefined;
    const first = join(folder, "job_1/a.zip");
    await failureOf(() => copyFile(from, first, { ...options, signal: abort.signal, onProgress }));
    let found = 0;
    const onFound = (there: number): void => void (found = there);
    await copyFile(from, join(folder, "job_2/a.zip"), { ...options, onFound });
    assert.ok(found >= 5 * MIB, `${found}`);
    await assertSame(join(folder, "job_2/a.zip"), bytes);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["job_1", "job_2"]);
  }));

Deno.test("names that are as long as names may be can be resumed", () =>
  withTempDir(async (dir) => {
    const [from, to] = [join(dir, "from"), join(dir, `${"ü".repeat(125)}.zip`)];
    await Deno.writeFile(from, randomBytes(3 * MIB));
    await copyFile(from, to, { resume: true });
    assert.equal((await Deno.stat(to)).size, 3 * MIB);
  }));
