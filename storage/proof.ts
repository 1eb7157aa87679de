/** Two peers prove that they see the same file: a stale or wrong mount would train silently on the wrong data. */
import { createHmac, randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { type Challenge, MAX_BLOCK_BYTES } from "../protocol/storage_proof.ts";

/** Blocks that are sampled: the first, the last, and random ones between. */
const SAMPLES = 16;
/** File systems keep times to two seconds at worst (FAT, some SMB servers). */
const TIME_TOLERANCE_MS = 2_000;

/** Begin of the name of a nonce file. */
export const NONCE_PREFIX = ".sleap-rtc-nonce-";

/** A challenge, and the nonce that answers it. */
export interface IssuedChallenge {
  challenge: Challenge;
  /** Content of the nonce file; null when there is none. */
  nonce: string | null;
  /** Removes the nonce file. */
  withdraw(): Promise<void>;
}

/** A file open for comparing. */
export interface ComparedFile {
  file: Pick<Deno.FsFile, "read" | "seek">;
  info: Pick<Deno.FileInfo, "size" | "mtime">;
}

/** Reads `length` bytes at `offset`; fewer at the end of the file. */
async function readBlock(file: ComparedFile["file"], offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await file.seek(offset, Deno.SeekMode.Start);
  let filled = 0;
  while (filled < length) {
    const read = await file.read(bytes.subarray(filled));
    if (read === null) break;
    filled += read;
  }
  return bytes.subarray(0, filled);
}

function hashOf(key: string, offset: number, bytes: Uint8Array): string {
  return createHmac("sha256", key).update(`${offset}:`).update(bytes).digest("hex");
}

/** Offsets of the sampled blocks, in order: all of a small file, else first, last and random ones. */
function sampleOffsets(size: number): number[] {
  const blocks = Math.ceil(size / MAX_BLOCK_BYTES);
  if (blocks <= SAMPLES) return Array.from({ length: blocks }, (_, index) => index * MAX_BLOCK_BYTES);
  const offsets = new Set([0, (blocks - 1) * MAX_BLOCK_BYTES]);
  while (offsets.size < SAMPLES) {
    const random = randomBytes(6).readUIntBE(0, 6) / 2 ** 48;
    offsets.add(Math.floor(random * blocks) * MAX_BLOCK_BYTES);
  }
  return [...offsets].toSorted((a, b) => a - b);
}

/**
 * What this side sees of a file, and a nonce file beside it where that may be written. Costs a read of 1 MiB at most,
 * whatever the size. Throws Deno's file errors.
 */
export async function issueChallenge(path: string): Promise<IssuedChallenge> {
  using file = await Deno.open(path, { read: true });
  const info = await file.stat();
  const key = randomBytes(32).toString("hex");
  const blocks: Challenge["blocks"] = [];
  for (const offset of sampleOffsets(info.size)) {
    const bytes = await readBlock(file, offset, Math.min(MAX_BLOCK_BYTES, info.size - offset));
    blocks.push({ offset, length: bytes.length, hash: hashOf(key, offset, bytes) });
  }
  const nonce = await writeNonce(dirname(path));
  const modified = info.mtime?.getTime() ?? null;
  return {
    challenge: { key, size: info.size, modified, blocks, nonce: nonce?.name ?? null },
    nonce: nonce?.content ?? null,
    withdraw: async () => {
      if (nonce) await Deno.remove(join(dirname(path), nonce.name)).catch(() => {});
    },
  };
}

async function writeNonce(folder: string): Promise<{ name: string; content: string } | undefined> {
  const name = `${NONCE_PREFIX}${randomBytes(16).toString("hex")}`;
  const content = randomBytes(32).toString("hex");
  try {
    await Deno.writeTextFile(join(folder, name), content, { createNew: true });
    return { name, content };
  } catch {
    // A storage that this side may only read: the samples have to do.
    return undefined;
  }
}

/** What this side's file has otherwise than the challenge says; empty when they are the same. */
export async function differences({ file, info }: ComparedFile, challenge: Challenge): Promise<string[]> {
  const found: string[] = [];
  if (info.size !== challenge.size) found.push(`the size is ${challenge.size} there, ${info.size} here`);
  const modified = info.mtime?.getTime();
  const isOther = modified !== undefined && challenge.modified !== null &&
    Math.abs(modified - challenge.modified) > TIME_TOLERANCE_MS;
  if (isOther) {
    const times = [challenge.modified, modified].map((time) => new Date(time ?? 0).toISOString());
    found.push(`it was modified ${times[0]} there, ${times[1]} here`);
  }
  if (found.length > 0) return found;
  for (const { offset, length, hash } of challenge.blocks) {
    const bytes = await readBlock(file, offset, length);
    if (bytes.length !== length || hashOf(challenge.key, offset, bytes) !== hash) {
      return [`the content differs at byte ${offset}`];
    }
  }
  return [];
}
