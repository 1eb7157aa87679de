/** What every kind of storage must do; each adapter's tests call {@link conformance}. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { PathValidationError } from "../../storage/containment.ts";
import { type Filesystem, FilesystemError, type FilesystemFault } from "../../storage/filesystem.ts";
import { failureOf } from "./temp.ts";

/** Makes an empty storage for one test, and disposes of it. */
export type UseFilesystem = (use: (storage: Filesystem) => Promise<void>) => Promise<void>;

/** In what storages may differ. */
export interface ConformanceOptions {
  /** Whether an empty folder is there once it was made; default true. */
  folders?: boolean;
  /** A size in bytes above which the storage works in pieces; default 9 MiB and 5 bytes. */
  largeBytes?: number;
  /** Files of one folder, more than the storage lists at once; default 60. */
  manyFiles?: number;
  /** Why nothing can be tested here; the tests are skipped and their names say it. */
  skip?: string | undefined;
}

/** Bytes that are the same for the same seed and differ everywhere else. */
export function bytesOf(size: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = seed * 2_654_435_761 >>> 0 || 1;
  for (let index = 0; index < size; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state & 255;
  }
  return bytes;
}

/** Bytes as a stream, in chunks of an odd size. */
export function streamOf(bytes: Uint8Array, chunk = 100_003): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller): void {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += chunk));
    },
  });
}

/** All bytes of a stream. */
export async function drain(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

/** Checks which fault something ends with. */
export async function assertFault(attempt: () => Promise<unknown>, fault: FilesystemFault): Promise<void> {
  const error = await failureOf(attempt);
  assert.ok(error instanceof FilesystemError, `thrown: ${error}`);
  assert.equal(error.fault, fault, String(error));
}

/** Names in a folder, sorted; a folder's with `/`. */
export async function namesIn(storage: Filesystem, path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isFolder } of storage.list(path)) names.push(isFolder ? `${name}/` : name);
  return names.sort();
}

const put = (storage: Filesystem, path: string, content: Uint8Array): Promise<void> =>
  storage.write(path, streamOf(content));
const get = async (storage: Filesystem, path: string): Promise<Uint8Array> => drain(await storage.read(path));
const same = (found: Uint8Array, expected: Uint8Array): void =>
  assert.ok(isEqual(found, expected), `${found.length} bytes, expected ${expected.length}, or others`);

/** Whether two byte strings are the same. */
export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

type Test = (storage: Filesystem) => Promise<void>;

/** Registers the tests that every storage must pass. */
export function conformance(
  name: string,
  useFilesystem: UseFilesystem,
  options: ConformanceOptions = {},
): void {
  const { folders = true, largeBytes = 9 * 2 ** 20 + 5, manyFiles = 60, skip } = options;
  const test = (what: string, check: Test): void =>
    Deno.test({
      name: `${name}: ${what}${skip === undefined ? "" : ` (skipped: ${skip})`}`,
      ignore: skip !== undefined,
      fn: () => useFilesystem(check),
    });

  test("what is written is read back, whatever the size", async (storage) => {
    for (const size of [0, 1, 65_536, 2 ** 20 + 3, largeBytes]) {
      const content = bytesOf(size, size);
      await storage.write("some folder/file.bin", streamOf(content), { size });
      same(await get(storage, "some folder/file.bin"), content);
      assert.equal((await storage.stat("some folder/file.bin")).size, size);
    }
  });

  test("a part of a file is read by offset and length", async (storage) => {
    const content = bytesOf(300_000);
    await put(storage, "f", content);
    const ends = [[0, 0], [0, 1], [1, 5], [65_530, 20], [299_999, 1], [299_999, 9], [300_000, 1], [
      400_000,
      1,
    ]];
    for (const [offset = 0, length = 0] of ends) {
      const part = await drain(await storage.read("f", { offset, length }));
      same(part, content.subarray(offset, offset + length));
    }
    same(await drain(await storage.read("f", { offset: 299_000 })), content.subarray(299_000));
    same(await drain(await storage.read("f", { length: 7 })), content.subarray(0, 7));
    for (const range of [{ offset: -1 }, { length: -1 }, { offset: 1.5 }, { length: NaN }]) {
      await assert.rejects(() => storage.read("f", range), RangeError);
    }
  });

  test("size, time and mode are kept", async (storage) => {
    const modified = new Date("2020-02-03T04:05:06.789Z");
    for (const [size, mode] of [[5, 0o640], [largeBytes, 0o755], [3, 0o664]] as const) {
      await storage.write("a/f", streamOf(bytesOf(size)), { modified, mode, size });
      await storage.copy("a/f", "b/g");
      for (const path of ["a/f", "b/g"]) {
        assert.deepEqual(await storage.stat(path), { isFile: true, isFolder: false, size, modified, mode });
      }
    }
  });

  test("what is missing is said to be", async (storage) => {
    await put(storage, "there", bytesOf(1));
    for (const path of ["x", "x/y", "there/x"]) {
      assert.equal(await storage.exists(path), false, path);
      await assertFault(() => storage.stat(path), "missing");
      await assertFault(() => storage.read(path), "missing");
      await assertFault(() => storage.copy(path, "z"), "missing");
      await assertFault(() => storage.move(path, "z"), "missing");
      await assertFault(() => namesIn(storage, path), "missing");
      await storage.remove(path);
    }
    assert.deepEqual(await namesIn(storage, ""), ["there"]);
  });

  test("a folder lists its own entries", async (storage) => {
    for (const path of ["a/1", "a/2", "a/b/3", "ab", "a0/x"]) await put(storage, path, bytesOf(1));
    assert.deepEqual(await namesIn(storage, ""), ["a/", "a0/", "ab"]);
    assert.deepEqual(await namesIn(storage, "."), ["a/", "a0/", "ab"]);
    assert.deepEqual(await namesIn(storage, "a"), ["1", "2", "b/"]);
    assert.deepEqual(await namesIn(storage, "a/b/"), ["3"]);
    await assertFault(() => namesIn(storage, "ab"), "not a folder");
  });

  test("a folder is no file, and a file no folder", async (storage) => {
    await put(storage, "folder/file", bytesOf(1));
    const { isFile, isFolder, size } = await storage.stat("folder");
    assert.deepEqual({ isFile, isFolder, size }, { isFile: false, isFolder: true, size: 0 });
    assert.equal((await storage.stat("")).isFolder, true);
    assert.equal(await storage.exists("folder"), true);
    assert.equal(await storage.exists(""), true);
    await assertFault(() => storage.read("folder"), "not a file");
    await assertFault(() => storage.copy("folder", "x"), "not a file");
    await assertFault(() => storage.move("folder", "x"), "not a file");
    assert.deepEqual(await namesIn(storage, ""), ["folder/"]);
  });

  test("folders are made with those above them, twice as well", async (storage) => {
    for (let time = 0; time < 2; time++) await storage.makeFolder("a/b/c");
    await storage.makeFolder("");
    assert.equal(await storage.exists("a/b/c"), folders);
    if (folders) {
      assert.deepEqual(await namesIn(storage, "a/b/c"), []);
      await storage.flush("a/b/c");
      await put(storage, "a/f", bytesOf(1));
      await assertFault(() => storage.makeFolder("a/f"), "not a folder");
      await assertFault(() => storage.makeFolder("a/f/x"), "not a folder");
      await assertFault(() => put(storage, "a/f/x", bytesOf(1)), "not a folder");
      await assertFault(() => put(storage, "a/b", bytesOf(1)), "not a file");
      assert.deepEqual(await namesIn(storage, "a"), ["b/", "f"]);
    }
  });

  test("a file is replaced as a whole", async (storage) => {
    for (const size of [largeBytes, 10, largeBytes + 1, 0]) {
      await put(storage, "f", bytesOf(size, size));
      same(await get(storage, "f"), bytesOf(size, size));
    }
    assert.deepEqual(await namesIn(storage, ""), ["f"]);
  });

  test("a source that fails leaves what was there, and nothing else", async (storage) => {
    await put(storage, "d/f", bytesOf(10));
    const failure = new Error("the source broke");
    for (const before of [0, 1, largeBytes]) {
      let pulled = 0;
      const broken = new ReadableStream<Uint8Array>({
        pull(controller): void {
          if (pulled >= before) return controller.error(failure);
          controller.enqueue(bytesOf(Math.min(2 ** 20, before - pulled)));
          pulled += 2 ** 20;
        },
      });
      assert.equal(await failureOf(() => storage.write("d/f", broken, { size: before + 1 })), failure);
      same(await get(storage, "d/f"), bytesOf(10));
      assert.deepEqual(await namesIn(storage, "d"), ["f"]);
    }
  });

  test("a source of another size than announced is refused", async (storage) => {
    for (const [size, announced] of [[5, 6], [5, 4], [largeBytes, largeBytes + 1]] as const) {
      await assertFault(
        () => storage.write("d/f", streamOf(bytesOf(size)), { size: announced }),
        "corrupt",
      );
      assert.equal(await storage.exists("d/f"), false);
    }
  });

  test("an abort ends a write at once, leaves nothing and cancels the source", async (storage) => {
    for (const before of [1, largeBytes]) {
      const [abort, reason] = [new AbortController(), new Error("enough")];
      let [pulled, cancelled] = [0, false];
      const endless = new ReadableStream<Uint8Array>({
        async pull(controller): Promise<void> {
          if (pulled >= before) {
            abort.abort(reason);
            await new Promise(() => {});
          }
          controller.enqueue(bytesOf(Math.min(2 ** 20, before - pulled)));
          pulled += 2 ** 20;
        },
        cancel(): void {
          cancelled = true;
        },
      });
      assert.equal(await failureOf(() => storage.write("d/f", endless, {}, abort.signal)), reason);
      assert.ok(cancelled);
      assert.equal(await storage.exists("d/f"), false);
      if (await storage.exists("d")) assert.deepEqual(await namesIn(storage, "d"), []);
    }
  });

  test("an abort ends a read", async (storage) => {
    await put(storage, "f", bytesOf(largeBytes));
    const [abort, reason] = [new AbortController(), new Error("enough")];
    const reader = (await storage.read("f", undefined, abort.signal)).getReader();
    assert.ok((await reader.read()).value);
    abort.abort(reason);
    assert.equal(
      await failureOf(async () => {
        while (!(await reader.read()).done);
      }),
      reason,
    );
  });

  test("nothing begins when the signal is aborted already", async (storage) => {
    await put(storage, "f", bytesOf(10));
    const reason = new Error("too late");
    const signal = AbortSignal.abort(reason);
    const attempts: readonly (() => Promise<unknown>)[] = [
      () => storage.exists("f", signal),
      () => storage.stat("f", signal),
      () => Array.fromAsync(storage.list("", signal)),
      () => storage.read("f", undefined, signal),
      () => storage.write("g", streamOf(bytesOf(1)), {}, signal),
      () => storage.makeFolder("d", signal),
      () => storage.copy("f", "g", signal),
      () => storage.move("f", "g", signal),
      () => storage.remove("f", signal),
      () => storage.freeSpace(signal),
      () => storage.flush("", signal),
    ];
    for (const attempt of attempts) assert.equal(await failureOf(attempt), reason, attempt.toString());
    assert.deepEqual(await namesIn(storage, ""), ["f"]);
  });

  test("a reader may leave early", async (storage) => {
    await put(storage, "f", bytesOf(largeBytes));
    const stream = await storage.read("f");
    for await (const chunk of stream) {
      assert.ok(chunk.length > 0);
      break;
    }
    await (await storage.read("f")).cancel();
  });

  test("a file is copied and moved, onto others and onto itself", async (storage) => {
    const [content, other] = [bytesOf(largeBytes), bytesOf(20, 2)];
    await put(storage, "f", content);
    await put(storage, "g", other);
    await storage.copy("f", "g");
    await storage.copy("f", "d/h");
    await storage.copy("f", "f");
    await storage.move("f", "./f");
    for (const path of ["f", "g", "d/h"]) same(await get(storage, path), content);
    await storage.move("f", "e/f");
    await put(storage, "k", other);
    await storage.move("k", "g");
    same(await get(storage, "e/f"), content);
    same(await get(storage, "g"), other);
    assert.deepEqual(await namesIn(storage, ""), ["d/", "e/", "g"]);
  });

  test("a folder is removed with everything in it, its neighbours stay", async (storage) => {
    for (const path of ["a/1", "a/b/2", "a/b/c/3", "ab/4", "a.txt"]) await put(storage, path, bytesOf(1));
    await storage.remove("a");
    assert.deepEqual(await namesIn(storage, ""), ["a.txt", "ab/"]);
    await storage.remove("a.txt");
    await storage.remove("a.txt");
    for (const root of ["", ".", "./"]) await assertFault(() => storage.remove(root), "denied");
    assert.deepEqual(await namesIn(storage, ""), ["ab/"]);
  });

  test("names keep every character", async (storage) => {
    const names = ["a b", "ü 日本", "a+b", "100%", "a%20b", "a#b?c=d&e", "'\"<>`", "x;y", "[1]{2}", "~$!*()"];
    for (const name of names) {
      const path = `d ${name}/${name}`;
      await put(storage, path, new TextEncoder().encode(name));
      await storage.copy(path, `copies/${name}`);
      await storage.move(path, `moved/${name}`);
      assert.equal(new TextDecoder().decode(await get(storage, `copies/${name}`)), name);
    }
    assert.deepEqual(await namesIn(storage, "moved"), names.toSorted());
    assert.deepEqual(await namesIn(storage, "copies"), names.toSorted());
  });

  test("a path that is not acceptable is refused by every call", async (storage) => {
    await put(storage, "f", bytesOf(10));
    for (const path of ["../x", "a/../../x", "/etc/passwd", "C:/x", "a\\b", "a\0b", "a/%2e%2e/b", "con"]) {
      const attempts: readonly (() => Promise<unknown>)[] = [
        () => storage.exists(path),
        () => storage.stat(path),
        () => namesIn(storage, path),
        () => storage.read(path),
        () => storage.write(path, streamOf(bytesOf(1))),
        () => storage.makeFolder(path),
        () => storage.copy("f", path),
        () => storage.copy(path, "g"),
        () => storage.move("f", path),
        () => storage.move(path, "g"),
        () => storage.remove(path),
        () => storage.flush(path),
      ];
      for (const attempt of attempts) {
        const error = await failureOf(attempt);
        assert.ok(error instanceof PathValidationError, `${JSON.stringify(path)} ${attempt}: ${error}`);
      }
    }
    for (const path of ["", "."]) {
      await assert.rejects(() => storage.write(path, streamOf(bytesOf(1))));
      await assert.rejects(() => storage.read(path));
    }
    assert.deepEqual(await namesIn(storage, ""), ["f"]);
  });

  test("many files in a folder are all listed, and removed", async (storage) => {
    const names = Array.from({ length: manyFiles }, (_, index) => `f${String(index).padStart(5, "0")}`);
    for (let at = 0; at < names.length; at += 20) {
      await Promise.all(names.slice(at, at + 20).map((name) => put(storage, `d/e/${name}`, bytesOf(1))));
    }
    assert.deepEqual(await namesIn(storage, "d/e"), names);
    await storage.remove("d/e");
    if (await storage.exists("d")) assert.deepEqual(await namesIn(storage, "d"), []);
  });

  test("writes at the same time do not mix", async (storage) => {
    const contents = [1, 2, 3].map((seed) => bytesOf(largeBytes, seed));
    await Promise.all(contents.map((content, index) => put(storage, `f${index}`, content)));
    for (const [index, content] of contents.entries()) same(await get(storage, `f${index}`), content);
    const outcomes = await Promise.allSettled(contents.map((content) => put(storage, "same", content)));
    assert.ok(outcomes.some(({ status }) => status === "fulfilled"));
    const found = await get(storage, "same");
    assert.ok(contents.some((content) => isEqual(found, content)));
    assert.deepEqual(await namesIn(storage, ""), ["f0", "f1", "f2", "same"]);
  });

  test("free space is a number of bytes, or unknown", async (storage) => {
    const free = await storage.freeSpace();
    assert.ok(free === undefined || Number.isFinite(free) && free >= 0);
    await put(storage, "d/f", bytesOf(1));
    for (const path of ["", "d", "d/f"]) await storage.flush(path);
  });
}
