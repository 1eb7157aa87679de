/** Sends files over a link: resumed, in chunks with offsets, each verified; see "Files" in docs/protocol.md. */
import { createHash, type Hash } from "node:crypto";
import type { z } from "zod";
import type { ErrorCode } from "../config/error_code.ts";
import { errorText } from "../config/user_error.ts";
import {
  CANCEL_ERRORS,
  type CancelCode,
  cancelSchema,
  doneSchema,
  type FileEntry,
  type FilesOffer,
  type FilesReady,
  formatChunkHeader,
  MAX_CHUNK_BYTES,
  readySchema,
} from "../protocol/files.ts";
import { type FilesMessageType, formatMessage, MAX_MESSAGE_BYTES } from "../protocol/message.ts";
import { parseJson } from "../protocol/parse_json.ts";
import { readAhead } from "../storage/read_ahead.ts";
import { MANY_LANES } from "./lane_sharing.ts";
import type { Link } from "./link.ts";
import { ConnectionError, TransferError } from "./transfer_error.ts";

/** File bytes of a chunk whose message is half as long as the longest. */
const HALF_CHUNK_BYTES = MAX_CHUNK_BYTES - MAX_MESSAGE_BYTES / 2;
/** Bytes per read from disk: about 128 KiB, see `rtc/send.ts`, without a small piece left over. */
const READ_BYTES = 4 * HALF_CHUNK_BYTES;
/** A list of files has about so many bytes at most; one entry of 4 KiB more still fits a message. */
const LIST_BYTES = 32 * 1024;

/** The other side is told of an early end for so long at most, in milliseconds: it may be away. */
const TELL_LIMIT_MS = 1_000;

/** A file about to travel. */
export interface OutgoingEntry extends FileEntry {
  /** Opens it for reading; it is closed here. */
  open(): Promise<Deno.FsFile>;
}

/** What is sent together. */
export interface OutgoingFiles {
  purpose: FilesOffer["purpose"];
  /** See `offerSchema`. */
  key: string | null;
  files: readonly OutgoingEntry[];
}

/** How files are sent. */
export interface SendFilesOptions {
  /** Bytes of all files; what the other side had already counts as done. */
  onProgress?: (done: number, total: number) => void;
  /** Told, once, how many bytes the other side had. */
  onFound?: (bytes: number) => void;
}

/** Numbers of transfers; each link needs other ones only. */
let lastId = 0;

/**
 * One transfer. The owner of the link gives the other side's answers to {@link take}; {@link run} resolves when the
 * other side has verified and kept all files.
 */
export class FilesSender {
  readonly #link: Link;
  readonly #outgoing: OutgoingFiles;
  readonly #options: SendFilesOptions;
  readonly #id = ++lastId;
  readonly #ready = Promise.withResolvers<FilesReady>();
  readonly #done = Promise.withResolvers<void>();
  /** Ends the transfer early: the other side cancelled, the link ended, or the caller gave up. */
  readonly #stop = new AbortController();
  /** Whether the other side knows that the transfer is over. */
  #isOver = false;
  #sent = 0;

  constructor(link: Link, outgoing: OutgoingFiles, options: SendFilesOptions = {}) {
    this.#link = link;
    this.#outgoing = outgoing;
    this.#options = options;
    this.#ready.promise.catch(() => {});
    this.#done.promise.catch(() => {});
  }

  /** Bytes of all files together. */
  get size(): number {
    return this.#outgoing.files.reduce((sum, { size }) => sum + size, 0);
  }

  /** Bytes of files that were sent, without what the other side had. */
  get bytesSent(): number {
    return this.#sent;
  }

  /** Takes a message about files; one about another transfer, or one that breaks the rules, is passed over. */
  take(message: { type: FilesMessageType; json: string }): void {
    switch (message.type) {
      case "FILES_READY":
        return this.#parsed(readySchema, message.json, (ready) => this.#ready.resolve(ready));
      case "FILES_DONE":
        return this.#parsed(doneSchema, message.json, () => this.#done.resolve());
      case "FILES_CANCEL":
        return this.#parsed(cancelSchema, message.json, ({ by, code, reason }) => {
          // The other direction may have a transfer with the same number.
          if (by === "sender") return;
          this.#isOver = true;
          const text = `the other side ended the transfer: ${reason}`;
          this.#end(new TransferError(text, { code: CANCEL_ERRORS[code] }));
        });
      default:
    }
  }

  #parsed<Schema extends z.ZodType<{ id: number }>>(
    schema: Schema,
    json: string,
    act: (value: z.infer<Schema>) => void,
  ): void {
    const value = parseJson(schema, json);
    if (value?.id === this.#id) act(value);
  }

  /**
   * Sends the files. Throws {@link TransferError} when one changes meanwhile or the other side does not want them,
   * {@link ConnectionError} when the link ends, the abort reason. The other side is told in each case.
   */
  async run(signal?: AbortSignal): Promise<void> {
    const aborted = (): void => this.#end(signal?.reason);
    signal?.addEventListener("abort", aborted, { once: true });
    if (signal?.aborted) aborted();
    void this.#link.closed.then(() =>
      this.#end(new ConnectionError("the connection ended during a transfer"))
    );
    try {
      await this.#offer();
      await this.#sendAll(await this.#ready.promise);
      await this.#done.promise;
      this.#isOver = true;
    } catch (error) {
      await this.#cancel(error, signal?.aborted ?? false);
      throw error;
    } finally {
      signal?.removeEventListener("abort", aborted);
    }
  }

  #end(error: unknown): void {
    this.#stop.abort(error);
    this.#ready.reject(error);
    this.#done.reject(error);
  }

  async #cancel(error: unknown, wasAborted: boolean): Promise<void> {
    if (this.#isOver || !this.#link.isOpen) return;
    this.#isOver = true;
    let code: CancelCode = "failed";
    if (error instanceof FileChangedError) code = "changed";
    else if (wasAborted) code = "cancelled";
    const isTellable = code !== "failed" || error instanceof TransferError;
    const reason = isTellable ? errorText(error) : "the sender cannot read its files";
    const cancel = { id: this.#id, by: "sender", code, reason };
    await this.#say("FILES_CANCEL", cancel, AbortSignal.timeout(TELL_LIMIT_MS)).catch(() => {});
  }

  /** Not cut off by the end of the transfer: that itself must be told. */
  async #say(type: FilesMessageType, value: object, limit?: AbortSignal): Promise<void> {
    await this.#link.send(formatMessage({ type, json: JSON.stringify(value) }), limit);
  }

  async #offer(): Promise<void> {
    const { purpose, key, files } = this.#outgoing;
    const id = this.#id;
    await this.#say("FILES_OFFER", { id, purpose, key, files: files.length, bytes: this.size });
    for (const list of listsOf(files)) await this.#say("FILES_LIST", { id, files: list });
  }

  async #sendAll(ready: FilesReady): Promise<void> {
    const begin = await this.#agreedOffset(ready);
    this.#options.onFound?.(begin);
    await this.#say("FILES_BEGIN", { id: this.#id, offset: begin });
    let before = 0;
    for (const [number, entry] of this.#outgoing.files.entries()) {
      const skipped = Math.min(entry.size, Math.max(0, begin - before));
      before += entry.size;
      // The receiver has it. An empty file at the very offset was not looked for.
      if (before - entry.size < begin && before <= begin) continue;
      await this.#sendFile(number, entry, skipped, before - entry.size);
    }
  }

  /** Where to begin: where the other side is, if what it has is the same. */
  async #agreedOffset({ offset, sha256 }: FilesReady): Promise<number> {
    if (offset === 0 || offset > this.size) return 0;
    const hash = createHash("sha256");
    let left = offset;
    for (const entry of this.#outgoing.files) {
      if (left === 0) break;
      using file = await entry.open();
      left -= await this.#read(file, Math.min(left, entry.size), (bytes) => void hash.update(bytes));
    }
    return left === 0 && hash.digest("hex") === sha256 ? offset : 0;
  }

  /** Sends a file from `begin`, a byte of it, on; `before` bytes of all files come before it. */
  async #sendFile(number: number, entry: OutgoingEntry, begin: number, before: number): Promise<void> {
    using file = await entry.open();
    const opened = await file.stat();
    if (opened.size !== entry.size) throw new FileChangedError(entry, opened.size);
    const hash: Hash = createHash("sha256");
    await this.#read(file, begin, (bytes) => void hash.update(bytes));
    let offset = begin;
    await this.#read(file, entry.size - begin, async (bytes) => {
      hash.update(bytes);
      // Of more lanes each has little under way, and what is lost on one holds up the others: in smaller pieces.
      const chunkBytes = this.#link.lanes > MANY_LANES ? HALF_CHUNK_BYTES : MAX_CHUNK_BYTES;
      for (let start = 0; start < bytes.length; start += chunkBytes) {
        const part = bytes.subarray(start, start + chunkBytes);
        const header = formatChunkHeader({ id: this.#id, file: number, offset: offset + start });
        await this.#link.sendParts([header, part], this.#stop.signal);
      }
      offset += bytes.length;
      this.#sent += bytes.length;
      this.#options.onProgress?.(before + offset, this.size);
    });
    const now = await file.stat();
    const isSame = offset === entry.size && now.size === opened.size &&
      now.mtime?.getTime() === opened.mtime?.getTime();
    if (!isSame) throw new FileChangedError(entry, now.size);
    if (entry.size === 0) this.#options.onProgress?.(before, this.size);
    await this.#say("FILE_END", { id: this.#id, file: number, sha256: hash.digest("hex") });
  }

  /** Reads so many bytes on from where a file stands, or to its end; returns how many there were. */
  async #read(
    file: Deno.FsFile,
    length: number,
    use: (bytes: Uint8Array) => unknown,
  ): Promise<number> {
    let done = 0;
    for await (const bytes of readAhead(file, length, READ_BYTES)) {
      this.#stop.signal.throwIfAborted();
      await use(bytes);
      done += bytes.length;
    }
    return done;
  }
}

/** A file has another size, or was written to, since it was announced. */
class FileChangedError extends TransferError {
  static override readonly code: ErrorCode = "SOURCE_CHANGED";

  constructor({ name, size }: FileEntry, found: number) {
    super(`${name} changed while it was sent: announced with ${size} bytes, now ${found}`, {
      hint: "wait until nothing writes to it any more, and send it again",
    });
  }
}

/** Lists that each fit one message. */
function* listsOf(files: readonly OutgoingEntry[]): Generator<FileEntry[]> {
  let list: FileEntry[] = [];
  let length = 0;
  for (const { name, size } of files) {
    if (list.length > 0 && (length + name.length * 6 > LIST_BYTES)) {
      yield list;
      [list, length] = [[], 0];
    }
    list.push({ name, size });
    length += name.length * 6 + 64;
  }
  if (list.length > 0) yield list;
}
