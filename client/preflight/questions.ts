/** What only a worker can tell of a package: files outside of it, and room. */

import { MAX_PATH } from "../../protocol/preflight.ts";
import { unlessAborted } from "../../storage/deadline.ts";

/** Storage that does not say within this, in milliseconds, whether files are there counts as away. */
const LOOK_MS = 4_000;

/** A file that the package names, and that does not travel with it. */
export interface NamedOuterFile {
  /** Absolute, as it is named: so the job will look for it. */
  path: string;
  /** File of the package that names it. */
  namedIn: string;
  /** From 1. */
  line?: number;
}

/** The same, once it was looked for. */
export interface OuterFile extends NamedOuterFile {
  /** Whether it is there as this machine sees it. */
  isHere: boolean;
}

/** What is to be asked of a package. */
export interface Questions {
  files: OuterFile[];
  /** Bytes that the package unpacks to; undefined for one that is not unpacked. */
  unpackedBytes: number | undefined;
  /** Bytes of the package itself. */
  packedBytes: number;
}

/** Whether a path is absolute on any system, or begins in a home folder. */
export function isAbsolute(path: string): boolean {
  return /^([\\/~]|[A-Za-z]:[\\/])/.test(path);
}

/** Looks for files as this machine sees them, each once. Throws the abort reason. */
export async function lookFor(files: readonly NamedOuterFile[], signal: AbortSignal): Promise<OuterFile[]> {
  const late = AbortSignal.timeout(LOOK_MS);
  const isThere = (path: string): Promise<boolean> =>
    unlessAborted(Deno.stat(path), late).then(() => true, () => false);
  const byPath = new Map(
    files.filter(({ path }) => path.length <= MAX_PATH).map((file) => [file.path, file]),
  );
  const found = await Promise.all(
    [...byPath.values()].map(async (file) => ({ ...file, isHere: await isThere(file.path) })),
  );
  signal.throwIfAborted();
  return found;
}
