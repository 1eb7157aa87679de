/** Carries out one attempt of a plan: asks the worker, moves the package if need be, and starts the job. */
import { basename, dirname, join } from "node:path";
import { sizeText } from "../config/progress.ts";
import { errorText, UserError } from "../config/user_error.ts";
import { formatMessage, isAboutFiles, type Message, type PackageType } from "../protocol/message.ts";
import { SAME_STORAGE } from "../protocol/storage_proof.ts";
import type { Link } from "../rtc/link.ts";
import { sendFile } from "../rtc/send.ts";
import { FilesSender } from "../rtc/send_files.ts";
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
import type { Conversation, Incoming } from "./conversation.ts";
import { JobFailedError, RefusedError, WorkerLostError } from "./job_error.ts";
import type { Attempt } from "./plan.ts";
import { outgoingPackage } from "./outgoing_package.ts";
import type { Screen } from "./screen.ts";

/** Time limits for a worker's answers, in milliseconds (PROTOCOL.md section 14). */
const BACKEND_LIMIT_MS = 5_000;
const PATH_LIMIT_MS = 10_000;

/** A job on its way. */
export interface Submission {
  /** Absolute. */
  packagePath: string;
  /** The package is a folder, and this its script; undefined for a ZIP. */
  script: string | undefined;
  kind: PackageType;
  /** `job_` and 8 hex digits. */
  jobId: string;
  /** Absolute folder that results are wanted in. */
  outputDir: string;
  resolver: StorageResolver;
  conversation: Conversation;
  /** The link that the conversation is over, if it is over one. */
  link: Link | undefined;
  /** Whether the worker is this program, not the Python one. */
  isOurs: boolean;
  /** What the worker can do beyond PROTOCOL.md. */
  features: readonly string[];
  screen: Screen;
  signal: AbortSignal;
}

/** A started job. */
export interface Started {
  /** Absolute folders in which results may appear on shared storage, the likeliest first; none over the channel. */
  resultFolders: readonly string[];
  /** Folder on shared storage that was made for this job and goes when it is over; undefined when none was. */
  jobFolder: string | undefined;
  /** The same in an object store; results are below `models/` in it. */
  remote?: { store: StorageBackend; path: string };
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
    throw new RefusedError(errorText(error), { cause: error });
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

type Begun = Omit<Started, "release">;

async function submitBy(submission: Submission, attempt: Attempt, made: Made): Promise<Begun> {
  if ("store" in attempt) return await submitUpload(submission, attempt.store, attempt.prefix);
  if (attempt.method === "rtc") return await submitRtc(submission);
  if (attempt.method === "in place") return await submitInPlace(submission, attempt.backend, made);
  return await submitCopy(submission, attempt, made);
}

async function submitInPlace(submission: Submission, backend: string, made: Made): Promise<Begun> {
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
function resultFolders({ isOurs }: Submission, output: string, packagePath: string): string[] {
  if (isOurs) return [join(output, "models")];
  const stem = basename(packagePath).replace(/\.zip$/i, "");
  return [join(dirname(packagePath), stem, "models"), join(output, "models")];
}

async function submitCopy(
  submission: Submission,
  attempt: Exclude<Extract<Attempt, { method: "copy" }>, { store: StorageBackend }>,
  made: Made,
): Promise<Begun> {
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
): Promise<Begun> {
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
        throw new RefusedError(`the worker sees another file under this path: ${incoming.text}`);
      }
      if (incoming.type !== "STORAGE_PROVEN") return false;
      if (nonce !== null && incoming.nonce !== nonce) {
        throw new RefusedError("the worker read another nonce than was written: its storage is another");
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

/** Over the channel: file by file to a worker that knows how, else as PROTOCOL.md section 11.3 has it. */
async function submitRtc(submission: Submission): Promise<Begun> {
  const { kind, jobId, link } = submission;
  await say(submission, { type: "PACKAGE_TYPE", kind });
  await say(submission, { type: "OUTPUT_DIR", dir: "models" });
  await say(submission, { type: "JOB_ID", id: jobId });
  if (link) await sendFiles(submission, link);
  else await sendStream(submission);
  return { resultFolders: [], jobFolder: undefined };
}

const SENDING = "sending the package";

async function sendFiles(submission: Submission, link: Link): Promise<void> {
  const { packagePath, screen } = submission;
  const sender = new FilesSender(link, await outgoingPackage(packagePath), {
    onProgress: (done, total) => screen.show({ event: "progress", what: SENDING, done, total }),
    onFound: (bytes) => {
      if (bytes > 0) {
        screen.show({ event: "info", text: `the worker has ${sizeText(bytes)} of it; the rest is sent` });
      }
    },
  });
  await whileListening(submission, (signal) => sender.run(signal), sender);
}

async function sendStream(submission: Submission): Promise<void> {
  const { packagePath, conversation, screen } = submission;
  using file = await Deno.open(packagePath, { read: true });
  const { size, isFile } = await file.stat();
  if (!isFile) {
    throw new UserError("this worker takes packages as one .zip file only, and this one is a folder", {
      hint: "pack it first, or use a worker of this program",
    });
  }
  const outgoing = { name: basename(packagePath), size, hint: "False", file };
  const onProgress = (done: number, total: number): void =>
    screen.show({ event: "progress", what: SENDING, done, total });
  await whileListening(
    submission,
    (signal) => sendFile(conversation.pipe, outgoing, { signal, onProgress }),
  );
}

/** A worker that refuses while the package is still on its way is heard at once, not at the end. */
async function whileListening(
  submission: Submission,
  send: (signal: AbortSignal) => Promise<void>,
  sender?: FilesSender,
): Promise<void> {
  const [refused, over] = [new AbortController(), new AbortController()];
  const listening = listen(submission, refused, over.signal, sender);
  try {
    await send(AbortSignal.any([submission.signal, refused.signal]));
  } finally {
    over.abort();
    await listening;
  }
  refused.signal.throwIfAborted();
}

async function listen(
  { conversation, jobId }: Submission,
  refused: AbortController,
  over: AbortSignal,
  sender: FilesSender | undefined,
): Promise<void> {
  const others: Incoming[] = [];
  try {
    for (;;) {
      const incoming = await conversation.next(undefined, over).catch(() => undefined);
      if (incoming === undefined) return;
      if (incoming.type === "CLOSED") return refused.abort(new WorkerLostError(false));
      if (incoming.type === "JOB_FAILED" && (incoming.id ?? jobId) === jobId) {
        return refused.abort(new JobFailedError(`the worker did not take the package: ${incoming.text}`));
      }
      if (!isAboutFiles(incoming)) others.push(incoming);
      else sender?.take(incoming);
    }
  } finally {
    // What the job says already is for those who follow it.
    conversation.putBack(others);
  }
}

/** A worker must know the file before it starts, or a Python one fails (PROTOCOL.md section 12.5). */
async function announceJob(submission: Submission): Promise<void> {
  const { size } = await Deno.stat(submission.packagePath);
  await say(submission, { type: "JOB_ID", id: submission.jobId });
  await say(submission, { type: "FILE_META", name: basename(submission.packagePath), size, hint: "False" });
}

/** What asking a worker needs. */
type Talk = Pick<Submission, "conversation" | "signal" | "screen">;

async function say(
  { conversation, signal }: Pick<Talk, "conversation" | "signal">,
  message: Message,
): Promise<void> {
  await conversation.pipe.send(formatMessage(message), signal);
}

/** Messages that are answered, and what `PATH_VALIDATED` says in answer. */
const ANSWERS = {
  STORAGE_BACKEND: "backend",
  SHARED_INPUT_PATH: "input",
  SHARED_OUTPUT_PATH: "output",
} as const;
type Asked = Extract<Message, { type: keyof typeof ANSWERS }>;

/** Asks and waits for the worker's consent. Throws {@link RefusedError} for every other answer, and for none in time. */
export async function ask(talk: Talk, message: Asked, limitMs: number): Promise<void> {
  await say(talk, message);
  await answer(talk, message.type, limitMs);
}

/** Waits for `PATH_VALIDATED`; one about something else is late, and passed over. */
async function answer(talk: Talk, to: keyof typeof ANSWERS, limitMs: number): Promise<void> {
  await awaitAnswer(talk, to, limitMs, (incoming) => {
    return incoming.type === "PATH_VALIDATED" && incoming.what === ANSWERS[to];
  });
}

/** Waits until `isAnswer`. Throws {@link RefusedError} for a refusal and for silence, {@link WorkerLostError}. */
async function awaitAnswer(
  { conversation, screen, signal }: Talk,
  to: string,
  limitMs: number,
  isAnswer: (incoming: Incoming) => boolean,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const incoming = await conversation.next(Math.max(0, deadline - performance.now()), signal);
    switch (incoming?.type) {
      case undefined:
        throw new RefusedError(`the worker did not answer ${to} within ${limitMs / 1000} s`);
      case "CLOSED":
        throw new WorkerLostError(false);
      case "BACKEND_NOT_AVAILABLE":
        throw new RefusedError(`the worker does not have the storage backend "${incoming.name}"`);
      case "PATH_ERROR":
      case "JOB_FAILED":
        throw new RefusedError(`the worker refused: ${incoming.text}`);
      case "LOG":
        screen.show({ event: "log", text: incoming.text });
        break;
      default:
        if (incoming && isAnswer(incoming)) return;
    }
  }
}
