import assert from "node:assert/strict";
import fc from "fast-check";
import { readAhead } from "../../storage/read_ahead.ts";

/** A file of so many bytes, each its place modulo 251, that gives at most `most` of them a read. */
function fileOf(
  size: number,
  most = Infinity,
): { read(into: Uint8Array): Promise<number | null>; reads: number } {
  let at = 0;
  return {
    reads: 0,
    read(into): Promise<number | null> {
      this.reads++;
      const count = Math.min(into.length, size - at, most);
      for (let i = 0; i < count; i++) into[i] = at++ % 251;
      return Promise.resolve(count === 0 ? null : count);
    },
  };
}

Deno.test("read ahead: every byte comes once and in order, up to the length or the end", () =>
  fc.assert(fc.asyncProperty(
    fc.nat(3_000),
    fc.oneof(fc.nat(4_000), fc.constant(Infinity)),
    fc.integer({ min: 1, max: 700 }),
    fc.integer({ min: 1, max: 700 }),
    async (size, length, block, most) => {
      const found: number[] = [];
      for await (const bytes of readAhead(fileOf(size, most), length, block)) {
        assert.ok(bytes.length <= block);
        found.push(...bytes);
      }
      assert.deepEqual(found, Array.from({ length: Math.min(size, length) }, (_, at) => at % 251));
    },
  )));

Deno.test("read ahead: while a block is used the next one is read, and no more than it", async () => {
  const file = fileOf(1_000);
  const blocks = readAhead(file, 1_000, 100);
  await blocks.next();
  assert.equal(file.reads, 2);
  await blocks.next();
  assert.equal(file.reads, 3);
  await blocks.return();
});

Deno.test("read ahead: what goes wrong is told in its turn, and to nobody who has stopped before", async () => {
  let reads = 0;
  const file = {
    read: (into: Uint8Array): Promise<number> =>
      ++reads === 1 ? Promise.resolve(into.length) : Promise.reject(new Error("the disk is gone")),
  };
  const blocks = readAhead(file, 300, 100);
  assert.equal((await blocks.next()).value?.length, 100);
  await assert.rejects(blocks.next(), /the disk is gone/);
  reads = 0;
  for await (const block of readAhead(file, 300, 100)) {
    assert.equal(block.length, 100);
    break;
  }
});
