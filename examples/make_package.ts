/**
 * Builds the example training package.
 *
 *     deno run -A examples/make_package.ts TARGET.zip
 */
import { parse as parsePath } from "node:path";
import { fileURLToPath } from "node:url";
import { Uint8ArrayReader, ZipWriter, type ZipWriterAddDataOptions } from "@zip-js/zip-js";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { type RandomSource, randomSource } from "./trainer/random.ts";

/** What may differ from the plain example. */
export interface PackageOptions {
  /** Size of an additional `padding.bin` that no compression makes smaller; without it there is no such file. */
  paddingBytes?: number;
  /** Merged into the configuration's `trainer_config`, section by section. */
  config?: Record<string, unknown>;
}

type Tree = Record<string, unknown>;

const CONFIG_NAME = "minimal_instance.centroid.yaml";
const CHUNK_BYTES = 1 << 20;
const ZIP64_FROM = 0xffff_0000;
const tree = z.record(z.string(), z.unknown());

// 1980-01-01 in the form ZIP stores it: a Date would be turned into local time. Nothing is compressed, because
// the same deflated bytes are promised by no library.
const FIXED: ZipWriterAddDataOptions = {
  rawLastModDate: 0x0021_0000,
  extendedTimestamp: false,
  level: 0,
  useWebWorkers: false,
};

/**
 * Writes a ZIP at `target` (replacing what is there) with one top folder named like the file without its
 * extension. The same options and file name give the same bytes; memory does not grow with the padding.
 * Throws RangeError for a bad `paddingBytes`, otherwise the error of the file system; leaves no half-written file.
 */
export async function makePackage(target: string, options: PackageOptions = {}): Promise<void> {
  const { paddingBytes } = options;
  if (paddingBytes !== undefined && !(Number.isSafeInteger(paddingBytes) && paddingBytes >= 0)) {
    throw new RangeError(`paddingBytes must be a whole number of bytes, not ${paddingBytes}`);
  }
  const files = await packageFiles(options.config);
  const file = await Deno.create(target);
  try {
    const zip = new ZipWriter(file.writable, FIXED);
    const folder = parsePath(target).name;
    for (const [name, bytes] of files) await zip.add(`${folder}/${name}`, new Uint8ArrayReader(bytes));
    if (paddingBytes !== undefined) {
      await zip.add(`${folder}/padding.bin`, padding(paddingBytes), { zip64: paddingBytes >= ZIP64_FROM });
    }
    await zip.close();
  } catch (error) {
    await Deno.remove(target);
    throw error;
  }
}

async function packageFiles(config: Tree | undefined): Promise<[name: string, bytes: Uint8Array][]> {
  const template = await Deno.readFile(here(`package/${CONFIG_NAME}`));
  return [
    ["train-script.sh", await Deno.readFile(here("package/train-script.sh"))],
    [CONFIG_NAME, config === undefined ? template : withTrainerConfig(template, config)],
    ["minimal_instance.pkg.slp", await Deno.readFile(here("minimal_instance.pkg.slp"))],
  ];
}

function here(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

function withTrainerConfig(template: Uint8Array, config: Tree): Uint8Array {
  const whole = tree.parse(parse(new TextDecoder().decode(template)));
  return new TextEncoder().encode(stringify(merge(whole, { trainer_config: config })));
}

function merge(base: Tree, changes: Tree): Tree {
  const merged: Tree = { ...base };
  for (const [key, value] of Object.entries(changes)) {
    const [old, section] = [tree.safeParse(base[key]), tree.safeParse(value)];
    merged[key] = old.success && section.success ? merge(old.data, section.data) : value;
  }
  return merged;
}

function padding(size: number): ReadableStream<Uint8Array> {
  const random = randomSource(1);
  let left = size;
  return new ReadableStream<Uint8Array>({
    pull(controller): void {
      if (left === 0) return controller.close();
      const chunk = randomBytes(random).subarray(0, Math.min(left, CHUNK_BYTES));
      left -= chunk.length;
      controller.enqueue(chunk);
    },
  }, { highWaterMark: 0 });
}

function randomBytes(random: RandomSource): Uint8Array {
  const words = new Uint32Array(CHUNK_BYTES / 4);
  for (let i = 0; i < words.length; i++) words[i] = random();
  return new Uint8Array(words.buffer);
}

if (import.meta.main) {
  const [target] = Deno.args;
  if (target === undefined || Deno.args.length > 1) {
    console.error("usage: deno run -A examples/make_package.ts TARGET.zip");
    Deno.exit(2);
  }
  await makePackage(target);
  console.log(`Package written to ${target}`);
}
