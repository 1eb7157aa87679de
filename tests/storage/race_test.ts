import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createInside, openInside, PathValidationError } from "../../storage/containment.ts";
import { withTempDir } from "./temp.ts";

const READS = 80_000;
const WRITES = 20_000;
/** Calls under way at a time, so that one is checked while another is opened. */
const PARALLEL = 8;

const decoder = new TextDecoder();

interface Counts {
  inside: number;
  refused: number;
}

/** Reads a file that is swapped with a link meanwhile; throws when what was read lies outside. */
async function readOne(root: string, relative: string, counts: Counts): Promise<void> {
  try {
    const { file } = await openInside(root, relative);
    using opened = file;
    const bytes = new Uint8Array(16);
    const read = await opened.read(bytes);
    assert.equal(decoder.decode(bytes.subarray(0, read ?? 0)), "inside");
    counts.inside++;
  } catch (error) {
    if (!(error instanceof PathValidationError)) throw error;
    counts.refused++;
  }
}

/** Writes a file into a folder that is swapped with a link meanwhile, every other one without a look at the folder. */
async function writeOne(root: string, index: number, counts: Counts): Promise<void> {
  const knownFolders = new Map(index % 2 === 0 ? [["folder", Promise.resolve(join(root, "folder"))]] : []);
  try {
    const target = await createInside(root, `folder/new-${index % 100}`, { durable: false, knownFolders });
    try {
      await target.file.write(new TextEncoder().encode("written"));
      await target.commit();
      counts.inside++;
    } finally {
      await target.discard();
    }
  } catch (error) {
    // The folder may be away when the file gets its name: the storage's own error, and nothing was written elsewhere.
    if (!(error instanceof PathValidationError || error instanceof Deno.errors.NotFound)) throw error;
    counts.refused++;
  }
}

async function inParallel(times: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: PARALLEL }, async () => {
    while (next < times) await work(next++);
  }));
}

Deno.test("a folder and a file swapped with links as fast as can be: 100,000 opens, none outside", () =>
  withTempDir(async (dir) => {
    const [root, outside] = [join(dir, "root"), join(dir, "outside")];
    for (const path of ["root/folder", "root/plain", "outside"]) {
      await Deno.mkdir(join(dir, path), { recursive: true });
    }
    for (const path of ["folder/file", "plain/file"]) await Deno.writeTextFile(join(root, path), "inside");
    await Deno.writeTextFile(join(outside, "file"), "outside");
    const swapper = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", fileURLToPath(new URL("swapper.ts", import.meta.url)), root, outside],
      stdout: "piped",
    }).spawn();
    const ended = swapper.status;
    try {
      await swapper.stdout.getReader().read();
      const reads: Counts = { inside: 0, refused: 0 };
      const writes: Counts = { inside: 0, refused: 0 };
      await inParallel(
        READS,
        (index) => readOne(root, index % 2 === 0 ? "folder/file" : "plain/file", reads),
      );
      await inParallel(WRITES, (index) => writeOne(root, index, writes));
      console.log(`reads: ${JSON.stringify(reads)}, writes: ${JSON.stringify(writes)}`);
      assert.ok(reads.inside > 0 && reads.refused > 0, "the swaps were met");
      assert.ok(writes.inside > 0 && writes.refused > 0, "the swaps were met");
    } finally {
      swapper.kill("SIGKILL");
      await ended;
    }
    const left = await Array.fromAsync(Deno.readDir(outside), ({ name }) => name);
    const sizes = await Promise.all(
      left.map(async (name) => `${name}: ${(await Deno.stat(join(outside, name))).size}`),
    );
    assert.deepEqual(sizes, ["file: 7"], "nothing was made outside");
    assert.equal(await Deno.readTextFile(join(outside, "file")), "outside");
  }));
