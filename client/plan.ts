/** Which way a package takes, and why: one plan, one order of preference, decided here only. */
import type { Transfer } from "../config/schema.ts";
import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";
import type { StorageBackend, StorageConfig } from "../storage/backend.ts";
import { StorageBackendNotFound } from "../storage/backend.ts";
import { checkRelativePath } from "../storage/containment.ts";
import { StorageResolver } from "../storage/resolver.ts";

/** One way to try; `why` completes the sentence "method: copy (…)". */
export type Attempt =
  | { method: "in place"; backend: string; why: string }
  /** `folder`: absolute, where `jobs/{job id}` is made. */
  | { method: "copy"; backend: string; folder: string; why: string }
  /** `prefix`: where in the object store `jobs/{job id}` is made; empty for its root. */
  | { method: "copy"; store: StorageBackend; prefix: string; why: string }
  /** Both sides know one shared root, and no names (PROTOCOL.md section 11.2). */
  | { method: "copy"; legacyRoot: string; why: string }
  | { method: "rtc"; why: string };

/** What a plan depends on. */
export interface PlanInput {
  /** Absolute. */
  packagePath: string;
  /** Whether the package is a folder: it is used where it lies, or sent, but not copied. */
  isFolder: boolean;
  storage: StorageConfig;
  legacyRoot: string | undefined;
  /** The worker's backends; undefined when they are not known, as with a session string. */
  workerBackends: readonly string[] | undefined;
  /** The backend to use, from the command line or the configuration. */
  preferredBackend: string | undefined;
  /** Folder below the backend in which copies are made; undefined for the one that the package lies in. */
  userSubdir: string | undefined;
  /** The way that is asked for, and no other. Default: auto. */
  transfer?: Transfer;
}

/** The way that is asked for is not possible with this worker. */
export class TransferImpossibleError extends UserError {
  static override readonly code: ErrorCode = "TRANSFER_IMPOSSIBLE";
}

/** What {@link Transfer}s are called where methods are shown. */
const METHODS = { "in-place": "in place", copy: "copy", rtc: "rtc" } as const;

/**
 * The ways to try, best first; the last is the data channel. Throws {@link StorageBackendNotFound} for a preferred
 * backend that this machine does not have, `PathValidationError` for a user subdirectory that leads out,
 * {@link TransferImpossibleError} when the way that is asked for is none.
 */
export async function planSubmission(input: PlanInput): Promise<Attempt[]> {
  checkWishes(input);
  const { transfer = "auto" } = input;
  const attempts = await possibleAttempts(input);
  if (transfer === "auto") return attempts;
  const method = METHODS[transfer];
  const wanted = attempts.filter((each) => each.method === method);
  // What would speak for the data channel need not hold where it is asked for.
  if (transfer === "rtc") return wanted.map((each) => ({ ...each, why: "asked for" }));
  if (wanted.length > 0) return wanted.map((each) => ({ ...each, why: `asked for; ${each.why}` }));
  const here = input.storage.listBackends().join(", ") || "none";
  const theirs = input.workerBackends?.join(", ") || "none";
  throw new TransferImpossibleError(
    method === "copy" && input.isFolder
      ? "a copy is not possible: the package is a folder"
      : method === "copy"
      ? `a copy is not possible: no common storage backend; here ${here}, on the worker ${theirs}`
      : `in place is not possible: the package lies in no storage backend of the worker, which has ${theirs}`,
    { hint: "leave out --transfer, or choose another worker" },
  );
}

async function possibleAttempts(input: PlanInput): Promise<Attempt[]> {
  const { storage, legacyRoot } = input;
  const attempts: Attempt[] = [];
  const located = await holdingBackend(input);
  if (located !== undefined) {
    const knows = input.workerBackends === undefined
      ? "the worker is asked for it"
      : "the worker has it as well";
    attempts.push({
      method: "in place",
      backend: located,
      why: `the package lies in backend "${located}", ${knows}`,
    });
  }
  const except = input.transfer === "copy" ? undefined : located;
  const copyInto = input.isFolder ? undefined : await backendForCopy(input, except);
  if (copyInto !== undefined) {
    const backend = storage.getBackend(copyInto);
    const prefix = checkRelativePath(input.userSubdir ?? await ownerOf(storage, input.packagePath) ?? "")
      .join("/");
    const why = `backend "${copyInto}" is shared${
      copyInto === located ? "" : ", the package lies elsewhere"
    }`;
    if (backend.isObjectStore) attempts.push({ method: "copy", store: backend, prefix, why });
    else attempts.push({ method: "copy", backend: copyInto, folder: backend.resolvePath(prefix, ""), why });
  }
  if (legacyRoot !== undefined && !input.isFolder) {
    attempts.push({ method: "copy", legacyRoot, why: "a shared storage root is configured" });
  }
  attempts.push({ method: "rtc", why: whyRtc(input) });
  return attempts;
}

/**
 * Whether what a person asks for can be had on this machine; touches no storage, so that it can be told before anything
 * is connected. Throws as {@link planSubmission}.
 */
export function checkWishes(
  { storage, preferredBackend, userSubdir }: Pick<PlanInput, "storage" | "preferredBackend" | "userSubdir">,
): void {
  if (preferredBackend !== undefined && !storage.hasBackend(preferredBackend)) {
    throw new StorageBackendNotFound(preferredBackend, storage.listBackends());
  }
  if (userSubdir !== undefined) checkRelativePath(userSubdir);
}

/** Backends in the order of preference: the preferred one first, then by name. */
export function backendOrder(storage: StorageConfig, preferred: string | undefined): string[] {
  const names = storage.listBackends();
  return preferred === undefined ? names : [preferred, ...names.filter((name) => name !== preferred)];
}

/** The user's folder that a path lies in, by the first backend that holds it; undefined when there is none. */
export async function ownerOf(storage: StorageConfig, path: string): Promise<string | undefined> {
  const address = await new StorageResolver(storage).locate(path).catch(() => undefined);
  return address?.userSubdir || undefined;
}

/** Whether a worker has a backend, as far as is known. */
function mayHave(has: readonly string[] | undefined, name: string): boolean {
  return has === undefined || has.includes(name);
}

async function holdingBackend({ storage, preferredBackend, workerBackends, packagePath }: PlanInput): Promise<
  string | undefined
> {
  for (const name of backendOrder(storage, preferredBackend)) {
    if (mayHave(workerBackends, name) && await storage.getBackend(name).validatePath(packagePath)) {
      return name;
    }
  }
  return undefined;
}

async function backendForCopy(
  { storage, preferredBackend, workerBackends }: PlanInput,
  except: string | undefined,
): Promise<string | undefined> {
  for (const name of backendOrder(storage, preferredBackend)) {
    if (name !== except && mayHave(workerBackends, name) && await storage.getBackend(name).isThere()) {
      return name;
    }
  }
  return undefined;
}

/** Why nothing better is possible; not shown when something was tried before. */
function whyRtc({ storage, workerBackends, isFolder }: PlanInput): string {
  const names = storage.listBackends();
  if (isFolder && names.some((name) => mayHave(workerBackends, name))) {
    return "the package is a folder, which lies on no common storage backend";
  }
  if (names.length === 0) return "no storage backend is configured here";
  const theirs = workerBackends?.join(", ") || "none";
  return `no common storage backend: here ${names.join(", ")}, on the worker ${theirs}`;
}
