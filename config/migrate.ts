/** From the one shared folder of `SHARED_STORAGE_ROOT` to a storage section. */
import { basename, dirname } from "node:path";
import { stringify } from "smol-toml";
import type { ConfigFlags } from "./load.ts";
import { BACKEND_NAME, BACKEND_NAME_RULE } from "./schema.ts";
import { namedRoot } from "./shared_root.ts";
import { expandPath, realSurroundings, type Surroundings } from "./surroundings.ts";
import { ConfigError } from "./user_error.ts";

/** How to write the section. */
export interface MigrateOptions extends Pick<ConfigFlags, "sharedStorageRoot"> {
  /** Name of the backend; default `default`, as without any section. */
  name?: string;
  /** The last folder of the root is a user's: it goes into `[client]`. */
  userDir?: boolean;
}

/** A configuration file in place of `SHARED_STORAGE_ROOT`. */
export interface Migration {
  /** A whole, valid file. */
  toml: string;
  /** What a person should do or know, one sentence each. */
  hints: readonly string[];
}

/**
 * A file whose one backend equals that of `--shared-storage-root` or `SHARED_STORAGE_ROOT`. Throws `ConfigError`
 * when neither is set, or when the path cannot be written so that it means the same.
 */
export function migrateSharedRoot(
  { name = "default", userDir = false, sharedStorageRoot }: MigrateOptions,
  at: Surroundings = realSurroundings(),
): Migration {
  if (!BACKEND_NAME.test(name)) {
    throw new ConfigError(`--name: found "${name}", expected ${BACKEND_NAME_RULE}`);
  }
  const named = namedRoot(sharedStorageRoot, at);
  if (!named) {
    throw new ConfigError("there is nothing to migrate: SHARED_STORAGE_ROOT is not set", {
      hint: "set it, or give --shared-storage-root FOLDER",
    });
  }
  const root = expandRoot(named.text, named.from, at);
  const base = userDir ? dirname(root) : root;
  if (userDir && dirname(base) === base) {
    throw new ConfigError(`${root}: splitting off the user directory leaves ${base}, the whole disk`, {
      hint: "leave out --user-dir",
    });
  }
  const entry = { base_path: base, type: "local", description: named.from };
  const toml = stringify({
    storage: { [name]: entry },
    ...(userDir ? { client: { user_subdir: basename(root) } } : {}),
  });
  return { toml: toml.endsWith("\n") ? toml : `${toml}\n`, hints: hintsFor(root, base, at) };
}

/** The root's absolute path. Throws {@link ConfigError} when a file would take it for another. */
function expandRoot(text: string, from: string, at: Surroundings): string {
  let root: string;
  try {
    root = expandPath(text, at);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(`${from}: ${error.message}`, { cause: error });
  }
  if (/\$[\w{]/.test(root)) {
    throw new ConfigError(`${from}: a configuration file takes the "$" in ${root} for a variable`, {
      hint: "name the folder by a link whose path has none",
    });
  }
  return root;
}

function hintsFor(root: string, base: string, at: Surroundings): string[] {
  return [
    "save this as sleap-rtc.toml in the working directory, or as ~/.sleap-rtc/config.toml, and run config check",
    "both sides need the backend under the same name, each with its own base_path",
    "keep SHARED_STORAGE_ROOT set while Python programs without storage sections take part; it serves them only",
    ...(at.isDirectory(root) ? [] : [`${root} is not a folder on this machine now; is the storage mounted?`]),
    ...(base === root ? [] : [
      `the backend now spans ${base}; on workers, confine_to_user_subdir = true keeps each job to its user's folder`,
    ]),
  ];
}
