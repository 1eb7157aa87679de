/** The one shared folder of a set-up without storage sections: named by a flag or a variable, or detected. */
import { type Mistake } from "./mistake.ts";
import { hasScheme } from "./schema.ts";
import { expandPath, type Surroundings } from "./surroundings.ts";
import { ConfigError } from "./user_error.ts";

/** Where the programs look for storage that nobody configured. Source: DESIGN.md, Configuration. */
export const KNOWN_MOUNTS: readonly string[] = [
  "/home/jovyan/vast/amick",
  "/Volumes/talmo/amick",
  "/workspace/shared",
  "/data/shared",
  "/mnt/shared",
  "/shared",
];

/** A shared folder as somebody named it. */
export interface NamedRoot {
  text: string;
  /** The flag or the variable. */
  from: "--shared-storage-root" | "SHARED_STORAGE_ROOT";
}

/** A shared folder that is there. */
export interface SharedRoot {
  /** Absolute. */
  path: string;
  from: NamedRoot["from"] | "detected";
}

/** What the flag says, else the variable; an empty variable counts as unset. */
export function namedRoot(flag: string | undefined, at: Surroundings): NamedRoot | undefined {
  if (flag !== undefined) return { text: flag, from: "--shared-storage-root" };
  const text = at.env("SHARED_STORAGE_ROOT");
  return text === undefined || text === "" ? undefined : { text, from: "SHARED_STORAGE_ROOT" };
}

/**
 * The folder that was named, if it is there. What is wrong with the flag, or with the text of the variable, is a
 * mistake; a variable whose folder is not there gives a notice.
 */
export function findRoot(
  { text, from }: NamedRoot,
  at: Surroundings,
  mistakes: Mistake[],
  notices: string[],
): SharedRoot | undefined {
  let path = text;
  try {
    if (from === "--shared-storage-root" || !hasScheme(text)) path = expandPath(text, at);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    mistakes.push({ key: "", text: `${from}: ${error.message}`, isOutside: true });
    return undefined;
  }
  if (at.isDirectory(path)) return { path, from };
  if (from === "--shared-storage-root") {
    const hint = "is the storage mounted?";
    mistakes.push({ key: "", text: `${from}: ${path} is not a folder`, hint, isOutside: true });
  } else {
    // As in the Python programs: a root that is not there turns shared storage off, it does not stop the program.
    notices.push(`${from} is ${path}, which is not a folder: shared storage is off`);
  }
  return undefined;
}

/** The first known mount point that is there, with a notice. */
export function detectRoot(at: Surroundings, notices: string[]): SharedRoot | undefined {
  const path = KNOWN_MOUNTS.find((mount) => at.isDirectory(mount));
  if (path === undefined) return undefined;
  notices.push(`no storage is configured; detected ${path} and made it the backend "default"`);
  return { path, from: "detected" };
}
