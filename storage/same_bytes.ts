/** Compares the content of files without holding more than two blocks in memory. */

/** Bytes per block. */
const BLOCK_BYTES = 1024 * 1024;
/** Files up to this size are compared whole; of larger ones, {@link SAMPLES} blocks are. */
const WHOLE_BYTES = 64 * BLOCK_BYTES;
const SAMPLES = 64;

/** Whether two blocks are alike. Four bytes at a step: node's `Buffer.compare` is ten times slower in Deno 2.5. */
function sameBlock(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>, length: number): boolean {
  const words = length >> 2;
  const [left, right] = [new Int32Array(a.buffer, 0, words), new Int32Array(b.buffer, 0, words)];
  for (let index = 0; index < words; index++) if (left[index] !== right[index]) return false;
  for (let index = words * 4; index < length; index++) if (a[index] !== b[index]) return false;
  return true;
}

/** Reads until the buffer holds `length` bytes, or the file ends; returns how many it holds. */
async function fill(file: Deno.FsFile, buffer: Uint8Array, length: number): Promise<number> {
  let filled = 0;
  while (filled < length) {
    const read = await file.read(buffer.subarray(filled, length));
    if (read === null) break;
    filled += read;
  }
  return filled;
}

/** Compares ranges of two open files, one after the other. */
class Comparer {
  readonly #left = new Uint8Array(BLOCK_BYTES);
  readonly #right = new Uint8Array(BLOCK_BYTES);

  constructor(private readonly a: Deno.FsFile, private readonly b: Deno.FsFile) {}

  /** Whether both hold the same `length` bytes, at most a block, at an offset. */
  async sameAt(offset: number, length: number): Promise<boolean> {
    await Promise.all([this.a, this.b].map((file) => file.seek(offset, Deno.SeekMode.Start)));
    const [left, right] = await Promise.all([
      fill(this.a, this.#left, length),
      fill(this.b, this.#right, length),
    ]);
    return left === length && right === length && sameBlock(this.#left, this.#right, length);
  }
}

/**
 * How many of the first `length` bytes of two open files are the same, every byte compared, to whole blocks of 1 MiB
 * (or to the end). `onBlock` is told how far it is; what it throws ends the comparison.
 */
export async function samePrefix(
  a: Deno.FsFile,
  b: Deno.FsFile,
  length: number,
  onBlock: (done: number) => void = () => {},
): Promise<number> {
  const comparer = new Comparer(a, b);
  let done = 0;
  while (done < length) {
    const block = Math.min(BLOCK_BYTES, length - done);
    if (!(await comparer.sameAt(done, block))) break;
    done += block;
    onBlock(done);
  }
  return done;
}

/**
 * Whether two open files of one size hold the same: files up to 64 MiB are compared whole, of larger ones 64 blocks of
 * 1 MiB, the first and the last among them. For files whose times also agree, and that were written whole.
 */
export async function looksSame(
  a: Deno.FsFile,
  b: Deno.FsFile,
  size: number,
  onBlock: () => void = () => {},
): Promise<boolean> {
  if (size <= WHOLE_BYTES) return await samePrefix(a, b, size, onBlock) === size;
  const comparer = new Comparer(a, b);
  for (let sample = 0; sample < SAMPLES; sample++) {
    const offset = Math.floor((size - BLOCK_BYTES) * sample / (SAMPLES - 1));
    if (!(await comparer.sameAt(offset, BLOCK_BYTES))) return false;
    onBlock();
  }
  return true;
}
