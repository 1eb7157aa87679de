/** What this machine remembers of the jobs that it has submitted, so that it can come back to them. */
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError } from "../config/user_error.ts";
import { JOB_ENDS, type ResultFile, resultFileSchema } from "../protocol/jobs.ts";
import { parseJson } from "../protocol/parse_json.ts";

/** Names another folder for the records. */
const FOLDER_VARIABLE = "SLEAP_RTC_JOBS_DIR";
/** A record is forgotten after so long, in milliseconds: thirty days. */
const KEPT_MS = 30 * 24 * 3600_000;

const recordSchema = z.object({
  id: z.string(),
  /** Absolute path of the package. */
  package: z.string(),
  /** ISO 8601. */
  submitted: z.string(),
  room_id: z.string(),
  token: z.string(),
  /** Peer id. */
  worker: z.string(),
  /** `in place`, `copy` or `rtc`. */
  method: z.string(),
  /** Absolute; results go there. */
  output_dir: z.string(),
  /** Absolute folders in which results may appear on shared storage. */
  result_folders: z.array(z.string()),
  /** Absolute; made for the job, and removed when its results are at home. */
  job_folder: z.string().nullable(),
  /** The same in an object store. */
  remote: z.object({ backend: z.string(), path: z.string() }).nullable(),
  /** Number of the last event that was shown. */
  seen: z.int().min(0),
  /** What it made, as its worker told. */
  files: z.array(resultFileSchema).default([]),
  /** Where that is at home: names of files, or of folders with all below them, the latest last; paths are absolute. */
  placed: z.array(z.object({ name: z.string(), path: z.string() })).default([]),
  /** Null while it is not known to have ended. */
  end: z.enum(JOB_ENDS).nullable(),
});
/** A job that was submitted. */
export type JobRecord = z.infer<typeof recordSchema>;

/** What is known that a job has made with what is told of it: a file that is told again is the same. */
export function joinFiles(known: readonly ResultFile[], told: readonly ResultFile[]): ResultFile[] {
  return [...new Map([...known, ...told].map((file) => [file.name, file])).values()];
}

function recordsFolder(): string {
  return Deno.env.get(FOLDER_VARIABLE) ?? join(homedir(), ".sleap-rtc", "jobs");
}

/** Remembers a job, in place of what was known of it. Throws Deno's file errors. */
export async function writeRecord(record: JobRecord): Promise<void> {
  const folder = recordsFolder();
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${record.id}.json`);
  // It holds the room's token.
  await Deno.writeTextFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  await Deno.rename(`${path}.new`, path);
}

/** Forgets what is old. Throws Deno's file errors. */
export async function forgetOldRecords(): Promise<void> {
  for (const { id, submitted } of await listRecords()) {
    if (Date.now() - Date.parse(submitted) <= KEPT_MS) continue;
    await Deno.remove(join(recordsFolder(), `${id}.json`)).catch((error: unknown) => {
      // Another program does the same.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}

/** The record of a job. Throws {@link ConfigError} for one that this machine does not know. */
export async function readRecord(id: string): Promise<JobRecord> {
  const found = /^[\w.-]+$/.test(id) ? await readOne(join(recordsFolder(), `${id}.json`)) : undefined;
  if (found) return found;
  const known = (await listRecords()).map((record) => record.id);
  throw new ConfigError(`this machine has submitted no job "${id}"`, {
    code: "JOB_UNKNOWN",
    hint: known.length === 0
      ? "see: sleap-rtc-client jobs --help"
      : `there are: ${known.slice(0, 5).join(", ")}`,
  });
}

/** All records, the newest first; what cannot be read is left out. */
export async function listRecords(): Promise<JobRecord[]> {
  const folder = recordsFolder();
  const records: JobRecord[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const record = name.endsWith(".json") ? await readOne(join(folder, name)) : undefined;
      if (record) records.push(record);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return records.sort((a, b) => a.submitted < b.submitted ? 1 : -1);
}

async function readOne(path: string): Promise<JobRecord | undefined> {
  const text = await Deno.readTextFile(path).catch(() => undefined);
  return text === undefined ? undefined : parseJson(recordSchema, text);
}
