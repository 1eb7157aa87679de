/** Carries out one attempt of a plan: asks the worker, moves the package if need be, and starts the job. */
import { basename, dirname, join } from "node:path";
import { errorCode, errorText } from "../config/user_error.ts";
import type { PackageType } from "../protocol/message.ts";
import { SAME_STORAGE } from "../protocol/storage_proof.ts";
import { ConnectionError } from "../rtc/transfer_error.ts";
import {
  componentsBelow,
  type StorageAddress,
  type StorageBackend,
  StorageConfig,
} from "../storage/backend.ts";
import { copyFile, requireSpace } from "../storage/copy.ts";
import { checkRelativePath } from "../storage/containment.ts";
import { type HeldFolder, holdJobFolder } from "../storage/job_marker.ts";
import { uploadFile, withStore } from "../storage/object_store.ts";
import { issueChallenge } from "../storage/proof.ts";
import { StorageResolver } from "../storage/resolver.ts";
import type { JobPlaces } from "./bring_home.ts";
import { RefusedError, WorkerLostError } from "./job_error.ts";
import type { Attempt } from "./plan.ts";
import { type PackageToSend, sendPackage } from "./send_package.ts";
import { answer, ask, awaitAnswer, say, type Talk } from "./talk.ts";

/** Time limits for a worker's answers, in milliseconds (PROTOCOL.md section 14). */
const BACKEND_LIMIT_MS = 5_000;
const PATH_LIMIT_MS = 10_000;

/** A job on its way. */
export interface Submission extends PackageToSend {
  /** The package is a folder, and this its script; undefined for a ZIP. */
  script: string | undefined;
  kind: PackageType;
  /** Absolute folder that results are wanted in. */
  outputDir: string;
  resolver: StorageResolver;
  /** Whether the worker is this program, not the Python one. */
  isOurs: boolean;
  /** What the worker can do beyond PROTOCOL.md. */
  features: readonly string[];
}

/** A started job. */
export interface Started extends JobPlaces {
  /** Ends the mark that keeps the folder from being cleaned away. */
  release: () => Promise<void>;
}

/** A new job id, as the Python client makes them. */
export function newJobId(): string {
  return `job_${crypto.randomUUID().slice(0, 8)}`;
}

/**
 * Submits a job one way. Throws {@link RefusedError} when the next method should be tried (everything made for this
 * one is gone then), {@link WorkerLostError}, the abort reason.
 */
export async function submit(submission: Submission, attempt: Attempt): Promise<Started> {
  const made: Made = { folders: [], holds: [] };
  try {
    const started = await submitBy(submission, attempt, made);
    return { ...started, release: () => releaseAll(made) };
  } catch (error) {
    await releaseAll(made);
    for (const folder of made.folders) await Deno.remove(folder, { recursive: true }).catch(() => {});
    submission.signal.throwIfAborted();
    if (error instanceof RefusedError || error instanceof WorkerLostError) throw error;
    if (error instanceof ConnectionError) throw new WorkerLostError(false);
    if (attempt.method === "rtc") throw error;
    throw new RefusedError(errorText(error), { code: errorCode(error), cause: error });
  }
}

/** What an attempt has made so far: it goes when the attempt fails. */
interface Made {
  /** Absolute. */
  folders: string[];
  holds: HeldFolder[];
}

async function releaseAll({ holds }: Made): Promise<void> {
  for (const hold of holds.splice(0)) await hold.release();
}

/** Makes a job's folder below a root, and keeps it from being cleaned away while the job runs. */
async function makeJobFolder(root: string, jobId: string, made: Made): Promise<string> {
  const folder = join(root, "jobs", jobId);
  await Deno.mkdir(folder, { recursive: true });
  made.folders.push(folder);
  made.holds.push(await holdJobFolder(folder));
  return folder;
}

async function submitBy(submission: Submission, attempt: Attempt, made: Made): Promise<JobPlaces> {
  if ("store" in attempt) return await submitUpload(submission, attempt.store, attempt.prefix);
  if (attempt.method === "rtc") return await submitRtc(submission);
  if (attempt.method === "in place") return await submitInPlace(submission, attempt.backend, made);
  return await submitCopy(submission, attempt, made);
}

async function submitInPlace(submission: Submission, backend: string, made: Made): Promise<JobPlaces> {
  const { resolver, outputDir, jobId, script } = submission;
  // A folder is named by its script, which can be proven to be the same.
  const named = script === undefined ? submission.packagePath : join(submission.packagePath, script);
  const packagePath = await Deno.realPath(named);
  const input = await resolver.toRelative(packagePath, backend);
  const userFolder = await resolver.resolve(backend, input.userSubdir, "");
  const wanted = componentsBelow(await Deno.realPath(outputDir), userFolder);
  if (wanted) {
    await submitV2(submission, { ...input, output: wanted.join("/") || ".", path: packagePath });
    return { resultFolders: resultFolders(submission, outputDir, packagePath), jobFolder: undefined };
  }
  // Results are wanted where the worker cannot see: they go to a folder of this job first.
  const jobFolder = await makeJobFolder(userFolder, jobId, made);
  await submitV2(submission, { ...input, output: `jobs/${jobId}`, path: packagePath });
  return { resultFolders: resultFolders(submission, jobFolder, packagePath), jobFolder };
}

/** Where results are: our worker writes to the output folder, a Python one beside the package (PROTOCOL.md 13.3). */
function resultFolders({ isOurs, script }: Submission, output: string, packagePath: string): string[] {
  if (isOurs) return [join(output, "models")];
  const stem = script === undefined ? basename(packagePath).replace(/\.zip$/i, "") : "";
  return [join(dirname(packagePath), stem, "models"), join(output, "models")];
}

async function submitCopy(
  submission: Submission,
  attempt: Exclude<Extract<Attempt, { method: "copy" }>, { store: StorageBackend }>,
  made: Made,
): Promise<JobPlaces> {
  const { packagePath, jobId, screen, signal } = submission;
  const root = "folder" in attempt ? attempt.folder : attempt.legacyRoot;
  const { size } = await Deno.stat(packagePath);
  await Deno.mkdir(join(root, "jobs"), { recursive: true });
  await requireSpace(root, size);
  const jobFolder = await makeJobFolder(root, jobId, made);
  const copied = join(jobFolder, basename(packagePath));
  const onProgress = (done: number, total: number): void =>
    screen.show({ event: "progress", what: "copying to shared storage", done, total });
  const onFound = (bytes: number): void =>
    screen.show({ event: "info", text: `${bytes} bytes were copied before; the copy goes on from there` });
  // The folder is new each time: what an interrupted copy leaves is found again beside it.
  const partialFolder = join(root, "jobs");
  await copyFile(packagePath, copied, { signal, onProgress, onFound, resume: true, partialFolder });
  if ("folder" in attempt) {
    const input = await submission.resolver.toRelative(copied, attempt.backend);
    const output = input.relativePath.split("/").slice(0, -1).join("/") || ".";
    await submitV2(submission, { ...input, output, path: copied });
  } else {
    await submitLegacy(submission, attempt.legacyRoot, copied);
  }
  return { resultFolders: resultFolders(submission, jobFolder, copied), jobFolder };
}

/** The package goes to an object store, its key to the worker. */
async function submitUpload(
  submission: Submission,
  backend: StorageBackend,
  prefix: string,
): Promise<JobPlaces> {
  const { packagePath, jobId, screen, signal } = submission;
  const [userSubdir = "", ...rest] = [...checkRelativePath(prefix), "jobs", jobId];
  const path = [userSubdir, ...rest].join("/");
  const onProgress = (done: number, total: number): void =>
    screen.show({ event: "progress", what: "uploading to shared storage", done, total });
  const name = basename(packagePath);
  try {
    await withStore(
      backend,
      (store) => uploadFile(store, packagePath, `${path}/${name}`, { signal, onProgress }),
    );
    const relativePath = [...rest, name].join("/");
    const address = { backend: backend.name, userSubdir, relativePath, output: rest.join("/") };
    await submitV2(submission, { ...address, path: undefined });
  } catch (error) {
    await withStore(backend, (store) => store.remove(path)).catch(() => {});
    throw error;
  }
  return { resultFolders: [], jobFolder: undefined, remote: { store: backend, path } };
}

/** PROTOCOL.md section 11.1. */
async function submitV2(
  submission: Submission,
  address: StorageAddress & { output: string; path: string | undefined },
): Promise<void> {
  const { backend, userSubdir, relativePath, output, path } = address;
  for (const part of [userSubdir, relativePath, output]) {
    if (part.includes("::")) {
      throw new RefusedError(`the path "${part}" has "::", which the wire format cannot carry`);
    }
  }
  await ask(submission, { type: "STORAGE_BACKEND", name: backend }, BACKEND_LIMIT_MS);
  await say(submission, { type: "USER_SUBDIR", subdir: userSubdir });
  await announceJob(submission);
  await ask(submission, { type: "SHARED_INPUT_PATH", path: relativePath }, PATH_LIMIT_MS);
  // What was just uploaded under a new key needs no proof.
  const provable = path !== undefined && submission.features.includes(SAME_STORAGE);
  if (provable) await proveSameStorage(submission, path);
  await ask(submission, { type: "SHARED_OUTPUT_PATH", path: output }, PATH_LIMIT_MS);
  await say(submission, { type: "SHARED_STORAGE_JOB", command: "start" });
}

/** Throws {@link RefusedError} unless the worker sees the very file that lies at `path` here. */
export async function proveSameStorage(
  talk: Talk,
  path: string,
): Promise<void> {
  const { challenge, nonce, withdraw } = await issueChallenge(path);
  try {
    await say(talk, { type: "STORAGE_PROOF", json: JSON.stringify(challenge) });
    await awaitAnswer(talk, "STORAGE_PROOF", PATH_LIMIT_MS, (incoming) => {
      if (incoming.type === "STORAGE_DIFFERS") {
        throw new RefusedError(`the worker sees another file under this path: ${incoming.text}`, {
          code: "OTHER_STORAGE",
        });
      }
      if (incoming.type !== "STORAGE_PROVEN") return false;
      if (nonce !== null && incoming.nonce !== nonce) {
        throw new RefusedError("the worker read another nonce than was written: its storage is another", {
          code: "OTHER_STORAGE",
        });
      }
      return true;
    });
  } finally {
    await withdraw();
  }
}

/** PROTOCOL.md section 11.2: everything at once, one decisive answer. */
async function submitLegacy(submission: Submission, root: string, copied: string): Promise<void> {
  const legacy = "legacy";
  const config = new StorageConfig([{ name: legacy, basePath: root }]);
  const { userSubdir, relativePath } = await new StorageResolver(config).toRelative(copied, legacy);
  const path = `${userSubdir}/${relativePath}`;
  await announceJob(submission);
  await say(submission, { type: "SHARED_INPUT_PATH", path });
  await say(submission, { type: "SHARED_OUTPUT_PATH", path: path.slice(0, path.lastIndexOf("/")) });
  await say(submission, { type: "SHARED_STORAGE_JOB", command: "start" });
  await answer(submission, "SHARED_INPUT_PATH", PATH_LIMIT_MS);
}

/** Over the channel; the job begins when the package is there. */
async function submitRtc(submission: Submission): Promise<JobPlaces> {
  const { kind, jobId } = submission;
  await say(submission, { type: "PACKAGE_TYPE", kind });
  await say(submission, { type: "OUTPUT_DIR", dir: "models" });
  await say(submission, { type: "JOB_ID", id: jobId });
  await sendPackage(submission);
  return { resultFolders: [], jobFolder: undefined };
}

/** A worker must know the file before it starts, or a Python one fails (PROTOCOL.md section 12.5). */
async function announceJob(submission: Submission): Promise<void> {
  const { size } = await Deno.stat(submission.packagePath);
  await say(submission, { type: "JOB_ID", id: submission.jobId });
  await say(submission, { type: "FILE_META", name: basename(submission.packagePath), size, hint: "False" });
}
