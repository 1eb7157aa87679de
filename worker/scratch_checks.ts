/** Checks of the folders that a worker works in, and of what earlier workers left. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Check, find, type Finding, type Found } from "../config/checkup.ts";
import { sizeText } from "../config/progress.ts";
import { errorText } from "../config/user_error.ts";
import { within } from "../storage/deadline.ts";
import { leftoverCheck, type LeftoverPlace } from "../storage/leftover_check.ts";
import { freeSpace, spaceNeeded, TYPICAL_PACKAGE } from "../storage/space.ts";
import { SANDBOX_PREFIX } from "./bubblewrap.ts";
import { SCRATCH_PREFIX } from "./recover.ts";
import { lastingPath, makeScratch } from "./scratch.ts";

/** A disk that does not answer within this, in milliseconds, is dead. */
const LIMIT_MS = 10_000;
/** The trial of the sandbox may take so long, in milliseconds. */
const SANDBOX_MS = 30_000;
/** What was left so long ago, in milliseconds, belongs to no worker that runs: jobs are given three days. */
const LEFT_MS = 3 * 24 * 3_600_000;

/**
 * The checks; `parent` is the configured scratch folder, `packageBytes` what has to have room. `trySandbox` throws where
 * jobs cannot be run in a sandbox in that folder; undefined without one.
 */
export function scratchChecks(
  parent: string | undefined,
  packageBytes = TYPICAL_PACKAGE,
  trySandbox?: (scratch: string) => Promise<void>,
): Check[] {
  return [
    {
      what: "scratch folder",
      limitMs: 4 * LIMIT_MS + SANDBOX_MS,
      lateHint: "its disk or mount does not answer: give --scratch a folder of a local disk",
      look: () => lookAtScratch(parent, packageBytes, trySandbox),
    },
    leftoverCheck(
      "leftovers of workers",
      leftoverPlaces(parent),
      "unless a worker of this machine still runs, remove them",
    ),
  ];
}

async function* lookAtScratch(
  parent: string | undefined,
  packageBytes: number,
  trySandbox: ((scratch: string) => Promise<void>) | undefined,
): AsyncGenerator<Finding> {
  const where = parent ?? tmpdir();
  const limit = <Result>(work: () => Promise<Result>): Promise<Result> =>
    within({ path: where, ms: LIMIT_MS }, work);
  const isNew = parent !== undefined && !await limit(() => isThere(parent));
  const scratch = await limit(() => makeScratch(parent));
  try {
    yield await find("scratch folder", () => limit(() => judgeScratch(scratch, where, packageBytes)));
    const lasting = ["jobs", "incoming"].map((name) => limit(() => judgeLasting(name, parent)));
    const bad = (await Promise.all(lasting)).filter((found) => found !== undefined);
    const hint = "give --scratch a folder of this user";
    yield bad.length > 0
      ? { what: "jobs folder", status: "warning", detail: bad.join("; "), hint }
      : { what: "jobs folder", status: "ok", detail: lastingPath("jobs", parent, where) };
    if (!trySandbox) return;
    yield await find("job sandbox", async () => {
      await within({ path: where, ms: SANDBOX_MS }, () => trySandbox(scratch));
      return { detail: "bubblewrap runs jobs here" };
    });
  } finally {
    await limit(() => Deno.remove(scratch, { recursive: true })).catch(() => {});
    // What was made for the check goes with it.
    if (isNew) await Deno.remove(where).catch(() => {});
  }
}

async function judgeScratch(scratch: string, where: string, packageBytes: number): Promise<Found> {
  await Deno.writeFile(join(scratch, "try"), new Uint8Array(65_536));
  const free = await freeSpace(scratch);
  // The package, and what is unpacked of it.
  const needed = spaceNeeded(2 * packageBytes);
  const figures = { free_bytes: free, needed_bytes: Math.round(needed) };
  const detail = `${where}: can be written to, ${sizeText(free)} free`;
  if (free >= needed) return { detail, figures };
  return {
    status: "warning",
    detail: `${detail}, but a package of ${sizeText(packageBytes)} and its content need ${sizeText(needed)}`,
    hint: "free some, or give --scratch, or scratch under [worker], a larger disk",
    figures,
  };
}

/** What is wrong with a folder that is kept from worker to worker; undefined when nothing is. */
async function judgeLasting(name: string, parent: string | undefined): Promise<string | undefined> {
  const path = lastingPath(name, parent, tmpdir());
  try {
    const info = await Deno.lstat(path);
    const isOwn = info.isDirectory && ((info.mode ?? 0) & 0o077) === 0 &&
      (info.uid ?? 0) === (Deno.uid() ?? 0);
    return isOwn ? undefined : `${path} is not this user's alone: jobs are lost when the worker ends`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    return `${path} cannot be looked at: ${errorText(error)}`;
  }
}

function leftoverPlaces(parent: string | undefined): LeftoverPlace[] {
  const [temporary, old] = [tmpdir(), { olderThanMs: LEFT_MS }];
  const places = [{ folder: temporary, prefixes: [SCRATCH_PREFIX, SANDBOX_PREFIX], ...old }];
  return parent === undefined ? places : [...places, { folder: parent, prefixes: [SCRATCH_PREFIX], ...old }];
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}
