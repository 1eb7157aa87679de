/** Brings what a job has made to a folder: every file verified, none overwritten, and gone on with after Ctrl-C. */
import { basename, dirname, join } from "node:path";
import type { ErrorCode } from "../config/error_code.ts";
import type { Config } from "../config/load.ts";
import { sizeText } from "../config/progress.ts";
import { UserError } from "../config/user_error.ts";
import { flushFolder, makeFolderInside } from "../storage/containment.ts";
import { copyFile, freeSpace } from "../storage/copy.ts";
import { removeAll } from "../storage/folder_lock.ts";
import { StorageConfig } from "../storage/backend.ts";
import { withStore } from "../storage/object_store.ts";
import { askForJob, NOTHING_AGAIN, type roomOf } from "./attach.ts";
import { Conversation } from "./conversation.ts";
import type { Screen } from "./event.ts";
import { followJob } from "./follow.ts";
import { type FoundFile, isFile, isWhole } from "./found_results.ts";
import type { JobRecord } from "./job_records.ts";
import { RESULTS_PREFIX } from "./results.ts";
import { withWorker } from "./with_worker.ts";

/** Names in a message, at most. */
const MAX_NAMED = 5;

/** How results are fetched. */
export interface FetchOptions {
  record: JobRecord;
  room: ReturnType<typeof roomOf>;
  config: Config;
  /** Absolute, existing folder that they go to. */
  into: string;
  /** Whether a file with other content gives way. */
  force: boolean;
  screen: Screen;
  signal: AbortSignal;
}

/** A file and the path that it is to have. */
interface Wanted extends FoundFile {
  target: string;
}

/**
 * Brings the files that are not there yet, and returns their names. What was brought so far stays in a hidden folder
 * when it is interrupted, and the next call goes on from there. Throws `UserError`s: when another file has a
 * name and `force` is not set, when they do not fit, when one is damaged, when they are nowhere; the abort reason.
 */
export async function fetchResults(files: readonly FoundFile[], options: FetchOptions): Promise<string[]> {
  const { record, into, force, signal } = options;
  const wanted = await notYetThere(files, into, signal);
  if (wanted.length === 0) return [];
  const taken = wanted.filter(({ target }) => exists(target));
  if (taken.length > 0 && !force) throw new TakenError(taken, record.id);
  const staging = join(into, `.sleap-rtc-fetch-${record.id.replaceAll(/[^\w-]/g, "_")}`);
  await Deno.mkdir(staging, { recursive: true, mode: 0o700 });
  const staged = join(staging, `${RESULTS_PREFIX}1`);
  await requireRoom(wanted, staged, into);
  await bring(wanted, { staging, staged }, options);
  for (const { name, target } of wanted) {
    const folder = await makeFolderInside(into, dirname(name) === "." ? "" : dirname(name));
    await putInPlace(join(staged, name), join(folder, basename(target)), options);
    await flushFolder(folder);
  }
  await removeAll(staging);
  return wanted.map(({ name }) => name);
}

/** Another file has a name already. */
class TakenError extends UserError {
  static override readonly code: ErrorCode = "FILE_EXISTS";
  constructor(taken: readonly { target: string }[], id: string) {
    const names = taken.slice(0, MAX_NAMED).map(({ target }) => target).join(", ");
    const more = taken.length > MAX_NAMED ? ` and ${taken.length - MAX_NAMED} more` : "";
    super(`there are other files already: ${names}${more}`, {
      hint:
        `give another folder, or --force to overwrite them: sleap-rtc-client results fetch ${id} --into FOLDER`,
    });
  }
}

async function notYetThere(
  files: readonly FoundFile[],
  into: string,
  signal: AbortSignal,
): Promise<Wanted[]> {
  const wanted: Wanted[] = [];
  for (const file of files) {
    const target = join(into, file.name);
    if (!await isFile(target) || !await isWhole(target, file, signal)) wanted.push({ ...file, target });
  }
  return wanted;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Throws `UserError` unless there is room for what has not been brought before. */
async function requireRoom(wanted: readonly Wanted[], staged: string, into: string): Promise<void> {
  const isStaged = await Promise.all(wanted.map(({ name }) => isFile(join(staged, name))));
  const bytes = wanted.reduce((sum, { size }, index) => sum + (isStaged[index] ? 0 : size), 0);
  const free = await freeSpace(into);
  if (bytes <= free) return;
  throw new UserError(`the results need ${sizeText(bytes)}, and ${into} has ${sizeText(free)} left`, {
    code: "NO_SPACE",
    hint: "make space there, or give a folder of another disk",
  });
}

/** Brings the files to `staged`, each verified. */
async function bring(
  wanted: readonly Wanted[],
  { staging, staged }: { staging: string; staged: string },
  options: FetchOptions,
): Promise<void> {
  const { screen, signal } = options;
  const total = wanted.reduce((sum, { size }) => sum + size, 0);
  const missing: Wanted[] = [];
  let done = 0;
  for (const file of wanted) {
    const path = join(staged, file.name);
    const isThere = await isFile(path) && await isWhole(path, file, signal);
    if (!isThere && !await copyOne(file, path, options)) missing.push(file);
    else screen.show({ event: "progress", what: "fetching results", done: done += file.size, total });
  }
  if (missing.length > 0) await receive(staging, staged, options);
  for (const file of wanted) await verify(join(staged, file.name), file, signal);
}

/** From where this machine sees the file; whether it does. */
async function copyOne(
  file: Wanted,
  path: string,
  { record, config, signal }: FetchOptions,
): Promise<boolean> {
  await Deno.mkdir(dirname(path), { recursive: true });
  if (file.path !== null && file.isGood) {
    await copyFile(file.path, path, { signal, resume: true });
    return true;
  }
  if (!record.remote) return false;
  const key = `${record.remote.path}/${file.name}`;
  return await withStore(
    StorageConfig.fromConfig(config).getBackend(record.remote.backend),
    async (store) => {
      if (!await store.exists(key, signal)) return false;
      await store.download(key, path, { signal });
      return true;
    },
  );
}

/** From the worker that keeps them: all of them, in the place of what was staged. */
async function receive(
  staging: string,
  staged: string,
  { record, room, config, screen, signal }: FetchOptions,
): Promise<void> {
  await withWorker(room, config, screen, signal, async ({ pipe }) => {
    const conversation = new Conversation(pipe);
    const wish = { id: record.id, after: NOTHING_AGAIN, results: true };
    const { state, results } = await askForJob(conversation, wish, signal);
    if (state === "running") {
      throw new UserError(`job ${record.id} is running`, {
        code: "JOB_RUNNING",
        hint: `follow it to its end, and bring its results home: sleap-rtc-client attach ${record.id}`,
      });
    }
    if (!results) throw new UserError("the worker keeps these results no longer", { code: "NO_RESULTS" });
    // All of them come, and have that name.
    await removeAll(staged);
    const end = await followJob(conversation, {
      screen,
      jobId: record.id,
      isOurs: true,
      rtc: true,
      inbox: staging,
      onStart: () => {},
      signal,
    });
    const came = end.type === "retry" ? [] : end.arrived.folders;
    if (!came.includes(staged)) throw new UserError("the worker sent no results", { code: "NO_RESULTS" });
  });
}

async function verify(path: string, file: Wanted, signal: AbortSignal): Promise<void> {
  if (await isFile(path) && await isWhole(path, file, signal)) return;
  await removeAll(path);
  throw new UserError(`${file.name} is not what the job has made: its size or its SHA-256 differs`, {
    code: "FILE_CORRUPT",
    hint: "see: sleap-rtc-client results verify; was it changed where it lies?",
  });
}

/** A name that was free a moment ago may have been taken. */
async function putInPlace(from: string, to: string, { force, record }: FetchOptions): Promise<void> {
  if (force) return await Deno.rename(from, to);
  try {
    await Deno.link(from, to);
    return await Deno.remove(from);
  } catch (error) {
    // Some storage has no second names.
    if (error instanceof Deno.errors.AlreadyExists || exists(to)) {
      throw new TakenError([{ target: to }], record.id);
    }
  }
  await Deno.rename(from, to);
}
