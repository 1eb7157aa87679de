/** What would happen to a package on each worker of a room; nothing is done, and no worker is asked. */
import { basename, join } from "node:path";
import type { Transfer } from "../config/schema.ts";
import type { PackageType } from "../protocol/message.ts";
import type { StorageConfig } from "../storage/backend.ts";
import { isWorthKeeping, stablePartial } from "../storage/partial.ts";
import { listFiles } from "../storage/tree.ts";
import { misfit, type Needs, type WorkerInfo } from "./choose_worker.ts";
import { isOutgoing } from "./outgoing_package.ts";
import { type Attempt, backendOrder, planSubmission, TransferImpossibleError } from "./plan.ts";

/** Of a copy into shared storage, and of a data channel that nobody has measured, in bytes a second. */
const COPY_RATE = 100e6;
const RTC_RATE = 12.5e6;

/**
 * What becomes of a file: the worker sees it where it lies; part of it was copied before; it is copied to shared
 * storage, or sent over the data channel; the worker will not find it.
 */
export type Fate = "shared" | "cached" | "copy" | "send" | "missing";

/** A file of a package, or one that it names. */
export interface PackageFile {
  name: string;
  /** Absolute; what lies elsewhere is not part of the package, and stays where it is. */
  path: string;
  /** Undefined when it is not there. */
  bytes: number | undefined;
  /** Whether the package brings it, or only names it. */
  isOutside: boolean;
}

/** What is planned. */
export interface Subject {
  kind: PackageType;
  /** Absolute path of the package; of bare labels, of the folder that holds them. */
  packagePath: string;
  isFolder: boolean;
  files: readonly PackageFile[];
  storage: StorageConfig;
  legacyRoot: string | undefined;
  preferredBackend: string | undefined;
  userSubdir: string | undefined;
  transfer: Transfer;
  needs: Needs;
}

/** What would become of one file. */
export interface FilePlan {
  file: string;
  fate: Fate;
  /** Size. */
  bytes: number | null;
  /** Bytes of it that would travel. */
  moves: number;
  why: string;
}

/** What would happen with one worker. */
export interface WorkerPlan {
  worker: string;
  status: string;
  /** Whether it could take the job, now or when it is free. */
  suitable: boolean;
  /** Null when it is not suitable. */
  method: Attempt["method"] | null;
  /** Why this method, or why the worker is not suitable. */
  why: string;
  /** What is tried after it, in this order. */
  then: Attempt["method"][];
  files: FilePlan[];
  /** Bytes that would travel. */
  bytes: number;
  /** Expected for that, without a wait for the worker; null when it is not suitable. */
  seconds: number | null;
}

/** The files of a package. Throws `UserError` for links that cannot be followed, Deno's file errors. */
export async function packageFiles(path: string, isFolder: boolean): Promise<PackageFile[]> {
  if (!isFolder) {
    const { size } = await Deno.stat(path);
    return [{ name: basename(path), path, bytes: size, isOutside: false }];
  }
  const files = (await listFiles(path, "follow")).filter(({ name }) => isOutgoing(name));
  return files.map(({ name, path, size }) => ({ name, path, bytes: size, isOutside: false }));
}

/** Files that a package is made of, or names; one that is not there has no size. */
export function namedFiles(paths: readonly string[], isOutside: boolean): Promise<PackageFile[]> {
  return Promise.all(paths.map(async (path) => {
    const info = await Deno.stat(path).catch(() => undefined);
    return {
      name: isOutside ? path : basename(path),
      path,
      bytes: info?.isFile ? info.size : undefined,
      isOutside,
    };
  }));
}

/** The plan for each worker, the one on which the job would begin soonest first. */
export async function dryRun(subject: Subject, workers: readonly WorkerInfo[]): Promise<WorkerPlan[]> {
  const plans = await Promise.all(workers.map((worker) => planFor(subject, worker)));
  const isFree = ({ status }: WorkerPlan): number => status === "available" ? 0 : 1;
  return plans.toSorted((a, b) =>
    Number(b.suitable) - Number(a.suitable) || isFree(a) - isFree(b) || (a.seconds ?? 0) - (b.seconds ?? 0)
  );
}

async function planFor(subject: Subject, worker: WorkerInfo): Promise<WorkerPlan> {
  const { peerId, status } = worker;
  const unsuitable = (why: string): WorkerPlan => (
    {
      worker: peerId,
      status,
      suitable: false,
      method: null,
      why,
      then: [],
      files: [],
      bytes: 0,
      seconds: null,
    }
  );
  const lacking = misfit(worker, { ...subject.needs, kind: subject.kind });
  if (lacking !== undefined) return unsuitable(lacking);
  try {
    const [first, ...others] = await planSubmission({ ...subject, workerBackends: worker.backends });
    const files = await Promise.all(subject.files.map((file) => fileFate(subject, worker, first!, file)));
    const bytes = files.reduce((sum, { moves }) => sum + moves, 0);
    const then = [...new Set(others.map(({ method }) => method))].filter((method) =>
      method !== first!.method
    );
    const seconds = bytes / (first!.method === "rtc" ? RTC_RATE : COPY_RATE);
    const { method, why } = first!;
    return { worker: peerId, status, suitable: true, method, why, then, files, bytes, seconds };
  } catch (error) {
    if (error instanceof TransferImpossibleError) return unsuitable(error.message);
    throw error;
  }
}

async function fileFate(
  subject: Subject,
  worker: WorkerInfo,
  attempt: Attempt,
  file: PackageFile,
): Promise<FilePlan> {
  const of = (fate: Fate, moves: number, why: string): FilePlan => (
    { file: file.name, fate, bytes: file.bytes ?? null, moves, why }
  );
  if (file.bytes === undefined) {
    const elsewhere = file.isOutside ? "; `check` with a worker asks whether that sees it" : "";
    return of("missing", 0, `it is not there on this machine${elsewhere}`);
  }
  if (file.isOutside) {
    const shared = await sharedBackend(subject, worker, file.path);
    return shared === undefined
      ? of("missing", 0, "it is on no storage of the worker, and not in the package, so it is not sent")
      : of("shared", 0, `it lies in backend "${shared}", which has to be at the same path on the worker`);
  }
  if (attempt.method === "in place") return of("shared", 0, `it lies in backend "${attempt.backend}"`);
  if (attempt.method === "rtc") {
    // What the worker kept of an earlier attempt, it tells only when it is sent something.
    return of(
      "send",
      file.bytes,
      "over the data channel; what the worker has of it already is left out then",
    );
  }
  const copied = await copiedBytes(attempt, file.path);
  return copied === 0
    ? of("copy", file.bytes, attempt.why)
    : of("cached", file.bytes - copied, `${copied} bytes were copied before; the copy goes on from there`);
}

/** The first backend of both that a file lies in. */
async function sharedBackend(
  { storage, preferredBackend }: Subject,
  { backends }: WorkerInfo,
  path: string,
): Promise<string | undefined> {
  for (const name of backendOrder(storage, preferredBackend)) {
    if (backends?.includes(name) && await storage.getBackend(name).validatePath(path)) return name;
  }
  return undefined;
}

/** Bytes that an interrupted copy has left where the next one goes on. */
async function copiedBytes(attempt: Extract<Attempt, { method: "copy" }>, path: string): Promise<number> {
  if ("store" in attempt) return 0;
  const root = "folder" in attempt ? attempt.folder : attempt.legacyRoot;
  const source = await Deno.stat(path);
  const partial = stablePartial(join(root, "jobs"), basename(path), source);
  const found = await Deno.lstat(partial).catch(() => undefined);
  return found?.isFile && isWorthKeeping(found.size) ? Math.min(found.size, source.size) : 0;
}
