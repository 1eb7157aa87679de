/** Which storage this worker may touch at all. What it may not is neither touched nor advertised. */
import { getLogger } from "@logtape/logtape";
import { resolve } from "node:path";
import { isS3Path } from "../config/schema.ts";
import { isInside } from "../storage/containment.ts";
import type { EngineSettings } from "./engine_messages.ts";
import { holds, truePaths } from "./permissions.ts";

const logger = getLogger(["sleap-rtc", "worker"]);

/** Folders outside of which no storage is read or written, whatever the configuration says; undefined for no limit. */
export interface FolderLimits {
  allowRead: readonly string[] | undefined;
  allowWrite: readonly string[] | undefined;
}

/** Paths of an option as Deno takes them: with commas between, a comma in a path doubled. */
export function splitPaths(text: string, before: readonly string[] = []): string[] {
  const paths = text.split(/(?<!,),(?!,)/).map((path) => path.replaceAll(",,", ","));
  return [...before, ...paths.filter((path) => path !== "")];
}

/**
 * The settings without the storage that this worker may not both read and write, by its own options or by the
 * permissions that its process has: results are written beside what was read. The log says what would allow it.
 */
export async function withinLimits<Settings extends Pick<EngineSettings, "storage" | "legacyRoot">>(
  settings: Settings,
  limits: FolderLimits,
): Promise<Settings> {
  const roots = {
    read: await limitRoots(limits.allowRead),
    write: await limitRoots(limits.allowWrite),
  };
  const missing = async (path: string): Promise<string[]> => {
    if (isS3Path(path)) return [];
    const needs = await truePaths([path]);
    const flags = (["read", "write"] as const).map(async (kind) => {
      const inside = needs.every((each) => roots[kind]?.some((root) => isInside(each, root)) ?? true);
      const held = await Promise.all(needs.map((each) => holds(kind, each)));
      return inside && !held.includes(false) ? [] : [`--allow-${kind}=${needs.join(",")}`];
    });
    return (await Promise.all(flags)).flat();
  };
  const isAllowed = async (what: string, path: string): Promise<boolean> => {
    const flags = await missing(path);
    if (flags.length === 0) return true;
    logger.warn(`${what}: this worker may not use ${path}; left out, ${flags.join(" ")} would allow it`);
    return false;
  };
  const storage = await Array.fromAsync(
    settings.storage,
    async (entry) => await isAllowed(`storage backend ${entry.name}`, entry.basePath) ? [entry] : [],
  );
  const { legacyRoot } = settings;
  const keepsLegacy = legacyRoot !== undefined && await isAllowed("shared storage root", legacyRoot);
  return { ...settings, storage: storage.flat(), legacyRoot: keepsLegacy ? legacyRoot : undefined };
}

async function limitRoots(paths: readonly string[] | undefined): Promise<string[] | undefined> {
  return paths && await truePaths(paths.map((path) => resolve(path)));
}
