/** Archives beyond the bounds of the first ZIP format, sparse: they take no room on the disk. */
import { crc32 } from "node:zlib";
import { writeAll } from "../../storage/write_all.ts";

const MAX = 0xffffffff;

/** One stored file: where its header begins, and of how many zeros it is made. */
export interface SparseFile {
  name: string;
  offset: number;
  zeros: number;
}

function bytesOf(fields: readonly [bits: 16 | 32 | 64, value: number][], ...tail: Uint8Array[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [bits]) => sum + bits / 8, 0)));
  let at = 0;
  for (const [bits, value] of fields) {
    if (bits === 16) view.setUint16(at, value, true);
    else if (bits === 32) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += bits / 8;
  }
  return new Uint8Array([view, ...tail].flatMap((part) => [...new Uint8Array(part.buffer)]));
}

function crcOfZeros(length: number): number {
  const block = new Uint8Array(2 ** 20);
  let crc = 0;
  for (let left = length; left > 0; left -= block.length) crc = crc32(block.subarray(0, left), crc);
  return crc;
}

/** Writes an archive with ZIP64 records. Files must lie one after the other. Gives its size in bytes. */
export async function writeSparseArchive(path: string, files: readonly SparseFile[]): Promise<number> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const write = async (at: number, bytes: Uint8Array): Promise<number> => {
    await file.seek(at, Deno.SeekMode.Start);
    await writeAll(file, bytes);
    return at + bytes.length;
  };
  let end = 0;
  const records: Uint8Array[] = [];
  for (const { name, offset, zeros } of files) {
    const text = new TextEncoder().encode(name);
    const crc = crcOfZeros(zeros);
    // Version 4.5, no flags, stored, no time, checksum, both sizes in the extra field.
    const shared: [16 | 32 | 64, number][] = [[16, 45], [16, 0], [16, 0], [32, 0], [32, crc], [32, MAX], [
      32,
      MAX,
    ]];
    const local = bytesOf([[16, 1], [16, 16], [64, zeros], [64, zeros]]);
    const header = bytesOf([[32, 0x04034b50], ...shared, [16, text.length], [16, local.length]], text, local);
    end = await write(offset, header) + zeros;
    const extra = bytesOf([[16, 1], [16, 24], [64, zeros], [64, zeros], [64, offset]]);
    const head: [16 | 32 | 64, number][] = [[32, 0x02014b50], [16, 45], ...shared];
    const rest: [16 | 32 | 64, number][] = [[16, 0], [16, 0], [16, 0], [32, 0], [32, MAX]];
    records.push(bytesOf([...head, [16, text.length], [16, extra.length], ...rest], text, extra));
  }
  const [start, count] = [end, files.length];
  for (const record of records) end = await write(end, record);
  const size = end - start;
  const total: [16 | 32 | 64, number][] = [[64, 44], [16, 45], [16, 45], [32, 0], [32, 0], [64, count], [
    64,
    count,
  ]];
  const last = end;
  end = await write(end, bytesOf([[32, 0x06064b50], ...total, [64, size], [64, start]]));
  end = await write(end, bytesOf([[32, 0x07064b50], [32, 0], [64, last], [32, 1]]));
  const unknown: [16 | 32 | 64, number][] = [[16, 0], [16, 0], [16, 0xffff], [16, 0xffff], [32, MAX], [
    32,
    MAX,
  ]];
  return await write(end, bytesOf([[32, 0x06054b50], ...unknown, [16, 0]]));
}
