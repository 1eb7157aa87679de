/**
 * Files on their way to this machine. What an interrupted transfer leaves is kept under the transfer's key and found
 * again by the next one with the same key and the same list of files.
 */
import { dirname, join } from "node:path";
import { checkRelativePath, makeFolderInside, PathValidationError } from "./containment.ts";
import { LOCK, lockFolder, removeAll, removeLocked, unlockFolder } from "./folder_lock.ts";

/** A transfer's files lie below this. */
const FILES = "files";
/** The list that they belong to, as JSON. */
const LIST = "list.json";
/** What nobody came back for is removed after so long, in milliseconds: three days. */
const FORSAKEN_MS = 3 * 24 * 3600_000;
/** Folders above a file, and the file, at most. */
const MAX_DEPTH = 64;
/** Bytes per read. */
const READ_BYTES = 1024 * 1024;

/** One file: its relative path, with `/`, and its size in bytes. */
export interface IncomingEntry {
  name: string;
  size: number;
}

/**
 * The names as they may be used, in their order. Throws `PathValidationError` for one that leads outside, and for two
 * that are the same on some file system, or of which one would have to be a folder.
 */
export function checkNames(entries: readonly IncomingEntry[]): IncomingEntry[] {
  const [files, folders] = [new Set<string>(), new Set<string>()];
  const fold = (components: readonly string[]): string => components.join("/").normalize("NFC").toLowerCase();
  return entries.map(({ name, size }) => {
    const components = checkRelativePath(name);
    const folded = fold(components);
    if (components.length > MAX_DEPTH) throw new PathValidationError("outside", name, "it is too deep");
    if (components.length === 0) throw new PathValidationError("outside", name, "it names no file");
    if (files.has(folded) || folders.has(folded)) {
      throw new PathValidationError("outside", name, "two files have this name");
    }
    files.add(folded);
    for (let depth = 1; depth < components.length; depth++) {
      const folder = fold(components.slice(0, depth));
      if (files.has(folder)) {
        throw new PathValidationError("outside", name, "a file and a folder have one name");
      }
      folders.add(folder);
    }
    return { name: components.join("/"), size };
  });
}

/** The unfinished files of one transfer, in a folder that no other process uses meanwhile. */
export class IncomingFolder {
  readonly #path: string;
  readonly #entries: readonly IncomingEntry[];
  readonly #lock: Deno.FsFile;

  private constructor(path: string, entries: readonly IncomingEntry[], lock: Deno.FsFile) {
    this.#path = path;
    this.#entries = entries;
    this.#lock = lock;
  }

  /**
   * The folder for a key (64 hex digits) below `root`, an existing private folder; with what was there when the list
   * is the same. A new one for null, and where another process uses it. Entries are those of {@link checkNames}.
   */
  static async open(
    root: string,
    key: string | null,
    entries: readonly IncomingEntry[],
  ): Promise<IncomingFolder> {
    for (const name of [...(key === null ? [] : [key]), crypto.randomUUID()]) {
      const path = join(root, name);
      const lock = await lockFolder(path);
      if (!lock) continue;
      const folder = new IncomingFolder(path, entries, lock);
      try {
        await folder.#prepare();
        return folder;
      } catch (error) {
        await folder.discard();
        throw error;
      }
    }
    throw new Deno.errors.Busy(`no folder of ${root} can be locked`);
  }

  /** Absolute folder that the files lie in. */
  get files(): string {
    return join(this.#path, FILES);
  }

  async #prepare(): Promise<void> {
    await Deno.mkdir(this.#path, { recursive: true, mode: 0o700 });
    const list = JSON.stringify(this.#entries);
    const known = await Deno.readTextFile(join(this.#path, LIST)).catch(() => undefined);
    if (known !== list) await this.clear();
    await Deno.writeTextFile(join(this.#path, LIST), list);
    await Deno.mkdir(this.files, { recursive: true });
  }

  /** Forgets what is there. */
  async clear(): Promise<void> {
    await removeAll(this.files);
    await Deno.mkdir(this.files);
  }

  /**
   * Reads what is there, file after file, up to the first that is not whole; each piece is given out with the number
   * of its file. A file that is longer than it should be ends this as well, unread.
   */
  async *read(): AsyncGenerator<{ file: number; bytes: Uint8Array }, void> {
    const buffer = new Uint8Array(READ_BYTES);
    for (const [number, { name, size }] of this.#entries.entries()) {
      const path = join(this.files, name);
      const info = await Deno.lstat(path).catch(() => undefined);
      if (!info?.isFile || info.size > size) return;
      using file = await Deno.open(path, { read: true });
      for (let read; (read = await file.read(buffer)) !== null;) {
        yield { file: number, bytes: buffer.subarray(0, read) };
      }
      if (info.size < size) return;
    }
  }

  /** Opens a file to be written from `offset` on; what is behind it is cut off. Throws `PathValidationError`. */
  async write(number: number, offset: number): Promise<Deno.FsFile> {
    const { name } = this.#entries[number]!;
    const folder = await makeFolderInside(this.files, dirname(name));
    const file = await Deno.open(join(folder, name.slice(name.lastIndexOf("/") + 1)), {
      write: true,
      create: true,
      mode: 0o600,
    });
    await file.truncate(offset);
    await file.seek(offset, Deno.SeekMode.Start);
    return file;
  }

  /** Moves the files to `target`, which must not exist, and removes the rest. */
  async moveTo(target: string): Promise<void> {
    await Deno.rename(this.files, target);
    await this.discard();
  }

  /** Leaves what is there to the next transfer with the same key. */
  async keep(): Promise<void> {
    await unlockFolder(this.#path, this.#lock);
  }

  /** Leaves nothing. */
  async discard(): Promise<void> {
    await removeLocked(this.#path, this.#lock);
  }
}

/** Removes what nobody came back for in three days; folders that are in use are left. */
export async function removeForsaken(root: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(root)) {
    // The lock of a folder that is gone is taken for the folder itself.
    const path = join(root, isDirectory ? name : name.slice(0, -LOCK.length));
    const isKept = isDirectory ? !await isForsaken(path) : !name.endsWith(LOCK) || await isThere(path);
    if (isKept) continue;
    const lock = await lockFolder(path);
    if (!lock) continue;
    await removeLocked(path, lock);
  }
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

async function isForsaken(path: string): Promise<boolean> {
  let newest = (await Deno.stat(path)).mtime?.getTime() ?? 0;
  for await (const { name } of Deno.readDir(path)) {
    newest = Math.max(newest, (await Deno.lstat(join(path, name))).mtime?.getTime() ?? 0);
  }
  return Date.now() - newest > FORSAKEN_MS;
}
