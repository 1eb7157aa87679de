/** A package that lies unpacked in a folder. */
import { join } from "node:path";
import { MAX_SCRIPT_BYTES, PackageError } from "../protocol/package_script.ts";
import { FileReader } from "./archive.ts";
import { openInside, PathValidationError } from "./containment.ts";
import type { PackageFiles } from "./package_plan.ts";

/** The files below an absolute folder; every path is checked to lie in it. */
export class FolderFiles implements PackageFiles {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** See {@link PackageFiles}; Deno's file errors where there is no such folder. */
  async list(folder: string): Promise<Deno.DirEntry[]> {
    return await Array.fromAsync(Deno.readDir(join(this.#root, folder)));
  }

  async readText(path: string): Promise<string | undefined> {
    try {
      const { file, info } = await openInside(this.#root, path);
      using script = file;
      checkTextSize(path, info.size);
      return new TextDecoder().decode(await new FileReader(script, info.size).readUint8Array(0, info.size));
    } catch (error) {
      if (error instanceof PathValidationError && error.refusal === "missing") return undefined;
      throw error;
    }
  }
}

/** Throws {@link PackageError} for what is too long for a script or configuration, in bytes. */
export function checkTextSize(path: string, size: number): void {
  if (size <= MAX_SCRIPT_BYTES) return;
  throw new PackageError(`${path} has ${size} bytes; that is no script or configuration`);
}
