/** A package in a ZIP, looked into where it lies: its list of entries is read, and the few files that are asked for. */
import { ZipReader } from "@zip-js/zip-js";
import { errorText, UserError } from "../config/user_error.ts";
import { FileReader } from "./archive.ts";
import {
  ARCHIVE_LIMITS,
  type ArchiveFile,
  type ArchiveLimits,
  type ArchivePlan,
  checkEntries,
  checkProportions,
} from "./archive_check.ts";
import { EntryReader } from "./archive_entry.ts";
import { checkTextSize } from "./package_folder.ts";
import type { PackageFiles } from "./package_plan.ts";

/** Ends the reading of an entry of which no more is wanted. */
class Enough extends Error {}

/** The files of an open archive; dispose of it. */
export class ArchiveFiles implements PackageFiles, Disposable {
  readonly #file: Deno.FsFile;
  readonly #reader: EntryReader;
  readonly #plan: ArchivePlan;
  readonly #files: ReadonlyMap<string, ArchiveFile>;

  private constructor(file: Deno.FsFile, plan: ArchivePlan) {
    this.#file = file;
    this.#reader = new EntryReader(file);
    this.#plan = plan;
    this.#files = new Map(plan.files.map((each) => [each.name, each]));
  }

  /**
   * Opens the ZIP at an absolute path. Throws `UserError` for what would not be unpacked (see `extractArchive`), Deno's
   * file errors, the abort reason.
   */
  static async open(
    path: string,
    signal: AbortSignal,
    limits: ArchiveLimits = ARCHIVE_LIMITS,
  ): Promise<ArchiveFiles> {
    const file = await Deno.open(path, { read: true });
    try {
      const { size } = await file.stat();
      const reader = new ZipReader(new FileReader(file, size), { useWebWorkers: false, signal });
      const plan = await checkEntries(reader.getEntriesGenerator(), size, limits);
      checkProportions(plan, size, limits);
      return new ArchiveFiles(file, plan);
    } catch (error) {
      file.close();
      signal.throwIfAborted();
      throw new UserError(`the ZIP cannot be unpacked: ${errorText(error)}`, {
        code: "FILE_CORRUPT",
        cause: error,
        hint: "make it again: it is damaged, or no worker would take it",
      });
    }
  }

  /** Bytes of all files, unpacked. */
  get unpackedBytes(): number {
    return this.#plan.bytes;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  /** See {@link PackageFiles}. */
  list(folder: string): Promise<{ name: string; isFile: boolean; isDirectory: boolean }[]> {
    const prefix = folder === "" ? "" : `${folder}/`;
    const isFile = new Map<string, boolean>();
    const add = (path: string, leafIsFile: boolean): void => {
      if (!path.startsWith(prefix) || path.length === prefix.length) return;
      const [name = "", ...rest] = path.slice(prefix.length).split("/", 2);
      isFile.set(name, rest.length === 0 && leafIsFile);
    };
    for (const name of this.#files.keys()) add(name, true);
    for (const name of this.#plan.folders) add(name, false);
    return Promise.resolve([...isFile].map(([name, isFile]) => ({ name, isFile, isDirectory: !isFile })));
  }

  /** What is known of a file; undefined where there is none. */
  find(path: string): ArchiveFile | undefined {
    return this.#files.get(path);
  }

  /** See {@link PackageFiles}. Throws `UserError` for an entry that cannot be read. */
  async readText(path: string): Promise<string | undefined> {
    const file = this.#files.get(path);
    if (!file) return undefined;
    checkTextSize(path, file.size);
    return new TextDecoder().decode(await this.readHead(file, file.size));
  }

  /** Where the bytes of a stored file begin in the archive. Throws `UserError` for an entry that cannot be read. */
  async begin(file: ArchiveFile): Promise<number> {
    return await this.#reader.begin(file).catch(cannotRead);
  }

  /** The first bytes of a file, at most `limit`. Throws `UserError` for an entry that cannot be read. */
  async readHead(file: ArchiveFile, limit: number): Promise<Uint8Array<ArrayBuffer>> {
    const head = new Uint8Array(Math.min(file.size, limit));
    let filled = 0;
    const take = (bytes: Uint8Array): Promise<void> => {
      const part = bytes.subarray(0, head.length - filled);
      head.set(part, filled);
      filled += part.length;
      // A whole file is read to its end, and compared with its checksum.
      if (filled === head.length && head.length < file.size) return Promise.reject(new Enough());
      return Promise.resolve();
    };
    try {
      await this.#reader.stream(file, take, new AbortController().signal);
    } catch (error) {
      if (!(error instanceof Enough)) cannotRead(error);
    }
    return head;
  }
}

function cannotRead(error: unknown): never {
  throw new UserError(errorText(error), { code: "FILE_CORRUPT", cause: error });
}
