import assert from "node:assert/strict";
import { join } from "node:path";
import { challengeSchema } from "../../protocol/storage_proof.ts";
import { differences, issueChallenge } from "../../storage/proof.ts";
import { withTempDir } from "./temp.ts";

const MIB = 2 ** 20;

async function compare(path: string, other: string): Promise<string[]> {
  const { challenge, withdraw } = await issueChallenge(path);
  await withdraw();
  using file = await Deno.open(other, { read: true });
  return await differences({ file, info: await file.stat() }, challengeSchema.parse(challenge));
}

Deno.test("the hash of a block is as the protocol's test vector has it", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "abc");
    await Deno.writeTextFile(path, "abc");
    const key = "0".repeat(64);
    const vector = /`hash = ([0-9a-f]{64})`/.exec(
      await Deno.readTextFile(new URL("../../docs/protocol.md", import.meta.url)),
    );
    const blocks = [{ offset: 0, length: 3, hash: vector?.[1] ?? "" }];
    using file = await Deno.open(path, { read: true });
    const info = await file.stat();
    assert.deepEqual(
      await differences({ file, info }, { key, size: 3, modified: null, blocks, nonce: null }),
      [],
    );
  }));

for (const size of [0, 1, 65_536, 65_537, 20 * MIB]) {
  Deno.test(`a file of ${size} bytes is the same as itself, and one changed bit in a sampled block is seen`, () =>
    withTempDir(async (dir) => {
      const path = join(dir, "file");
      const bytes = new Uint8Array(size);
      for (let start = 0; start < size; start += 65_536) {
        crypto.getRandomValues(bytes.subarray(start, start + 65_536));
      }
      await Deno.writeFile(path, bytes);
      assert.deepEqual(await compare(path, path), []);
      if (size === 0) return;
      const { mtime } = await Deno.stat(path);
      bytes[size - 1]! ^= 1;
      await Deno.writeFile(join(dir, "other"), bytes);
      await Deno.utime(join(dir, "other"), mtime!, mtime!);
      assert.match((await compare(path, join(dir, "other"))).join(), /^the content differs at byte \d+$/);
    }));
}

Deno.test("a nonce file is written beside the file, holds what is to be read, and goes again", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "file");
    await Deno.writeTextFile(path, "x");
    const { challenge, nonce, withdraw } = await issueChallenge(path);
    assert.equal(await Deno.readTextFile(join(dir, challenge.nonce ?? "")), nonce);
    await withdraw();
    assert.deepEqual(await Array.fromAsync(Deno.readDir(dir), ({ name }) => name), ["file"]);
  }));

Deno.test("the same content never has the same hashes twice", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "file");
    await Deno.writeTextFile(path, "x");
    const [first, second] = [await issueChallenge(path), await issueChallenge(path)];
    await Promise.all([first.withdraw(), second.withdraw()]);
    assert.notEqual(first.challenge.blocks[0]?.hash, second.challenge.blocks[0]?.hash);
  }));
