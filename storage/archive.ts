/** ZIP files from outside: everything in them is hostile until checked. Streams; never a whole file in memory. */
import { type Entry, type FileEntry, Reader, ZipReader, ZipWriter } from "@zip-js/zip-js";
import { join } from "node:path";
import {
  checkRelativePath,
  createInside,
  isInside,
  makeFolderInside,
  PathValidationError,
} from "./containment.ts";
import { freeSpace, InsufficientSpaceError, isDiskFull } from "./copy.ts";

/** Entries of one archive; a real package has a few thousand at most. */
const MAX_ENTRIES = 200_000;
/** Upper bits of a Unix mode that say "symbolic link". */
const S_IFMT = 0o170000;
const S_IFLNK = 0o120000;

/** Lets zip.js read an open file at any place, so that an archive is never in memory. */
export class FileReader extends Reader<Deno.FsFile> {
  readonly #file: Deno.FsFile;

  constructor(file: Deno.FsFile, size: number) {
    super(file);
    this.#file = file;
    this.size = size;
  }

  override async readUint8Array(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.min(length, Math.max(0, this.size - offset)));
    await this.#file.seek(offset, Deno.SeekMode.Start);
    let filled = 0;
    while (filled < bytes.length) {
      const read = await this.#file.read(bytes.subarray(filled));
      if (read === null) break;
      filled += read;
    }
    return bytes.subarray(0, filled);
  }
}

/**
 * Extracts a ZIP below a folder, streaming. Throws `PathValidationError` (`corrupt`, with `received` as its path) for
 * a file that is no ZIP, fails its checksums, or holds links, encrypted entries or paths that lead outside;
 * `InsufficientSpaceError` when it unpacks to more than is free.
 */
export async function extractArchive(
  zip: { file: Deno.FsFile; size: number },
  folder: string,
  received: string,
  signal: AbortSignal,
): Promise<void> {
  const reader = new ZipReader(new FileReader(zip.file, zip.size), {
    useWebWorkers: false,
    checkSignature: true,
    signal,
  });
  try {
    const entries = await reader.getEntries();
    await checkEntries(entries, folder);
    for (const entry of entries) {
      if (entry.directory) await makeFolderInside(folder, entry.filename.replace(/\/+$/, ""));
      else await extractFile(entry, folder, signal);
    }
  } catch (error) {
    signal.throwIfAborted();
    // The disk's faults are not the archive's.
    if (error instanceof InsufficientSpaceError || isDiskFull(error) || isDenied(error)) throw error;
    const detail = error instanceof PathValidationError
      ? `${error.message} (${error.detail})`
      : String(error);
    throw new PathValidationError("corrupt", received, detail, error);
  } finally {
    await reader.close();
  }
}

function isDenied(error: unknown): boolean {
  return error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable;
}

async function checkEntries(entries: readonly Entry[], folder: string): Promise<void> {
  if (entries.length > MAX_ENTRIES) {
    throw new Error(`it has ${entries.length} entries; at most ${MAX_ENTRIES}`);
  }
  const seen = new Set<string>();
  let bytes = 0;
  for (const entry of entries) {
    const mode = (entry.externalFileAttributes ?? 0) >>> 16;
    if ((mode & S_IFMT) === S_IFLNK) throw new Error(`${JSON.stringify(entry.filename)} is a link`);
    if (entry.encrypted) throw new Error(`${JSON.stringify(entry.filename)} is encrypted`);
    // As the disk will have it: `./a` and `a` are one file, and so are `A` and `a` where the storage folds case.
    const name = checkRelativePath(entry.filename).join("/").normalize("NFC").toLowerCase();
    if (!entry.directory && seen.has(name)) {
      throw new Error(`${JSON.stringify(entry.filename)} is in it twice`);
    }
    seen.add(name);
    bytes += entry.uncompressedSize;
  }
  const free = await freeSpace(folder);
  if (bytes > free) throw new InsufficientSpaceError(folder, bytes, free);
}

async function extractFile(entry: FileEntry, folder: string, signal: AbortSignal): Promise<void> {
  const target = await createInside(folder, entry.filename, { durable: false });
  let written = 0;
  try {
    const sink = new WritableStream<Uint8Array>({
      async write(bytes): Promise<void> {
        written += bytes.length;
        if (written > entry.uncompressedSize) throw new Error(`${entry.filename} is larger than it says`);
        for (let done = 0; done < bytes.length;) done += await target.file.write(bytes.subarray(done));
      },
    });
    await entry.getData(sink, { signal });
    await target.commit();
  } catch (error) {
    await target.discard();
    throw error;
  }
}

/**
 * Packs the contents of a folder into a new ZIP file, streaming; directory entries included
 * (PROTOCOL.md section 11.3). Entries are stored: weights hardly compress. Links to files inside the folder become
 * those files, as when results are published; other links are left out. On failure nothing is left.
 */
export async function packFolder(folder: string, target: string, signal: AbortSignal): Promise<void> {
  const root = await Deno.realPath(folder);
  const file = await Deno.open(target, { write: true, createNew: true });
  // The archive writer must not close a file that it fails to fill.
  const sink = new WritableStream<Uint8Array>({
    async write(bytes): Promise<void> {
      for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
    },
  });
  try {
    const writer = new ZipWriter(sink, { useWebWorkers: false, level: 0, signal });
    await addFolder(writer, root, root, "");
    await writer.close();
    file.close();
  } catch (error) {
    file.close();
    await Deno.remove(target);
    throw error;
  }
}

async function addFolder(
  writer: ZipWriter<unknown>,
  root: string,
  path: string,
  prefix: string,
): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(path)) {
    if (isDirectory) {
      await writer.add(`${prefix}${name}/`, undefined, { directory: true });
      await addFolder(writer, root, join(path, name), `${prefix}${name}/`);
    } else {
      const real = await Deno.realPath(join(path, name)).catch(() => "");
      if (real !== "" && isInside(real, root)) await addFile(writer, real, `${prefix}${name}`);
    }
  }
}

async function addFile(writer: ZipWriter<unknown>, path: string, name: string): Promise<void> {
  const info = await Deno.lstat(path);
  if (!info.isFile) return;
  using source = await Deno.open(path, { read: true });
  await writer.add(name, new FileReader(source, info.size), info.mtime ? { lastModDate: info.mtime } : {});
}
