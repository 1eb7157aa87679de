/** A check of one storage backend: there, room, writable, readable, how quick. */
import type { Check, Finding } from "../config/checkup.ts";
import { sizeText } from "../config/progress.ts";
import { errorText, UserError } from "../config/user_error.ts";
import type { StorageBackend } from "./backend.ts";
import { within } from "./deadline.ts";
import { type Filesystem, FilesystemError } from "./filesystem.ts";
import { mountType } from "./mount_type.ts";
import { withFilesystem } from "./open.ts";
import { spaceNeeded, TYPICAL_PACKAGE } from "./space.ts";
import { measureSpeed, type Speed } from "./speed.ts";

/** A storage that does not say within this, in milliseconds, what is in it does not work. */
const ANSWER_MS = 6_000;
/** Writing and reading get so long, in milliseconds, each. */
const SPEED_MS = 20_000;
/** With less than this, in bytes a second, a copy takes longer than a laptop's network would. */
const SLOW = 10 * 2 ** 20;
/** Local types that a section may name without meaning a mount. */
const LOCAL_SECTION = /^(?:local|disk|ssd|nvme|scratch)$/i;

/** What a program wants of a backend. */
export interface BackendWants {
  /** Who asks: a worker writes results, a client only what it copies in. */
  role: "client" | "worker";
  /** Folder of the user, below the base path, which is written to in place of the base path where it is there. */
  userSubdir?: string | undefined;
  /** Bytes of the package that is to have room; default: of a typical one. */
  packageBytes?: number | undefined;
}

/** Runs pieces of work one after the other: two that are measured at once would slow each other down. */
export type InTurn = <Result>(work: () => Promise<Result>) => Promise<Result>;

/** A check for each backend. */
export function backendChecks(backends: readonly StorageBackend[], wants: BackendWants): Check[] {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn: InTurn = (work) => {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  };
  return backends.map((backend): Check => ({
    what: `storage backend ${backend.name}`,
    limitMs: 2 * ANSWER_MS + 2.5 * SPEED_MS * backends.length,
    lateHint: DEAD_HINT,
    look: (signal) => lookAt(backend, wants, inTurn, signal),
  }));
}

const DEAD_HINT =
  "the mount or its server does not answer; mount it again (umount -l first), or ask who runs it";

async function* lookAt(
  backend: StorageBackend,
  wants: BackendWants,
  inTurn: InTurn,
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  const what = `storage backend ${backend.name}`;
  const there = await lookThere(what, backend, signal);
  yield there;
  if (there.status === "failure") return;
  yield* lookAtMount(what, backend);
  const space = await lookAtSpace(what, backend, wants, signal);
  if (space) yield space;
  yield* await inTurn(() => withFilesystem(backend, (storage) => tryIt(what, storage, wants, signal)));
}

async function lookThere(what: string, backend: StorageBackend, signal: AbortSignal): Promise<Finding> {
  const { basePath } = backend;
  const limit = AbortSignal.timeout(ANSWER_MS);
  const began = performance.now();
  try {
    const { free, isListed } = await withFilesystem(backend, async (storage) => {
      const inTime = AbortSignal.any([signal, limit]);
      if (!(await storage.stat("", inTime)).isFolder) {
        throw new UserError("it is not a folder", { code: "FILE_KIND" });
      }
      return { isListed: await canList(storage, inTime), free: await storage.freeSpace(inTime) };
    });
    const latency_ms = Math.round(performance.now() - began);
    const room = free === undefined ? "no bound is known" : `${sizeText(free)} free`;
    const figures = { latency_ms, free_bytes: free ?? null };
    const detail = `${basePath} is there, ${room}`;
    if (isListed) return { what, status: "ok", detail, figures };
    const hint =
      "folders below it may be open to this user all the same: paths that are given in full work then";
    return { what, status: "warning", detail: `${detail}, but this user may not list it`, hint, figures };
  } catch (error) {
    signal.throwIfAborted();
    return {
      what,
      status: "failure",
      ...(backend.isObjectStore ? noStore : noFolder)(basePath, error, limit),
    };
  }
}

/** Many shares let a user into folders below, and keep the list of all users to themselves. */
async function canList(storage: Filesystem, signal: AbortSignal): Promise<boolean> {
  try {
    for await (const _ of storage.list("", signal)) break;
    return true;
  } catch (error) {
    if (error instanceof FilesystemError && error.fault === "denied") return false;
    throw error;
  }
}

type Reason = Pick<Finding, "detail" | "hint">;

function noFolder(basePath: string, error: unknown, limit: AbortSignal): Reason {
  if (limit.aborted) {
    return { detail: `${basePath} does not answer within ${ANSWER_MS / 1000} s`, hint: DEAD_HINT };
  }
  const fault = error instanceof FilesystemError ? error.fault : undefined;
  if (fault === "gone" || fault === "missing") {
    const hint = "is it mounted? see `config show` for where the path comes from";
    return { detail: `${basePath} is not there`, hint };
  }
  const hint = "this user needs the right to enter it";
  return { detail: `${basePath} cannot be read: ${reasonOf(error)}`, hint };
}

function noStore(basePath: string, error: unknown, limit: AbortSignal): Reason {
  const isGone = error instanceof FilesystemError && error.fault === "gone";
  if (limit.aborted || isGone) {
    const hint = "can this machine reach it, and is AWS_ENDPOINT_URL_S3 right, if it is not Amazon's?";
    return { detail: `${basePath} does not answer: ${reasonOf(error)}`, hint };
  }
  const hint = error instanceof UserError && error.hint !== undefined
    ? error.hint
    : "is the bucket there, and do region and key (AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or " +
      "~/.aws) open it?";
  return { detail: `${basePath} cannot be used: ${reasonOf(error)}`, hint };
}

/** Without the path: it is the root, or a temporary file. */
function reasonOf(error: unknown): string {
  return errorText(error).replace(/^"[^"]*": /, "");
}

/** A base path that should be a mount and lies on this machine's disk is what is left when the mount is not there. */
async function* lookAtMount(
  what: string,
  { basePath, type, isObjectStore }: StorageBackend,
): AsyncGenerator<Finding> {
  if (isObjectStore) return;
  const found = await within({ path: "", ms: ANSWER_MS }, () => mountType(basePath)).catch(() => undefined);
  if (!found) return;
  if (!found.isLocal || LOCAL_SECTION.test(type)) {
    return yield {
      what,
      status: "ok",
      detail: `a folder on ${found.name}`,
      figures: { filesystem: found.name },
    };
  }
  yield {
    what,
    status: "warning",
    detail: `configured as ${type}, but ${basePath} is on this machine's own disk (${found.name})`,
    hint: `is it mounted? If it is meant, set type = "local" under [storage]`,
    figures: { filesystem: found.name },
  };
}

async function lookAtSpace(
  what: string,
  backend: StorageBackend,
  { packageBytes }: BackendWants,
  signal: AbortSignal,
): Promise<Finding | undefined> {
  const free = await withFilesystem(backend, (storage) => storage.freeSpace(signal));
  const needed = spaceNeeded(packageBytes ?? TYPICAL_PACKAGE);
  if (free === undefined || free >= needed) return undefined;
  const whose = packageBytes === undefined
    ? `a typical package of ${sizeText(TYPICAL_PACKAGE)}`
    : "the package";
  return {
    what,
    status: "warning",
    detail: `${sizeText(free)} free, but ${whose} needs ${sizeText(needed)} to be copied there`,
    hint: "remove old job folders: sleap-rtc-client storage clean --older-than 14d",
    figures: { free_bytes: free, needed_bytes: Math.round(needed) },
  };
}

async function tryIt(
  what: string,
  storage: Filesystem,
  wants: BackendWants,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { userSubdir = "" } = wants;
  const findings: Finding[] = [];
  try {
    const hasOwn = userSubdir !== "" && await storage.exists(userSubdir, signal);
    const speed = await measureSpeed(storage, hasOwn ? userSubdir : "", SPEED_MS, signal);
    findings.push(speedFinding(what, speed));
    if (speed.left !== undefined) {
      const detail = `the temporary file ${speed.left} could not be removed`;
      findings.push({ what, status: "warning", detail, hint: "remove it" });
    }
  } catch (error) {
    signal.throwIfAborted();
    findings.push(writeFailure(what, error, wants));
  }
  return findings;
}

function speedFinding(what: string, { bytes, writeMs, readMs }: Speed): Finding {
  const rate = (ms: number): number => Math.round(bytes / 2 ** 20 / (ms / 1000));
  const told = (ms: number | undefined, verb: string): string =>
    ms === undefined ? `not ${verb} within ${SPEED_MS / 1000} s` : `${verb} at ${rate(ms)} MiB/s`;
  const isSlow = [writeMs, readMs].some((ms) => ms === undefined || bytes / (ms / 1000) < SLOW);
  return {
    what,
    status: isSlow ? "warning" : "ok",
    detail: `${sizeText(bytes)} ${told(writeMs, "written and flushed")}, ${
      writeMs === undefined ? "not read" : told(readMs, "read back")
    }${readMs === undefined ? "" : " (perhaps from the cache)"}`,
    ...(isSlow
      ? { hint: "a package of some GB takes long over this storage; is the network to it slow?" }
      : {}),
    figures: { bytes, write_ms: writeMs ?? null, read_ms: readMs ?? null },
  };
}

/** What a storage that cannot be written to means depends on who wants to. */
function writeFailure(what: string, error: unknown, { role, userSubdir }: BackendWants): Finding {
  const fault = error instanceof FilesystemError ? error.fault : undefined;
  const isOnlyBase = fault === "denied" && !userSubdir;
  const isUseful = role === "client" && (fault === "denied" || fault === "read-only");
  const hints = {
    denied: role === "worker"
      ? "results are written where packages lie: this user needs the right to write there"
      : "packages that lie there train in place; to copy others there, set user_subdir under [client] to a " +
        "folder that you may write to",
    "read-only": role === "worker"
      ? "results are written where packages lie: mount it read-write"
      : "packages that lie there train in place; others go over the data channel",
    full: "remove old job folders: sleap-rtc-client storage clean --older-than 14d",
    gone: DEAD_HINT,
  } as const;
  const hint = fault !== undefined && fault in hints
    ? hints[fault as keyof typeof hints]
    : error instanceof UserError
    ? error.hint
    : undefined;
  return {
    what,
    status: isOnlyBase || isUseful ? "warning" : "failure",
    detail: `it cannot be written to: ${reasonOf(error)}`,
    ...(hint === undefined ? {} : { hint }),
  };
}
