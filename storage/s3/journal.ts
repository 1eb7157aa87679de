import { z } from "zod";
import { crcOf } from "./checksum.ts";

/** Bytes that are read at once to verify a range. */
const BLOCK_BYTES = 2 ** 20;

const Shape = z.object({
  etag: z.string(),
  size: z.number().int().nonnegative(),
  rangeBytes: z.number().int().positive(),
  /** CRC-32 of each range that is complete, by its number. */
  done: z.record(z.string().regex(/^\d{1,9}$/), z.number().int().nonnegative()),
});

/** Which object a partial file is of, and which of its ranges are complete. */
export type JournalContent = z.infer<typeof Shape>;

/** Which ranges of a partial file are complete, kept beside it for the next attempt. */
export class Journal {
  readonly #path: string;
  readonly #content: JournalContent;
  #saving: Promise<void> = Promise.resolve();

  constructor(path: string, content: JournalContent) {
    this.#path = path;
    this.#content = content;
  }

  /** The one that is there, if it is of the same object, else an empty one. */
  static async open(path: string, fresh: Omit<JournalContent, "done">): Promise<Journal> {
    const { etag, size, rangeBytes } = fresh;
    const found = await readJournal(path);
    const same = found && found.etag === etag && found.size === size && found.rangeBytes === rangeBytes;
    return new Journal(path, same ? found : { ...fresh, done: {} });
  }

  /** CRC-32 of a range that is complete; undefined for the others. */
  crcOf(index: number): number | undefined {
    return this.#content.done[String(index)];
  }

  /** Whether no range is complete. */
  get isEmpty(): boolean {
    return Object.keys(this.#content.done).length === 0;
  }

  /** Notes a complete range, or that it is not. */
  async note(index: number, crc: number | undefined): Promise<void> {
    if (crc === undefined) delete this.#content.done[String(index)];
    else this.#content.done[String(index)] = crc;
    const text = JSON.stringify(this.#content);
    // One after the other: a later state must not be overwritten by an earlier one.
    this.#saving = this.#saving.catch(() => {}).then(async () => {
      await Deno.writeTextFile(`${this.#path}.new`, text);
      await Deno.rename(`${this.#path}.new`, this.#path);
    });
    await this.#saving;
  }
}

async function readJournal(path: string): Promise<JournalContent | undefined> {
  try {
    const found = Shape.safeParse(JSON.parse(await Deno.readTextFile(path)));
    return found.success ? found.data : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Whether the bytes of a file from `offset` to before `end` have this CRC-32. */
export async function hasCrc(file: Deno.FsFile, offset: number, end: number, crc: number): Promise<boolean> {
  await file.seek(offset, Deno.SeekMode.Start);
  const buffer = new Uint8Array(Math.min(BLOCK_BYTES, end - offset));
  let [at, found] = [offset, 0];
  while (at < end) {
    const read = await file.read(buffer.subarray(0, Math.min(buffer.length, end - at)));
    if (read === null) return false;
    found = crcOf(buffer.subarray(0, read), found);
    at += read;
  }
  return found === crc;
}
