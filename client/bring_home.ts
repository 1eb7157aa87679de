/** The end of a job on this side: its results come home, and what was made for it goes. */
import { join, resolve } from "node:path";
import { errorText } from "../config/user_error.ts";
import type { StorageBackend } from "../storage/backend.ts";
import { downloadTree, withStore } from "../storage/object_store.ts";
import type { JobEnd } from "./follow.ts";
import { fetchFromInbox, fetchFromStorage, type OnPlaced } from "./results.ts";
import type { Screen } from "./screen.ts";

/** Where a job's results are, and what was made for it. */
export interface JobPlaces {
  /** Absolute folders in which results may appear on shared storage, the likeliest first; none over the channel. */
  resultFolders: readonly string[];
  /** Folder on shared storage that was made for this job and goes when it is over; undefined when none was. */
  jobFolder: string | undefined;
  /** The same in an object store; results are below `models/` in it. */
  remote?: { store: StorageBackend; path: string };
}

/** Where results go. */
export interface Home {
  /** Absolute folder into which files came over the channel. */
  inbox: string;
  /** Absolute. */
  outputDir: string;
  screen: Screen;
  signal: AbortSignal;
  onPlaced?: OnPlaced;
}

/**
 * Brings home what there is, also of a job that failed: finished runs are days of work. Then what was made for the job
 * goes. Returns the absolute folder of the results; null when there are none.
 */
export async function bringHome(
  places: JobPlaces,
  end: Exclude<JobEnd, { type: "retry" }>,
  { inbox, outputDir, screen, signal, onPlaced }: Home,
): Promise<string | null> {
  const isNew = end.type === "complete" || places.jobFolder !== undefined || places.remote !== undefined;
  const folders = places.remote ? [await download(places.remote, inbox, signal)] : places.resultFolders;
  const stored = isNew ? await fetchFromStorage(folders, outputDir, signal, onPlaced) : undefined;
  const received = await fetchFromInbox(end.arrived, inbox, outputDir, signal, onPlaced);
  await tidy(places, screen);
  const results = stored ?? received;
  return results === undefined ? null : resolve(results);
}

/** The results in an object store, in a folder of the inbox; it stays missing when there are none. */
async function download(
  { store, path }: NonNullable<JobPlaces["remote"]>,
  inbox: string,
  signal: AbortSignal,
): Promise<string> {
  const folder = await Deno.makeTempDir({ dir: inbox });
  return await withStore(store, async (open) => {
    const models = `${path}/models`;
    if (!await open.exists(models, signal)) return join(folder, "none");
    await downloadTree(open, models, folder, signal);
    return folder;
  });
}

/** Removes what was made for a job. */
export async function tidy({ jobFolder, remote }: JobPlaces, screen: Screen): Promise<void> {
  const warn = (path: string) => (error: unknown): void => {
    // Somebody came back to this job before.
    if (error instanceof Deno.errors.NotFound) return;
    screen.show({ event: "warning", text: `cannot remove ${path}: ${errorText(error)}` });
  };
  if (remote) {
    await withStore(remote.store, (open) => open.remove(remote.path)).catch(warn(remote.path));
  }
  if (jobFolder !== undefined) await Deno.remove(jobFolder, { recursive: true }).catch(warn(jobFolder));
}
