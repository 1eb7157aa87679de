/** What an archive holds, checked before any of it is unpacked: names, kinds, places and sizes. */
import type { Entry, FileEntry } from "@zip-js/zip-js";
import { checkRelativePath } from "./containment.ts";

/** What is too much for one archive. */
export interface ArchiveLimits {
  /** Files and folders, those that are only named by what lies in them included. */
  entries: number;
  /** Folders above a file. */
  depth: number;
  /** Bytes, unpacked. */
  bytes: number;
  /** Times its own size that an archive may unpack to, where that is more than `ratioFrom` bytes. */
  ratio: number;
  ratioFrom: number;
}

/** Far beyond real packages, which have a few thousand files, 5 to 9 GB, and hardly shrink. */
export const ARCHIVE_LIMITS: ArchiveLimits = {
  entries: 200_000,
  depth: 64,
  bytes: 2 ** 40,
  ratio: 200,
  ratioFrom: 2 ** 30,
};

/** One file of an archive; no more than is needed, since there may be many. Places and sizes in bytes. */
export interface ArchiveFile {
  /** Relative path as the disk will have it. */
  name: string;
  /** Where its local header begins, and where the next entry does: its bytes lie between. */
  offset: number;
  limit: number;
  packedSize: number;
  size: number;
  /** CRC-32 of the unpacked bytes. */
  crc: number;
  /** How it is packed; for what is neither stored nor deflated the archive library's own entry. */
  method: "stored" | "deflated" | FileEntry;
}

/** What there is to unpack. */
export interface ArchivePlan {
  /** Relative paths of the folders that have entries of their own. */
  folders: Set<string>;
  /** In the order in which they lie in the archive. */
  files: ArchiveFile[];
  /** All files together, unpacked, as the archive says. */
  bytes: number;
}

/** File type in a Unix mode, and the two that are unpacked. */
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const KINDS: Readonly<Record<number, string>> = {
  0o120000: "a link",
  0o060000: "a device",
  0o020000: "a device",
  0o010000: "a named pipe",
  0o140000: "a socket",
};

/**
 * What is to be unpacked of an archive of `size` bytes. Throws an `Error` that names the entry: for links, devices,
 * encrypted entries, names that lead outside, names that are one on some storage, too many entries, and entries that
 * share bytes.
 */
export async function checkEntries(
  entries: AsyncIterable<Entry>,
  size: number,
  limits: ArchiveLimits,
): Promise<ArchivePlan> {
  const names = new Names(limits);
  const plan: ArchivePlan = { folders: new Set(), files: [], bytes: 0 };
  for await (const entry of entries) {
    checkKind(entry);
    const components = checkRelativePath(entry.filename);
    const name = components.join("/");
    names.add(components, entry.directory);
    if (entry.directory) plan.folders.add(name);
    else plan.files.push(fileOf(entry, name, size));
    plan.bytes += entry.uncompressedSize;
  }
  plan.files.sort((a, b) => a.offset - b.offset);
  for (const [index, file] of plan.files.entries()) {
    file.limit = plan.files[index + 1]?.offset ?? size;
    checkPlace(file, file.offset);
  }
  return plan;
}

/** Throws for an archive of `size` bytes that unpacks to more than it may. */
export function checkProportions({ bytes }: ArchivePlan, size: number, limits: ArchiveLimits): void {
  if (bytes > limits.bytes) throw new Error(`it unpacks to ${bytes} bytes; at most ${limits.bytes}`);
  if (bytes > limits.ratioFrom && bytes > size * limits.ratio) {
    throw new Error(`its ${size} bytes unpack to ${bytes}, over ${limits.ratio} times as many`);
  }
}

/** Throws unless a file that begins at `start` ends before the next entry. */
export function checkPlace({ name, packedSize, limit }: ArchiveFile, start: number): void {
  if (start + packedSize <= limit) return;
  throw new Error(`${JSON.stringify(name)} shares bytes with another entry, or is cut off`);
}

/** By their numbers in the ZIP format. */
const METHODS: ReadonlyMap<number, "stored" | "deflated"> = new Map([[0, "stored"], [8, "deflated"]]);

function fileOf(entry: FileEntry, name: string, limit: number): ArchiveFile {
  const { offset, compressedSize: packedSize, uncompressedSize: size, signature: crc = 0 } = entry;
  return {
    name,
    offset,
    limit,
    packedSize,
    size,
    crc,
    method: METHODS.get(entry.compressionMethod) ?? entry,
  };
}

function checkKind(entry: Entry): void {
  const quoted = JSON.stringify(entry.filename);
  if (entry.encrypted) throw new Error(`${quoted} is encrypted`);
  for (const mode of [entry.externalFileAttributes >>> 16, entry.unixMode ?? 0]) {
    const kind = mode & S_IFMT;
    if (kind !== 0 && kind !== S_IFREG && kind !== S_IFDIR) {
      throw new Error(`${quoted} is ${KINDS[kind] ?? "of an unknown kind"}, expected a file or a folder`);
    }
  }
}

/** A name as a storage has it that folds case and the forms of accents. */
function fold(path: string): string {
  return path.normalize("NFC").toUpperCase().toLowerCase();
}

/** Names of an archive, so that no two of them are one on any storage. */
class Names {
  readonly #limits: ArchiveLimits;
  /** Spelling by folded name, of files and folders. */
  readonly #spellings = new Map<string, string>();
  readonly #folders = new Set<string>([""]);

  constructor(limits: ArchiveLimits) {
    this.#limits = limits;
  }

  add(components: readonly string[], isFolder: boolean): void {
    const path = components.join("/");
    const folder = isFolder ? path : path.slice(0, Math.max(0, path.lastIndexOf("/")));
    const { depth } = this.#limits;
    if (components.length > depth) {
      throw new Error(
        `${JSON.stringify(path)} lies ${components.length - 1} folders deep; at most ${depth - 1}`,
      );
    }
    this.#addFolder(folder);
    if (!isFolder) this.#claim(path, false);
  }

  #addFolder(path: string): void {
    if (this.#folders.has(path)) return;
    this.#addFolder(path.slice(0, Math.max(0, path.lastIndexOf("/"))));
    this.#claim(path, true);
    this.#folders.add(path);
  }

  #claim(path: string, isFolder: boolean): void {
    const folded = fold(path);
    const other = this.#spellings.get(folded);
    if (other !== undefined) throw new Error(this.#clash(other, path, isFolder));
    this.#spellings.set(folded, path);
    const { entries } = this.#limits;
    if (this.#spellings.size > entries) throw new Error(`it has more than ${entries} files and folders`);
  }

  #clash(other: string, path: string, isFolder: boolean): string {
    const [first, second] = [other, path].map((each) => JSON.stringify(each));
    if (other !== path) return `${first} and ${second} are one name where storage folds case or accents`;
    // A folder is never claimed twice.
    if (isFolder || this.#folders.has(path)) return `${first} is a file and a folder in it`;
    return `${first} is in it twice`;
  }
}
