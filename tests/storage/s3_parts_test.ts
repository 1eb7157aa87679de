import assert from "node:assert/strict";
import fc from "fast-check";
import { chunksOf } from "../../storage/deadline.ts";
import { S3Filesystem } from "../../storage/s3.ts";
import { crcOf, crcText, joinCrc } from "../../storage/s3/checksum.ts";
import { inParallel } from "../../storage/s3/parallel.ts";
import { partsOf } from "../../storage/s3/parts.ts";
import { bytesOf, isEqual, streamOf } from "./conformance.ts";
import { failureOf } from "./temp.ts";

Deno.test.sanitizer?.({ ops: true, resources: true });

Deno.test("a checksum of a whole comes from those of its parts", () => {
  assert.equal(crcText(crcOf(new TextEncoder().encode("123456789"))), "y/Q5Jg==");
  fc.assert(fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
    assert.equal(joinCrc(crcOf(a), crcOf(b), b.length), crcOf(new Uint8Array([...a, ...b])));
    assert.equal(crcOf(b, crcOf(a)), crcOf(new Uint8Array([...a, ...b])));
  }));
  const large = bytesOf(5_000_011);
  const [a, b] = [large.subarray(0, 11), large.subarray(11)];
  assert.equal(joinCrc(crcOf(a), crcOf(b), b.length), crcOf(large));
});

Deno.test("a stream is cut into parts of one size", async () => {
  const cases = [[0, 10], [1, 10], [9, 10], [10, 10], [11, 10], [20, 10], [1_000, 7]] as const;
  for (const [size, bytes] of cases) {
    for (const chunk of [1, 3, 10, 25, 2_000]) {
      const content = bytesOf(size);
      const found: Uint8Array[] = [];
      const options = { bytes, parallel: 2, signal: new AbortController().signal };
      for await (const part of partsOf(chunksOf(streamOf(content, chunk)), options)) {
        assert.equal(part.number, found.length + 1);
        assert.equal(part.crc, crcOf(part.bytes));
        assert.equal(part.last, part.number === Math.max(1, Math.ceil(size / bytes)));
        found.push(part.bytes.slice());
        part.release();
      }
      assert.ok(
        isEqual(new Uint8Array(await new Blob(found as Uint8Array<ArrayBuffer>[]).arrayBuffer()), content),
      );
    }
  }
});

Deno.test("no more is read than fits the parts in memory, until one is released", async () => {
  let pulled = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller): void {
      pulled += 10;
      controller.enqueue(bytesOf(10));
    },
  }, { highWaterMark: 0 });
  const abort = new AbortController();
  const options = { bytes: 100, parallel: 3, signal: abort.signal };
  const parts = partsOf(chunksOf(endless, abort.signal), options);
  const held = [await parts.next(), await parts.next(), await parts.next()];
  const fourth = parts.next();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(pulled, 310);
  held[0]?.value?.release();
  assert.equal((await fourth).value?.number, 4);
  const fifth = failureOf(() => parts.next());
  const reason = new Error("enough");
  abort.abort(reason);
  assert.equal(await fifth, reason);
});

Deno.test("work side by side: each once, no more than allowed, the first failure stops the rest", async () => {
  const [done, failure]: [number[], Error] = [[], new Error("broken")];
  let [now, most] = [0, 0];
  await inParallel(20, 3, undefined, async (index) => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 1));
    now--;
    done.push(index);
  });
  assert.deepEqual(done.toSorted((a, b) => a - b), Array.from({ length: 20 }, (_, index) => index));
  assert.equal(most, 3);
  let started = 0;
  const attempt = inParallel(20, 3, undefined, (index, signal) => {
    started++;
    if (index === 2) return Promise.reject(failure);
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("stopped"))));
  });
  assert.equal(await failureOf(() => attempt), failure);
  assert.equal(started, 3);
});

Deno.test("an address that names no bucket, or leaves its prefix, is refused", () => {
  for (const url of ["", "bucket", "s3://", "s3://Bucket/x", "s3://b", "http://bucket/x", "s3://a_b/x"]) {
    assert.throws(() => new S3Filesystem(url), { name: "ConfigError" }, url);
  }
  for (const url of ["s3://bucket/../x", "s3://bucket//etc", "s3://bucket/a\\b"]) {
    assert.throws(() => new S3Filesystem(url), { name: "PathValidationError" }, url);
  }
});
