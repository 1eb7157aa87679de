/** ZIP files from outside: everything in them is hostile until checked. Streams; never a whole file in memory. */
import { Reader, ZipReader, ZipWriter } from "@zip-js/zip-js";
import { join } from "node:path";
import {
  ARCHIVE_LIMITS,
  type ArchiveFile,
  type ArchiveLimits,
  type ArchivePlan,
  checkEntries,
  checkProportions,
} from "./archive_check.ts";
import { EntryReader, release, SPARE } from "./archive_entry.ts";
import {
  createInside,
  isInside,
  makeFolderInside,
  type NewFile,
  PathValidationError,
} from "./containment.ts";
import { freeSpace, InsufficientSpaceError, isDiskFull } from "./copy.ts";
import { Lanes } from "./lanes.ts";
import { writeAll } from "./write_all.ts";

/** Most that is read at once, in bytes: the names of {@link ARCHIVE_LIMITS} entries fit. */
const MAX_READ = 64 * 2 ** 20;
/** Small files written at a time; what takes long is waiting for the storage. */
const WRITERS = 4;

/** Lets zip.js read an open file at any place, so that an archive is never in memory. */
export class FileReader extends Reader<Deno.FsFile> {
  readonly #file: Deno.FsFile;

  constructor(file: Deno.FsFile, size: number) {
    super(file);
    this.#file = file;
    this.size = size;
  }

  override async readUint8Array(offset: number, length: number): Promise<Uint8Array> {
    if (length > MAX_READ) throw new Error(`its list of entries has ${length} bytes; at most ${MAX_READ}`);
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
 * Extracts a ZIP below a folder, streaming. Throws `PathValidationError` (`corrupt`, with `received` as its path, the
 * entry named in `detail`) for a file that is no ZIP, fails its checksums, is beyond the limits, or holds what is
 * neither file nor folder, encrypted entries, names that lead outside or are one on some storage;
 * `InsufficientSpaceError` when it unpacks to more than is free. What was unpacked before stays.
 */
export async function extractArchive(
  zip: { file: Deno.FsFile; size: number },
  folder: string,
  received: string,
  signal: AbortSignal,
  limits: ArchiveLimits = ARCHIVE_LIMITS,
): Promise<void> {
  const reader = new ZipReader(new FileReader(zip.file, zip.size), {
    useWebWorkers: false,
    checkSignature: true,
    signal,
  });
  try {
    const plan = await checkEntries(reader.getEntriesGenerator(), zip.size, limits);
    await checkRoom(plan, folder);
    checkProportions(plan, zip.size, limits);
    await unpack(plan, new EntryReader(zip.file), folder, signal);
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

async function checkRoom({ bytes }: ArchivePlan, folder: string): Promise<void> {
  const free = await freeSpace(folder);
  if (bytes > free) throw new InsufficientSpaceError(folder, bytes, free);
}

/** Reads from front to back; small files are written meanwhile. */
async function unpack(
  plan: ArchivePlan,
  reader: EntryReader,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  for (const name of plan.folders) await makeFolderInside(folder, name);
  const knownFolders = new Map<string, Promise<string>>();
  const fill = async (file: ArchiveFile, write: (target: NewFile) => Promise<void>): Promise<void> => {
    const target = await createInside(folder, file.name, { durable: false, knownFolders });
    try {
      await write(target);
      await target.commit();
    } catch (error) {
      await target.discard();
      throw error;
    }
  };
  await using writers = new Lanes(WRITERS);
  for (const file of plan.files) {
    signal.throwIfAborted();
    if (EntryReader.isSmall(file)) {
      const bytes = await reader.whole(file);
      await writers.run(async () => {
        await fill(file, (target) => writeAll(target.file, bytes));
        release(bytes, SPARE);
      });
    } else {
      await fill(file, (target) => reader.stream(file, (bytes) => writeAll(target.file, bytes), signal));
    }
  }
  await writers.done();
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
  const sink = new WritableStream<Uint8Array>({ write: (bytes) => writeAll(file, bytes) });
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
