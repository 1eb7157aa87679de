/** Answers what a client asks before it sends a package: about files on this worker's storage, and about room. */
import { getLogger } from "@logtape/logtape";
import { UserError } from "../config/user_error.ts";
import type { Message } from "../protocol/message.ts";
import { parseJson } from "../protocol/parse_json.ts";
import { type PreflightReport, requestSchema } from "../protocol/preflight.ts";
import { componentsBelow, type StorageBackend, type StorageConfig } from "../storage/backend.ts";
import { PathValidationError } from "../storage/containment.ts";
import { unlessAborted } from "../storage/deadline.ts";
import { StorageResolver } from "../storage/resolver.ts";
import { freeSpace } from "../storage/space.ts";

const logger = getLogger(["sleap-rtc", "worker", "preflight"]);

/** A mount that does not answer holds nothing up for longer than this, in milliseconds: a client waits for 10 s. */
const ANSWER_MS = 5_000;

/**
 * `PREFLIGHT`: answered by `PREFLIGHT_REPORT`. Nothing is said of a path that lies on no storage backend, or that leads
 * out of the one it lies on. Throws `UserError` for a request that breaks the rules.
 */
export async function preflightReport(
  json: string,
  backends: StorageConfig,
  scratch: string,
): Promise<Message> {
  const request = parseJson(requestSchema, json);
  if (!request) throw new UserError("PREFLIGHT breaks the rules", { code: "INVALID_MESSAGE" });
  const late = AbortSignal.timeout(ANSWER_MS);
  const unless = <T>(looking: Promise<T>): Promise<T | null> =>
    unlessAborted(looking, late).catch(() => null);
  const [files, free] = await Promise.all([
    Promise.all(request.files.map((path) => unless(isThere(backends, path)))),
    unless(freeSpace(scratch)),
  ]);
  const report: PreflightReport = { files, free };
  logger.info("a client asks about {count} files that its package names; {there} are here", {
    count: files.length,
    there: files.filter((found) => found === true).length,
  });
  return { type: "PREFLIGHT_REPORT", json: JSON.stringify(report) };
}

/** Whether a path is there; null when it lies on none of the backends. */
async function isThere(backends: StorageConfig, path: string): Promise<boolean | null> {
  const resolver = new StorageResolver(backends);
  let answer: boolean | null = null;
  for (const name of backends.listBackends()) {
    const below = await belowBackend(backends.getBackend(name), path);
    const [userSubdir, ...rest] = below ?? [];
    if (userSubdir === undefined) continue;
    try {
      await resolver.resolve(name, userSubdir, rest.join("/"));
      return true;
    } catch (error) {
      if (error instanceof PathValidationError && error.refusal === "missing") answer = false;
    }
  }
  return answer;
}

/** An absolute path's components below a backend, by the spelling of its base path or by where that leads. */
async function belowBackend(
  { basePath, isObjectStore }: StorageBackend,
  path: string,
): Promise<string[] | undefined> {
  if (isObjectStore) return undefined;
  const real = await Deno.realPath(basePath).catch(() => undefined);
  if (real === undefined) return undefined;
  return componentsBelow(path, basePath) ?? componentsBelow(path, real);
}
