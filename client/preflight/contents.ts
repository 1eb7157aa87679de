/** A package as it lies here, ZIP or folder, to be looked into. */
import { join } from "node:path";
import { ArchiveFiles } from "../../storage/package_archive.ts";
import { FolderFiles } from "../../storage/package_folder.ts";
import type { PackageFiles } from "../../storage/package_plan.ts";
import type { LabelsSource } from "./labels_facts.ts";

/** Of a packed file at most so much is unpacked into memory, in bytes: half a second. */
const MAX_HEAD_BYTES = 96 * 2 ** 20;

/** The files of a package. Paths are relative to it, clean, with `/`. */
export interface PackageContents extends PackageFiles, Disposable {
  /** Bytes of all files, unpacked, where it has to be unpacked. */
  readonly unpackedBytes: number | undefined;
  /** What lies at a path. */
  find(path: string): Promise<"file" | "folder" | undefined>;
  /** Where a labels file's bytes are; undefined for what is no file. Throws `UserError`, Deno's file errors. */
  labels(path: string): Promise<LabelsSource | undefined>;
}

/** Opens the package at an absolute path. Throws as `ArchiveFiles.open`, the abort reason. */
export async function openContents(
  path: string,
  isFolder: boolean,
  signal: AbortSignal,
): Promise<PackageContents> {
  return isFolder
    ? new FolderContents(path)
    : new ArchiveContents(path, await ArchiveFiles.open(path, signal));
}

class FolderContents extends FolderFiles implements PackageContents {
  readonly unpackedBytes = undefined;
  readonly #folder: string;

  constructor(folder: string) {
    super(folder);
    this.#folder = folder;
  }

  override async list(folder: string): Promise<Deno.DirEntry[]> {
    return await this.find(folder) === "folder" ? await super.list(folder) : [];
  }

  async find(path: string): Promise<"file" | "folder" | undefined> {
    // The user's own links are followed, as a job that runs in the folder would.
    const info = await Deno.stat(join(this.#folder, path)).catch(() => undefined);
    return info?.isFile ? "file" : info?.isDirectory ? "folder" : undefined;
  }

  async labels(path: string): Promise<LabelsSource | undefined> {
    if (await this.find(path) !== "file") return undefined;
    const real = await Deno.realPath(join(this.#folder, path));
    return { path: real, offset: 0, size: (await Deno.stat(real)).size };
  }

  [Symbol.dispose](): void {}
}

class ArchiveContents implements PackageContents {
  readonly #path: string;
  readonly #files: ArchiveFiles;

  constructor(path: string, files: ArchiveFiles) {
    this.#path = path;
    this.#files = files;
  }

  get unpackedBytes(): number {
    return this.#files.unpackedBytes;
  }

  list(folder: string): ReturnType<PackageFiles["list"]> {
    return this.#files.list(folder);
  }

  readText(path: string): Promise<string | undefined> {
    return this.#files.readText(path);
  }

  async find(path: string): Promise<"file" | "folder" | undefined> {
    if (this.#files.find(path)) return "file";
    return (await this.#files.list(path)).length > 0 ? "folder" : undefined;
  }

  async labels(path: string): Promise<LabelsSource | undefined> {
    const file = this.#files.find(path);
    if (!file) return undefined;
    if (file.method === "stored") {
      const offset = await this.#files.begin(file);
      return { path: await Deno.realPath(this.#path), offset, size: file.size };
    }
    return { head: await this.#files.readHead(file, MAX_HEAD_BYTES), size: file.size };
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
  }
}
