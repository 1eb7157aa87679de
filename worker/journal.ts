/**
 * What happened in a job, on disk: one JSON object a line, appended and never changed. The first line describes the
 * job; the others are its events, numbered from 1, and only the last tells how it ended.
 */
import { z } from "zod";
import { JOB_ENDS, type JobEndState } from "../protocol/jobs.ts";
import { parseMessage } from "../protocol/message.ts";
import { parseJson } from "../protocol/parse_json.ts";
import { writeAll } from "../storage/write_all.ts";

/** When a journal has so many bytes, no more output and reports are kept; what is said about the job is. */
const MAX_BYTES = 256 * 1024 * 1024;
/** Bytes per read. */
const READ_BYTES = 64 * 1024;
const LF = 10;

const headerSchema = z.object({
  id: z.string(),
  /** File name of the package. */
  name: z.string(),
  /** Room in which it was submitted. */
  room: z.string(),
  /** ISO 8601. */
  began: z.string(),
  /** Absolute folder of this job alone, in which it is unpacked and runs; it is gone when the job has ended. */
  folder: z.string(),
});
/** What a job is. */
export type JobHeader = z.infer<typeof headerSchema>;

const eventSchema = z.object({
  seq: z.int().positive(),
  /** ISO 8601. */
  at: z.string(),
  /** The message to the client, as it travels. */
  text: z.string(),
  /** Set in the last event. */
  end: z.enum(JOB_ENDS).optional(),
});
/** Something that happened. */
export type JobEvent = z.infer<typeof eventSchema>;

/** The journal of one job; one writer, any number of readers. */
export class Journal {
  readonly header: JobHeader;
  readonly #path: string;
  readonly #file: Deno.FsFile;
  #last: JobEvent | undefined;
  #seq = 0;
  /** Of the file, in bytes. */
  #size = 0;
  #isFull = false;
  #writing: Promise<void> = Promise.resolve();
  readonly #waiting = new Set<() => void>();

  private constructor(header: JobHeader, path: string, file: Deno.FsFile) {
    this.header = header;
    this.#path = path;
    this.#file = file;
  }

  /** Begins a journal; nothing may be at `path`. Throws Deno's file errors. */
  static async create(path: string, header: JobHeader): Promise<Journal> {
    const file = await Deno.open(path, { append: true, createNew: true, mode: 0o600 });
    const journal = new Journal(header, path, file);
    await journal.#write(header);
    return journal;
  }

  /**
   * A journal that an earlier process wrote, to be read and gone on with. Undefined for a file that does not begin
   * as a journal. An event that its writer had not finished is cut off. Throws Deno's file errors.
   */
  static async open(path: string): Promise<Journal | undefined> {
    let header: JobHeader | undefined;
    let journal: Journal | undefined;
    let whole = 0;
    for await (const { line, end } of linesOf(path)) {
      if (!header) {
        header = parseJson(headerSchema, line);
        if (!header) return undefined;
        journal = new Journal(header, path, await Deno.open(path, { append: true }));
      } else {
        const event = parseJson(eventSchema, line);
        if (event?.seq !== journal!.#seq + 1) break;
        journal!.#took(event);
      }
      whole = end;
    }
    if (!journal) return undefined;
    await journal.#file.truncate(whole);
    journal.#size = whole;
    return journal;
  }

  /** Number of the last event; 0 before the first. */
  get events(): number {
    return this.#seq;
  }

  /** The event that ended the job; undefined while it runs. */
  get end(): JobEvent | undefined {
    return this.#last?.end === undefined ? undefined : this.#last;
  }

  /**
   * Adds an event, the last one when `end` is given; afterwards nothing is added. Throws Deno's file errors, and the
   * event is lost then, unless it is the last.
   */
  append(text: string, end?: JobEndState): Promise<void> {
    const written = this.#writing.then(() => this.#append(text, end));
    this.#writing = written.catch(() => {});
    return written;
  }

  async #append(text: string, end: JobEndState | undefined): Promise<void> {
    if (this.end) return;
    const kept = this.#fits(text);
    if (kept === undefined) return;
    const event: JobEvent = {
      seq: this.#seq + 1,
      at: new Date().toISOString(),
      text: kept,
      ...(end && { end }),
    };
    try {
      await this.#write(event);
      if (end) await this.#file.sync();
      this.#took(event);
    } catch (error) {
      if (end) this.#took(event);
      throw error;
    } finally {
      for (const wake of [...this.#waiting]) wake();
    }
  }

  /** A line, whole or not at all. */
  async #write(value: unknown): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(value)}\n`);
    try {
      await writeAll(this.#file, bytes);
      this.#size += bytes.length;
    } catch (error) {
      await this.#file.truncate(this.#size);
      throw error;
    }
  }

  /** The text to keep: of output that never stops, in the end nothing. */
  #fits(text: string): string | undefined {
    const { type } = parseMessage(text);
    if (type !== "LOG" && type !== "TRACK_LOG" && type !== "PROGRESS_REPORT") return text;
    if (this.#size <= MAX_BYTES) return text;
    if (this.#isFull) return undefined;
    this.#isFull = true;
    return "(the output is too long: the rest of it is not kept)\n";
  }

  #took(event: JobEvent): void {
    this.#last = event;
    this.#seq = event.seq;
  }

  /**
   * The events behind number `after`, also those to come, up to the one that ends the job, which is told in any case.
   * Throws the abort reason, Deno's file errors.
   */
  async *read(after: number, signal: AbortSignal): AsyncGenerator<JobEvent, void> {
    // The header is no event.
    let seen = -1;
    for await (const { line } of linesOf(this.#path, () => this.#grown(seen, signal))) {
      const event = ++seen === 0 ? undefined : parseJson(eventSchema, line);
      if (event && (event.seq > after || event.end)) yield event;
    }
    // On a full disk the end may be known and not be written.
    if (this.end && this.end.seq > seen) yield this.end;
  }

  /** Waits for more than `seen` events; false when there will be none. */
  async #grown(seen: number, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    if (this.end) return false;
    if (this.#seq > seen) return true;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake);
    });
    signal.throwIfAborted();
    return true;
  }

  /** Waits for what is being written, and closes the file; it can be read afterwards. */
  async close(): Promise<void> {
    await this.#writing;
    this.#file.close();
  }
}

/**
 * Whole lines, each with the offset behind it. At the end of the file `grown` says, when it can, whether there is
 * more; without it that is the end.
 */
async function* linesOf(
  path: string,
  grown: () => Promise<boolean> = () => Promise.resolve(false),
): AsyncGenerator<{ line: string; end: number }, void> {
  using file = await Deno.open(path, { read: true });
  const buffer = new Uint8Array(READ_BYTES);
  const decoder = new TextDecoder();
  let [rest, offset] = [new Uint8Array(), 0];
  // Asked before each end of the file: what was written before the answer has been read by then.
  for (let isLast = false;;) {
    const read = await file.read(buffer);
    if (read === null) {
      if (isLast) return;
      isLast = !await grown();
      continue;
    }
    rest = joined(rest, buffer.subarray(0, read));
    let begin = 0;
    for (let cut; (cut = rest.indexOf(LF, begin)) >= 0; begin = cut + 1) {
      offset += cut + 1 - begin;
      yield { line: decoder.decode(rest.subarray(begin, cut)), end: offset };
    }
    rest = rest.slice(begin);
  }
}

function joined(one: Uint8Array<ArrayBuffer>, other: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(one.length + other.length);
  all.set(one);
  all.set(other, one.length);
  return all;
}
