/** Brings results home: into `models/` below the output folder, whatever way the package took. */
import { getLogger } from "@logtape/logtape";
import { basename, join } from "node:path";
import { errorText, UserError } from "../config/user_error.ts";
import { publish, publishContents } from "../storage/copy.ts";
import { forsakenFolders, makeOwnFolder } from "../storage/own_folder.ts";
import type { Arrived } from "./follow.ts";

const logger = getLogger(["sleap-rtc", "client"]);

/** Told where something is at home that a worker called `name`, with `/`. */
export type OnPlaced = (name: string, path: string) => void;

/** Folder below the output folder that runs go to. */
const MODELS = "models";

/** The first of some folders that is there. */
export async function firstFolder(folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) if (await isFolder(folder)) return folder;
  return undefined;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch {
    return false;
  }
}

/**
 * Copies each run of the first folder that exists into `models/` of the output folder; nothing there is overwritten.
 * Runs that are in place already stay. Returns the folder that holds the results; undefined when there are none.
 */
export async function fetchFromStorage(
  folders: readonly string[],
  outputDir: string,
  signal?: AbortSignal,
  onPlaced: OnPlaced = () => {},
): Promise<string | undefined> {
  const home = join(outputDir, MODELS);
  const folder = await firstFolder(folders);
  if (folder === undefined) return undefined;
  if (await isFolder(home) && await Deno.realPath(folder) === await Deno.realPath(home)) {
    onPlaced(MODELS, home);
    return home;
  }
  await Deno.mkdir(home, { recursive: true });
  const { entries } = await publishContents(folder, home, signal);
  for (const { name, path } of entries) onPlaced(`${MODELS}/${name}`, path);
  return home;
}

/**
 * Puts what came over the channel into the output folder: runs, packed or not, into `models/`, other files as they
 * are. Returns the folder that holds the results; undefined when no file came. Files that cannot be unpacked
 * stay, as they came, in the output folder, and a `UserError` says so: the worker has no other copy.
 */
export async function fetchFromInbox(
  { files, folders }: Arrived,
  inbox: string,
  outputDir: string,
  signal: AbortSignal,
  onPlaced: OnPlaced = () => {},
): Promise<string | undefined> {
  let results: string | undefined;
  for (const folder of folders) {
    results = await fetchFolder(folder, outputDir, signal, onPlaced) ?? results;
    await Deno.remove(folder, { recursive: true });
  }
  for (const path of files) {
    try {
      results = await fetchFile(path, inbox, outputDir, signal) ?? results;
    } catch (error) {
      // A rename within the output folder needs no space.
      const kept = join(outputDir, `${crypto.randomUUID().slice(0, 8)}-${basename(path)}`);
      await Deno.rename(path, kept);
      throw new UserError(`the results came, but could not be unpacked: ${errorText(error)}`, {
        code: "RESULTS_NOT_UNPACKED",
        hint: `they are kept in ${kept}`,
        cause: error,
      });
    }
  }
  return results;
}

/** Begin of the name of results that came whole over a link, in the inbox. */
export const RESULTS_PREFIX = "results-";

/** Begin of the name of an inbox. */
export const INBOX_PREFIX = ".sleap-rtc-inbox-";

/** Calls `body` with an inbox in the output folder, which is left as {@link leaveInbox} says; `onKept` hears of it. */
export async function withInbox<Result>(
  outputDir: string,
  onKept: (text: string) => void,
  body: (inbox: string) => Promise<Result>,
): Promise<Result> {
  const inbox = await makeOwnFolder(outputDir, INBOX_PREFIX);
  const leave = async (path: string): Promise<void> => {
    for (const kept of await leaveInbox(path, outputDir)) onKept(`results that came are kept in ${kept}`);
  };
  try {
    await leaveForsaken(outputDir, inbox.path, leave);
    return await body(inbox.path);
  } finally {
    await leave(inbox.path);
    await inbox.release();
  }
}

/** Leaves the inboxes of clients that were killed; what cannot be left is no reason not to begin. */
async function leaveForsaken(
  outputDir: string,
  own: string,
  leave: (path: string) => Promise<void>,
): Promise<void> {
  try {
    for await (const { path, remove } of forsakenFolders(outputDir, INBOX_PREFIX, own)) {
      await leave(path).catch((error: unknown) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
      await remove();
    }
  } catch (error) {
    logger.warn("what a client that was killed has left stays: {reason}", { reason: errorText(error) });
  }
}

/**
 * Removes an inbox. Results that came whole and were not put in their place, after Ctrl-C for example, are kept in the
 * output folder, as the worker has them no longer; returns their paths.
 */
export async function leaveInbox(inbox: string, outputDir: string): Promise<string[]> {
  const kept: string[] = [];
  for await (const { name } of Deno.readDir(inbox)) {
    if (!name.startsWith(RESULTS_PREFIX)) continue;
    const path = join(outputDir, `${name}-${crypto.randomUUID().slice(0, 8)}`);
    await Deno.rename(join(inbox, name), path);
    kept.push(path);
  }
  await Deno.remove(inbox, { recursive: true });
  return kept;
}

/** Runs into `models/`, predictions as they are. */
async function fetchFolder(
  folder: string,
  outputDir: string,
  signal: AbortSignal,
  onPlaced: OnPlaced,
): Promise<string | undefined> {
  let results = await fetchFromStorage([join(folder, MODELS)], outputDir, signal, onPlaced);
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (!isFile) continue;
    onPlaced(name, (await publish(join(folder, name), outputDir, name, signal)).path);
    results = outputDir;
  }
  return results;
}

async function fetchFile(
  path: string,
  inbox: string,
  outputDir: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!/\.zip$/i.test(path)) {
    await publish(path, outputDir, basename(path), signal);
    return outputDir;
  }
  const unpacked = await Deno.makeTempDir({ dir: inbox });
  await unzip(path, unpacked, signal);
  return await fetchFromStorage([unpacked], outputDir, signal);
}

async function unzip(path: string, folder: string, signal: AbortSignal): Promise<void> {
  using file = await Deno.open(path, { read: true });
  const { size } = await file.stat();
  // Only Python workers send archives.
  const { extractArchive } = await import("../storage/archive.ts");
  await extractArchive({ file, size }, folder, basename(path), signal);
}
