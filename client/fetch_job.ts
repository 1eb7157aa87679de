/** The results of one job: which files there are, and their way into a folder. */
import { resolve } from "node:path";
import { ConfigError, errorText, UserError } from "../config/user_error.ts";
import { type JobResults, resultsSchema } from "../protocol/jobs.ts";
import { parseJson } from "../protocol/parse_json.ts";
import { askForJob, roomOf } from "./attach.ts";
import { Conversation } from "./conversation.ts";
import type { ClientEvent } from "./event.ts";
import { fetchResults } from "./fetch_results.ts";
import { type Check, findResults, type FoundFile, isWhole } from "./found_results.ts";
import { type JobRecord, readRecord, writeRecord } from "./job_records.ts";
import type { Prepared } from "./prepare_job.ts";
import { withWorker } from "./with_worker.ts";

/** Flags of the commands that fetch at a job's end. */
export interface FetchAtEndFlags {
  /** Folder that results are copied to. */
  fetch?: string;
  /** Whether a file with other content gives way there. */
  force?: boolean;
}

/** What became of the results. */
export type Fetched = Extract<ClientEvent, { event: "fetched" }>;

/** The files of a job, and its record with them. Throws `UserError` when there are none, the abort reason. */
export async function filesOf(
  prepared: Prepared,
  check: Check,
  signal: AbortSignal,
): Promise<{ record: JobRecord; files: FoundFile[] }> {
  const record = prepared.record.files.length > 0 ? prepared.record : await askForFiles(prepared, signal);
  return { record, files: await findResults(record, check, signal) };
}

/**
 * Copies what a job has made into a folder (undefined: where `train` was to put it), see {@link fetchResults}. Throws
 * `UserError`s, the abort reason, Deno's file errors.
 */
export async function fetchJob(
  prepared: Prepared,
  { into: folder, force = false }: { into?: string | undefined; force?: boolean | undefined },
  signal: AbortSignal,
): Promise<Fetched> {
  const { record, files } = await filesOf(prepared, isWhole, signal);
  const wanted = resolve(folder ?? record.output_dir);
  await Deno.mkdir(wanted, { recursive: true });
  const into = await Deno.realPath(wanted);
  // What has come home under another name has come home.
  const missing = folder === undefined
    ? files.filter(({ where, isGood }) => !isGood || where !== "home")
    : files;
  const fetched = await fetchResults(missing, { ...prepared, record, into, force, signal });
  const placed = fetched.map((name) => ({ name, path: resolve(into, name) }));
  await writeRecord({ ...record, placed: [...record.placed, ...placed] });
  return { event: "fetched", into, files: fetched, there: files.length - fetched.length };
}

/** Makes the folder of `--fetch`, before hours of work end at it. Throws {@link ConfigError}. */
export async function checkFetch({ fetch, force }: FetchAtEndFlags, isDetached = false): Promise<void> {
  if (fetch === undefined) {
    if (force) throw new ConfigError("--force is about the folder of --fetch, which is not given");
    return;
  }
  if (isDetached) {
    throw new ConfigError("--fetch copies at the job's end, which --detach does not wait for", {
      hint: "give --fetch to attach",
    });
  }
  try {
    await Deno.mkdir(fetch, { recursive: true });
  } catch (error) {
    throw new ConfigError(`cannot use the folder of --fetch ${fetch}: ${errorText(error)}`, { cause: error });
  }
}

/** Does what `--fetch` asks for when a job has succeeded. Throws as {@link fetchJob}. */
export async function fetchAtEnd(
  id: string,
  { fetch: into, force }: FetchAtEndFlags,
  { config, screen }: Pick<Prepared, "config" | "screen">,
  signal: AbortSignal,
): Promise<void> {
  if (into === undefined) return;
  const record = await readRecord(id).catch(() => undefined);
  if (!record) {
    throw new UserError("--fetch: what the job has made cannot be verified, its worker does not say it", {
      code: "NO_RESULTS",
      hint: "the results are where the summary says; copy them from there",
    });
  }
  screen.show(await fetchJob({ record, room: roomOf(record), config, screen }, { into, force }, signal));
}

/** The record with what the worker says that the job has made. Throws `UserError` when there is nothing. */
async function askForFiles(
  { record, room, config, screen }: Prepared,
  signal: AbortSignal,
): Promise<JobRecord> {
  const files = await withWorker(room, config, screen, signal, async ({ pipe }) => {
    const conversation = new Conversation(pipe);
    const wish = { id: record.id, after: record.seen, results: false };
    const { state } = await askForJob(conversation, wish, signal);
    if (state !== "running") return await readResults(conversation, signal);
    throw new UserError(`job ${record.id} is running: it has no results yet`, {
      code: "JOB_RUNNING",
      hint: `follow it: sleap-rtc-client attach ${record.id}`,
    });
  });
  if (files.length === 0) throw new UserError(`job ${record.id} has made nothing`, { code: "NO_RESULTS" });
  const known = { ...record, files };
  await writeRecord(known);
  return known;
}

/** What is told up to the job's end. */
async function readResults(conversation: Conversation, signal: AbortSignal): Promise<JobResults["files"]> {
  const files: JobResults["files"] = [];
  for (;;) {
    const incoming = await conversation.next(undefined, signal);
    if (incoming?.type === "JOB_RESULTS") files.push(...parseJson(resultsSchema, incoming.json)?.files ?? []);
    const isEnd = incoming?.type === "JOB_COMPLETE" || incoming?.type === "JOB_FAILED";
    if (isEnd || incoming === undefined || incoming.type === "CLOSED") return files;
  }
}
