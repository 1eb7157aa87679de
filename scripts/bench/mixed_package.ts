/** A package of 1 GiB for the benchmark: what labs have in theirs, in size, number and how far it packs. */
import { Uint8ArrayReader, ZipWriter } from "@zip-js/zip-js";
import { writeAll } from "../../storage/write_all.ts";

const MIB = 2 ** 20;
const KIB = 2 ** 10;
const SEED = 7;

/** Numbers below 2 ** 32 that are the same each time. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed;;) yield state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
}

/** As video frames and weights are: it does not pack. */
function noise(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(length, at + 65_536)));
  }
  return bytes;
}

/** As image rows in an HDF5 file are: smooth, with noise on most of them. */
function images(length: number, random: Generator<number, never>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) {
    bytes[at] = (at >> 6) + ((at >> 10) % 3 === 0 ? 0 : random.next().value >>> 30);
  }
  return bytes;
}

/** As tables of points are. */
function table(length: number, random: Generator<number, never>): Uint8Array<ArrayBuffer> {
  let text = "";
  while (text.length < length) {
    const number = random.next().value;
    text += `frame_${number >>> 20},head,${(number % 100_000) / 100},${(number >>> 7) / 1000}\n`;
  }
  return new TextEncoder().encode(text.slice(0, length));
}

/**
 * Writes the package, or one that has only a share (up to 1) of each file and of the small files' number. In all 4,018
 * files: 640 MiB that do not pack, 640 that do, and 4,000 files of 16 to 32 KiB.
 */
export async function writeMixedPackage(path: string, share = 1): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const sink = new WritableStream<Uint8Array>({
    write: (bytes) => writeAll(file, bytes),
  });
  const writer = new ZipWriter(sink, { useWebWorkers: false });
  const random = numbers(SEED);
  const add = (name: string, level: number, bytes: Uint8Array<ArrayBuffer>): Promise<unknown> =>
    writer.add(`package/${name}`, new Uint8ArrayReader(bytes), { level });
  for (let index = 0; index < 4; index++) await add(`videos/${index}.mp4`, 0, noise(share * 160 * MIB));
  for (let index = 0; index < 6; index++) {
    await add(`labels.${index}.pkg.slp`, 6, images(share * 96 * MIB, random));
  }
  for (let index = 0; index < 8; index++) await add(`tables/${index}.csv`, 6, table(share * 8 * MIB, random));
  for (let index = 0; index < share * 4_000; index++) {
    const length = 16 * KIB + random.next().value % (16 * KIB);
    const folder = `frames/${index % 20}`;
    if (index % 2 === 0) await add(`${folder}/${index}.jpg`, 0, noise(length));
    else await add(`${folder}/${index}.csv`, 6, table(length, random));
  }
  await writer.close();
  await file.sync();
}
