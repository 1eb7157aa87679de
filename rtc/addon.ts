/**
 * The native library of a compiled program. Deno would unpack it to a name in the shared temporary folder that others
 * can guess, use whatever lies there, and leave it behind. Here it gets a private folder, which goes once it is loaded.
 */
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { errorText, UserError } from "../config/user_error.ts";

/** Name of the file, beside the program's bundle. */
export const ADDON_FILE = "node_datachannel.node";

/** Where a compiled program has it embedded. */
export const EMBEDDED_ADDON = fileURLToPath(new URL(`./${ADDON_FILE}`, import.meta.url));

/**
 * Whether this program unpacks the library itself. From source it lies in `node_modules`; on Windows a loaded library
 * cannot be removed, and no other user sees the temporary folder: Deno's own unpacking uses one file again and again.
 */
export const UNPACKS_ADDON = Deno.build.standalone && Deno.build.os !== "windows";

/** An unpacked library. */
export interface UnpackedAddon {
  /** Absolute; only this user may look into it. */
  folder: string;
  path: string;
  /** Removes the folder; harmless when it is gone. Where the library is loaded it stays loaded. */
  remove(): void;
}

let unpacked: string | undefined;

/** Says where the library lies, for an isolate that may not unpack it. Call it before the library is imported. */
export function useAddon(path: string): void {
  unpacked = path;
}

/** Unpacks the embedded library. Throws {@link UserError}. */
export function unpackAddon(): UnpackedAddon {
  const folder = orSay("unpacked", () => Deno.realPathSync(Deno.makeTempDirSync({ prefix: "sleap-rtc-" })));
  const path = join(folder, ADDON_FILE);
  const remove = (): void => {
    try {
      Deno.removeSync(folder, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  };
  try {
    const write = (): void => Deno.writeFileSync(path, Deno.readFileSync(EMBEDDED_ADDON), { mode: 0o500 });
    orSay("unpacked", write);
  } catch (error) {
    remove();
    throw error;
  }
  return { folder, path, remove };
}

/**
 * Loads the library; what the bundle has in place of node-datachannel's own search through `node_modules`.
 * Throws {@link UserError}.
 */
export function loadAddon(): unknown {
  if (unpacked !== undefined) return open(unpacked);
  if (!UNPACKS_ADDON) return open(EMBEDDED_ADDON);
  const addon = unpackAddon();
  try {
    return open(addon.path);
  } finally {
    addon.remove();
  }
}

function open(path: string): unknown {
  const module = { exports: {} };
  orSay("loaded", () => process.dlopen(module, path));
  return module.exports;
}

/** Says what to do where the temporary folder is full, read-only, or closed to programs. */
function orSay<Result>(what: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw new UserError(
      `the native WebRTC library cannot be ${what} in the temporary folder: ${errorText(error)}`,
      {
        code: "ADDON_FAILED",
        hint: "set TMPDIR to a folder that has 10 MB, may be written to, and is not mounted noexec",
        cause: error,
      },
    );
  }
}
