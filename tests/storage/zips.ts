/** Archives for the tests, honest and hostile. */
import { join } from "node:path";
import {
  TextReader,
  Uint8ArrayReader,
  Uint8ArrayWriter,
  ZipWriter,
  type ZipWriterAddDataOptions,
} from "@zip-js/zip-js";
import { extractArchive } from "../../storage/archive.ts";

/** One entry: name, content (none for a folder), and what is unusual about it. */
export type ZipEntry = readonly [
  name: string,
  content?: string | Uint8Array<ArrayBuffer>,
  options?: ZipWriterAddDataOptions,
];

/** The bytes of a ZIP. */
export async function zip(entries: readonly ZipEntry[], level = 0): Promise<Uint8Array> {
  const writer = new ZipWriter(new Uint8ArrayWriter(), { useWebWorkers: false, level });
  for (const [name, content, options = {}] of entries) {
    if (content === undefined) await writer.add(name, undefined, { ...options, directory: true });
    else if (typeof content === "string") await writer.add(name, new TextReader(content), options);
    else await writer.add(name, new Uint8ArrayReader(content), options);
  }
  return writer.close();
}

/** Places of an entry in the central directory; the numbers are those of the ZIP format. */
export const FIELD = { flags: 8, crc: 16, compressedSize: 20, size: 24 } as const;

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Where the first record of the central directory begins. */
export function centralDirectory(bytes: Uint8Array): number {
  const at = bytes.findIndex((_, index) =>
    index + 4 <= bytes.length && view(bytes).getUint32(index, true) === 0x02014b50
  );
  if (at < 0) throw new Error("no central directory");
  return at;
}

/** A copy in which a field of the first entry's central record has another value. */
export function lie(bytes: Uint8Array, field: keyof typeof FIELD, value: number): Uint8Array {
  const copy = bytes.slice();
  const at = centralDirectory(copy) + FIELD[field];
  if (field === "flags") view(copy).setUint16(at, value, true);
  else view(copy).setUint32(at, value, true);
  return copy;
}

/** A copy in which a text is replaced by another of the same length, wherever it stands. */
export function rename(bytes: Uint8Array, from: string, to: string): Uint8Array {
  if (from.length !== to.length) throw new RangeError("lengths differ");
  const copy = bytes.slice();
  const [old, renamed] = [from, to].map((text) => new TextEncoder().encode(text));
  for (let at = 0; at < copy.length; at++) {
    if (old?.every((byte, index) => copy[at + index] === byte)) copy.set(renamed ?? [], at);
  }
  return copy;
}

/** Extracts bytes into `dir/into`, which is made. The file of the archive lies beside it. */
export async function extract(
  bytes: Uint8Array,
  dir: string,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  const [path, into] = [join(dir, "received.zip"), join(dir, "into")];
  await Deno.writeFile(path, bytes);
  await Deno.mkdir(into, { recursive: true });
  using file = await Deno.open(path);
  try {
    await extractArchive({ file, size: bytes.length }, into, "project/received.zip", signal);
  } finally {
    await Deno.remove(path);
  }
}
