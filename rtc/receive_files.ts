/** Receives what {@link file://./send_files.ts} sends. */
import { createHash } from "node:crypto";
import type { z } from "zod";
import type { ErrorCode } from "../config/error_code.ts";
import { errorText, UserError } from "../config/user_error.ts";
import {
  beginSchema,
  CANCEL_ERRORS,
  type CancelCode,
  cancelSchema,
  fileEndSchema,
  type FileEntry,
  type FilesOffer,
  listSchema,
  MAX_NAMES,
  offerSchema,
  parseChunk,
} from "../protocol/files.ts";
import { type FilesMessageType, formatMessage } from "../protocol/message.ts";
import { parseJson } from "../protocol/parse_json.ts";
import { PathValidationError } from "../storage/containment.ts";
import { InsufficientSpaceError, isDiskFull, requireSpace } from "../storage/copy.ts";
import { checkNames, IncomingFolder } from "../storage/incoming.ts";
import { FileWriter } from "./file_writer.ts";
import { type Pipe, release } from "./pipe.ts";
import { ConnectionError, TransferError } from "./transfer_error.ts";

/** How files are received. */
export interface ReceiveFilesOptions {
  /** Existing private folder; unfinished transfers are kept in it. */
  root: string;
  /** Flush each file to disk before the sender is told that it arrived. */
  durable: boolean;
  onProgress?: (done: number, total: number) => void;
  /** Told, once, how many bytes were there. */
  onFound?: (bytes: number) => void;
}

/** The offer in a `FILES_OFFER`; undefined for one that breaks the rules. */
export function parseOffer(json: string): FilesOffer | undefined {
  return parseJson(offerSchema, json);
}

/** Declines an offer; the sender reads why. */
export async function declineFiles(pipe: Pipe, { id }: FilesOffer, reason: string): Promise<void> {
  const json = JSON.stringify({ id, by: "receiver", code: "refused", reason });
  await pipe.send(formatMessage({ type: "FILES_CANCEL", json }));
}

/**
 * One transfer. Its messages and chunks are given to it one at a time, in order, by the owner of the pipe; the owner
 * hears that all files are there, verified, or what went wrong, which the sender has been told by then.
 */
export class FilesReceiver {
  readonly offer: FilesOffer;
  readonly #pipe: Pipe;
  readonly #options: ReceiveFilesOptions;
  readonly #list: FileEntry[] = [];
  /** Characters of the listed names. */
  #names = 0;
  #folder: IncomingFolder | undefined;
  #writer: FileWriter | undefined;
  /** Number of the file that comes now, and where in all files it begins. */
  #file = 0;
  #before = 0;
  /** Hash of what is there of the last file of which anything is there. */
  #partial = { file: -1, hash: createHash("sha256") };
  /** Bytes that are there, as the sender was told. */
  #found = 0;
  #begun = false;
  #isOver = false;

  constructor(pipe: Pipe, offer: FilesOffer, options: ReceiveFilesOptions) {
    this.#pipe = pipe;
    this.offer = offer;
    this.#options = options;
  }

  /** Whether nothing more is expected of it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** What was announced, with names that may be used. */
  get entries(): readonly FileEntry[] {
    return this.#list;
  }

  /**
   * Takes a message about files. Returns the folder when all are there; it is the caller's then: `moveTo` or `discard`.
   * Throws {@link TransferError}, `PathValidationError`, Deno's file errors.
   */
  take(message: { type: FilesMessageType; json: string }): Promise<IncomingFolder | undefined> {
    return this.#guarded(async () => {
      switch (message.type) {
        case "FILES_LIST":
          return await this.#takeList(this.#parse(listSchema, message.json).files);
        case "FILES_BEGIN":
          return await this.#begin(this.#parse(beginSchema, message.json).offset);
        case "FILE_END":
          return await this.#endFile(this.#parse(fileEndSchema, message.json));
        case "FILES_CANCEL":
          return this.#cancelled(message.json);
        default:
          return undefined;
      }
    });
  }

  /** Called once after the offer, when it is taken: asks for nothing when no file is announced. */
  start(): Promise<IncomingFolder | undefined> {
    return this.#guarded(async () => {
      if (this.offer.files === 0) await this.#sayReady();
      return undefined;
    });
  }

  /** Takes a binary message, which is empty afterwards. Throws as {@link take}. */
  async takeChunk(message: Uint8Array): Promise<void> {
    await this.#guarded(async () => {
      const chunk = parseChunk(message);
      const entry = this.#list[this.#file];
      const position = this.#writer?.position ?? 0;
      const fits = chunk && entry && this.#begun && chunk.id === this.offer.id && chunk.file === this.#file &&
        chunk.offset === position && position + chunk.bytes.length <= entry.size;
      if (!fits) throw new TransferError("a chunk came that does not belong where it came");
      this.#writer ??= await this.#open();
      await this.#writer.write(chunk.bytes);
      release(message);
      this.#options.onProgress?.(this.#before + this.#writer.position, this.offer.bytes);
      return undefined;
    });
  }

  /** The link ended: what came is kept for another transfer with the same key, if there is a key. */
  async interrupt(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await this.#writer?.close().catch(() => {});
    const came = this.#found + this.#before + (this.#writer?.position ?? 0);
    if (this.offer.key === null || came === 0) await this.#folder?.discard();
    else await this.#folder?.keep();
  }

  #cancelled(json: string): undefined {
    // The other direction may have a transfer with the same number.
    if (parseJson(cancelSchema, json)?.by === "receiver") return;
    throw new SenderCancelled(this.#parse(cancelSchema, json));
  }

  #parse<Schema extends z.ZodType<{ id: number }>>(schema: Schema, json: string): z.infer<Schema> {
    const value = parseJson(schema, json);
    if (value?.id === this.offer.id) return value;
    throw new TransferError("a message about files breaks the rules, or is about another transfer");
  }

  /** Tells the sender of what goes wrong, and leaves nothing that would go wrong again. */
  async #guarded(
    step: () => Promise<IncomingFolder | undefined>,
  ): Promise<IncomingFolder | undefined> {
    if (this.#isOver) return undefined;
    try {
      return await step();
    } catch (error) {
      const mayComeAgain = error instanceof SenderCancelled
        ? error.mayComeAgain
        : error instanceof ConnectionError;
      if (mayComeAgain) await this.interrupt();
      else await this.#discard();
      if (!(error instanceof SenderCancelled)) await this.#cancel(error);
      throw isLackOfSpace(error) ? new NoSpaceError(this.#options.root, this.offer, error) : error;
    }
  }

  async #discard(): Promise<void> {
    this.#isOver = true;
    await this.#writer?.close().catch(() => {});
    await this.#folder?.discard();
  }

  async #cancel(error: unknown): Promise<void> {
    const json = JSON.stringify({ id: this.offer.id, by: "receiver", ...tellable(error) });
    await this.#pipe.send(formatMessage({ type: "FILES_CANCEL", json })).catch(() => {});
  }

  async #takeList(files: readonly FileEntry[]): Promise<undefined> {
    if (this.#folder || this.#list.length + files.length > this.offer.files) {
      throw new TransferError("more files are listed than were announced");
    }
    this.#names += files.reduce((sum, { name }) => sum + name.length, 0);
    if (this.#names > MAX_NAMES) throw new TransferError("the names of the files are too long together");
    this.#list.push(...files);
    if (this.#list.length === this.offer.files) await this.#sayReady();
  }

  async #sayReady(): Promise<void> {
    const { id, key, bytes } = this.offer;
    const entries = checkNames(this.#list);
    if (entries.reduce((sum, { size }) => sum + size, 0) !== bytes) {
      throw new TransferError("the listed files have another size together than was announced");
    }
    this.#list.splice(0, Infinity, ...entries);
    this.#folder = await IncomingFolder.open(this.#options.root, key, entries);
    const hash = createHash("sha256");
    for await (const { file, bytes } of this.#folder.read()) {
      if (file !== this.#partial.file) this.#partial = { file, hash: createHash("sha256") };
      this.#partial.hash.update(bytes);
      hash.update(bytes);
      this.#found += bytes.length;
    }
    await requireSpace(this.#options.root, bytes - this.#found);
    const json = JSON.stringify({ id, offset: this.#found, sha256: hash.digest("hex") });
    await this.#pipe.send(formatMessage({ type: "FILES_READY", json }));
  }

  async #begin(offset: number): Promise<IncomingFolder | undefined> {
    const folder = this.#folder;
    if (!folder || this.#begun) throw new TransferError("files begin before they were asked for, or again");
    if (offset !== 0 && offset !== this.#found) throw new TransferError("files begin where nobody asked for");
    this.#begun = true;
    if (offset === 0) await folder.clear();
    this.#options.onFound?.(offset);
    // An empty file at the very offset was not looked for.
    const isThere = (size: number): boolean => this.#before < offset && this.#before + size <= offset;
    while (this.#file < this.#list.length && isThere(this.#list[this.#file]!.size)) this.#next();
    if (this.#before < offset) {
      this.#writer = await FileWriter.goOn(folder, this.#file, offset - this.#before, this.#partial.hash);
    }
    return await this.#doneIfLast();
  }

  #next(): void {
    this.#before += this.#list[this.#file]!.size;
    this.#file++;
  }

  async #open(): Promise<FileWriter> {
    return await FileWriter.begin(this.#folder!, this.#file);
  }

  async #endFile({ file, sha256 }: z.infer<typeof fileEndSchema>): Promise<IncomingFolder | undefined> {
    const entry = this.#list[this.#file];
    if (!entry || !this.#begun || file !== this.#file) {
      throw new TransferError("a file ends that is not the one that came");
    }
    const writer = this.#writer ??= await this.#open();
    if (writer.position !== entry.size) {
      throw new TransferError(`${entry.name}: ${writer.position} bytes came, ${entry.size} were announced`);
    }
    if (await writer.finish(this.#options.durable) !== sha256) {
      throw new CorruptFileError(entry.name);
    }
    this.#writer = undefined;
    this.#next();
    return await this.#doneIfLast();
  }

  async #doneIfLast(): Promise<IncomingFolder | undefined> {
    if (this.#file < this.#list.length) return undefined;
    const json = JSON.stringify({ id: this.offer.id });
    await this.#pipe.send(formatMessage({ type: "FILES_DONE", json }));
    this.#isOver = true;
    return this.#folder;
  }
}

/** The sender gave up. */
class SenderCancelled extends TransferError {
  /** Whether what came so far can be gone on with. */
  readonly mayComeAgain: boolean;

  constructor({ code, reason }: z.infer<typeof cancelSchema>) {
    super(`the sender ended the transfer: ${reason}`, { code: CANCEL_ERRORS[code] });
    this.mayComeAgain = code === "cancelled" || code === "failed";
  }
}

/** A file's bytes are not those that were sent. */
class CorruptFileError extends TransferError {
  static override readonly code: ErrorCode = "TRANSFER_CORRUPT";

  constructor(name: string) {
    super(`${name} arrived with other bytes than were sent: its SHA-256 differs`, {
      hint: "send it again; if that fails as well, look at the disks and the memory of both machines",
    });
  }
}

/** The files do not fit on this disk, or no more fit into the quota. */
class NoSpaceError extends TransferError {
  static override readonly code: ErrorCode = "NO_SPACE";

  constructor(root: string, { bytes, purpose }: FilesOffer, cause: unknown) {
    super(`the disk has no space for the ${(bytes / 1e6).toFixed(1)} MB that were to come to ${root}`, {
      hint: purpose === "results"
        ? "make space there; the worker keeps the results, which `attach` brings home"
        : "make space there, or choose a folder of another disk",
      cause,
    });
  }
}

function isLackOfSpace(error: unknown): boolean {
  return error instanceof InsufficientSpaceError || isDiskFull(error);
}

/** What the sender may read of an error: our own words; those of the system hold paths of this machine. */
function tellable(error: unknown): { code: CancelCode; reason: string } {
  if (isLackOfSpace(error)) {
    return { code: "no space", reason: "there is not enough disk space on the receiving side" };
  }
  if (error instanceof CorruptFileError) return { code: "corrupt", reason: errorText(error) };
  if (error instanceof PathValidationError || error instanceof UserError) {
    return { code: "refused", reason: error.message };
  }
  return { code: "failed", reason: "the receiving side cannot write; its log says why" };
}
