/** A check for what interrupted programs have left: named, with how to remove it, and never removed here. */
import { join } from "node:path";
import { type Check, type Found, single } from "../config/checkup.ts";
import { sizeText } from "../config/progress.ts";
import type { StorageBackend } from "./backend.ts";
import { PathValidationError } from "./containment.ts";
import { unlessAborted } from "./deadline.ts";
import { listJobEntries } from "./job_folders.ts";
import { PARTIAL_PREFIX } from "./partial.ts";
import { NONCE_PREFIX } from "./proof.ts";
import { SPEED_PREFIX } from "./speed.ts";

/** Looking takes no longer than this, in milliseconds: a share may hold the jobs of many users. */
const LIMIT_MS = 8_000;
/** Names shown at most. */
const SHOWN = 3;

/** Temporary files of a moment, at the top of a backend. */
const BACKEND_PREFIXES = [SPEED_PREFIX, NONCE_PREFIX, PARTIAL_PREFIX, ".sleap-rtc-verify-"];
/** After an hour, in milliseconds, nobody comes back for them. */
const MOMENT_MS = 3_600_000;

/** Where something may be left. */
export interface LeftoverPlace {
  /** Absolute; may be missing. */
  folder: string;
  /** What the names begin with. */
  prefixes: readonly string[];
  /** What was changed within so many milliseconds is taken for in use. */
  olderThanMs: number;
}

/** Looks into folders of this machine. `hint` says when what is found may be removed. */
export function leftoverCheck(what: string, places: readonly LeftoverPlace[], hint: string): Check {
  return single(what, 2 * LIMIT_MS, async (signal) => {
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
    const paths = (await Promise.all(places.map((place) => unlessAborted(pathsIn(place), inTime)))).flat();
    return paths.length === 0 ? { detail: "none" } : leftFound(paths, `${hint}: rm -r ${paths[0]}`);
  });
}

/** Looks into a backend: copies that were not finished, and files of a moment. */
export function backendLeftoverCheck({ name, basePath }: StorageBackend): Check {
  return single(`leftovers on ${name}`, 2 * LIMIT_MS, async (signal) => {
    const limit = AbortSignal.timeout(LIMIT_MS);
    const inTime = AbortSignal.any([signal, limit]);
    const place = { folder: basePath, prefixes: BACKEND_PREFIXES, olderThanMs: MOMENT_MS };
    try {
      const paths = await unlessAborted(pathsIn(place), inTime);
      if (paths.length > 0) return leftFound(paths, `remove them: rm -r ${paths[0]}`);
      const { count, bytes } = await unlessAborted(unfinished(basePath, inTime), inTime);
      if (count === 0) return { detail: "none" };
      return {
        status: "warning",
        detail: `${count} ${count === 1 ? "copy" : "copies"} left unfinished, ${sizeText(bytes)}`,
        hint: `sleap-rtc-client storage clean ${name} --older-than 14d`,
        figures: { partial_files: count, partial_bytes: bytes },
      };
    } catch (error) {
      signal.throwIfAborted();
      // That the backend is not there is told elsewhere.
      if (error instanceof PathValidationError) return { detail: "none that can be seen" };
      if (!limit.aborted) throw error;
      return { detail: `not all could be looked at within ${LIMIT_MS / 1000} s` };
    }
  });
}

function leftFound(paths: readonly string[], hint: string): Found {
  const more = paths.length > SHOWN ? ` and ${paths.length - SHOWN} more` : "";
  const detail = `left by programs that were interrupted: ${paths.slice(0, SHOWN).join(", ")}${more}`;
  return { status: "warning", detail, hint, figures: { leftovers: paths.length } };
}

async function pathsIn({ folder, prefixes, olderThanMs }: LeftoverPlace): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      if (!prefixes.some((prefix) => name.startsWith(prefix))) continue;
      const info = await Deno.lstat(join(folder, name)).catch(() => undefined);
      if (info && Date.now() - (info.mtime?.getTime() ?? 0) >= olderThanMs) found.push(join(folder, name));
    }
  } catch (error) {
    // What is not there, or closed to this user, is for other checks.
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied)) {
      throw error;
    }
  }
  return found.toSorted();
}

async function unfinished(basePath: string, signal: AbortSignal): Promise<{ count: number; bytes: number }> {
  const now = Date.now();
  let [count, bytes] = [0, 0];
  for await (const entry of listJobEntries(basePath, now)) {
    signal.throwIfAborted();
    if (entry.kind !== "partial" || entry.held || now - entry.newest < MOMENT_MS) continue;
    count += 1;
    bytes += entry.bytes;
  }
  return { count, bytes };
}
