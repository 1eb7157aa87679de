/** Commands about jobs that were submitted before: `attach`, `logs`, `jobs`, `stop`, `cancel`. */
import type { Command } from "commander";
import { EXIT, exitCodeOf } from "../config/error_code.ts";
import { type Config, loadConfig } from "../config/load.ts";
import { configureLog } from "../config/log.ts";
import { ExitCode } from "../config/program.ts";
import { type JobFacts, jobsSchema } from "../protocol/jobs.ts";
import { askForJob, attachToJob, awaitFacts, NOTHING_AGAIN, roomOf, UnknownJobError } from "./attach.ts";
import { Conversation, type Incoming } from "./conversation.ts";
import { checkFetch, fetchAtEnd, type FetchAtEndFlags } from "./fetch_job.ts";
import { type CommonFlags, interruptible, withFetchOptions, withRoomOptions } from "./flags.ts";
import { showMessage } from "./follow.ts";
import { Detached, WorkerLostError } from "./job_error.ts";
import { type JobRecord, listRecords } from "./job_records.ts";
import { prepareForJob } from "./prepare_job.ts";
import { withInbox } from "./results.ts";
import { type Screen, table } from "./screen.ts";
import { say } from "./talk.ts";
import { withWorker } from "./with_worker.ts";

/** A worker is asked for its jobs within this, in milliseconds. */
const LIST_LIMIT_MS = 10_000;
/** A job that was cancelled ends within this, in milliseconds. */
const CANCEL_LIMIT_MS = 30_000;

/** A worker that was started anew without `--room-id` and `--token` has made a new room. */
const UNANSWERED = "unknown: its worker does not answer (in another room now? --session-string)";
const quiet: Screen = { show: () => {}, close: () => {} };

interface LogFlags extends CommonFlags {
  follow?: boolean;
}

interface AttachFlags extends CommonFlags, FetchAtEndFlags {
  outputDir?: string;
}

async function attach(id: string, flags: AttachFlags): Promise<void> {
  await checkFetch(flags);
  const { record, room, config, screen } = await prepareForJob(id, flags);
  const outputDir = flags.outputDir ?? record.output_dir;
  await Deno.mkdir(outputDir, { recursive: true });
  const onKept = (text: string): void => screen.show({ event: "warning", text });
  const isLeft = await withInbox(
    outputDir,
    onKept,
    (inbox) =>
      interruptible(screen, "the job goes on", async (signal, hold) => {
        const home = { ...record, output_dir: await Deno.realPath(outputDir) };
        const summary = await attachToJob(home, room, config, { inbox, screen, signal, hold })
          .then(({ summary }) => summary, unlessDetached);
        if (!summary) return screen.close();
        try {
          if (summary.ok) await fetchAtEnd(id, flags, { config, screen }, signal);
        } finally {
          screen.close();
          screen.show({ event: "summary", summary });
        }
        if (summary.code) throw new ExitCode(exitCodeOf(summary.code));
      }),
  );
  if (isLeft) throw new ExitCode(EXIT.interrupted);
}

/** A job that was left, as was asked, has no summary. */
function unlessDetached(error: unknown): undefined {
  if (!(error instanceof Detached)) throw error;
}

async function showLog(id: string, flags: LogFlags): Promise<void> {
  const { record, room, config, screen } = await prepareForJob(id, flags, "log");
  await interruptible(screen, "the job goes on", async (signal) => {
    await withWorker(room, config, screen, signal, async ({ pipe }) => {
      const conversation = new Conversation(pipe);
      const facts = await askForJob(conversation, { id: record.id, after: 0, results: false }, signal);
      await tell(conversation, screen, signal, flags.follow ? Infinity : facts.events);
    });
  });
}

/** Shows events up to the last one that is wanted, or the job's end. */
async function tell(
  conversation: Conversation,
  screen: Screen,
  signal: AbortSignal,
  last: number,
): Promise<void> {
  while (conversation.seen < last) {
    const incoming = await conversation.next(undefined, signal);
    if (incoming === undefined || incoming.type === "CLOSED") throw new WorkerLostError(true);
    showMessage(screen, incoming);
    if (incoming.type === "JOB_FAILED") {
      screen.show({ event: "info", text: `the job failed: ${incoming.text}` });
    }
    if (isEnd(incoming)) return;
  }
}

function isEnd({ type }: Incoming): boolean {
  return type === "JOB_COMPLETE" || type === "JOB_FAILED";
}

/** Asks the worker to end a job; waits for the end of one that is cancelled. */
async function end(type: "JOB_STOP" | "JOB_CANCEL", id: string, flags: CommonFlags): Promise<void> {
  const { record, room, config, screen } = await prepareForJob(id, flags);
  await interruptible(screen, "the job goes on", async (signal) => {
    await withWorker(room, config, screen, signal, async ({ pipe }) => {
      const conversation = new Conversation(pipe);
      await say({ conversation, signal }, { type, id });
      const { state, events } = await awaitFacts(conversation, id, signal);
      if (state !== "running") {
        return screen.show({ event: "info", text: `job ${id} has ended already: ${state}` });
      }
      if (type === "JOB_STOP") {
        const text = `job ${id} was asked to end early; its results come with: sleap-rtc-client attach ${id}`;
        return screen.show({ event: "info", text });
      }
      const limit = AbortSignal.any([signal, AbortSignal.timeout(CANCEL_LIMIT_MS)]);
      await askForJob(conversation, { id: record.id, after: events, results: false }, limit);
      await tell(conversation, screen, limit, Infinity);
      screen.show({ event: "info", text: `job ${id} is cancelled` });
    });
  });
}

/** What is known of a job here, and what its worker says of it; null when it could not be asked or knows it not. */
interface ListedJob extends JobRecord {
  worker_says: JobFacts | null;
}

async function listJobs(flags: CommonFlags): Promise<void> {
  await configureLog(flags);
  const config = loadConfig(flags);
  const records = await listRecords();
  const open = records.filter(({ end }) => end === null);
  const asked = await askWorkers(open, flags, config);
  const jobs = records.map((record): ListedJob => ({ ...record, worker_says: asked.get(record.id) ?? null }));
  // The token is the room's key: it stays in the record.
  if (flags.json) {
    for (const { token: _, ...job } of jobs) console.log(JSON.stringify({ event: "job", ...job }));
  } else if (jobs.length === 0) console.log("this machine has submitted no job");
  else console.log(table([["JOB", "STATE", "SUBMITTED", "PACKAGE"], ...jobs.map(rowOf)]));
}

function rowOf({ id, submitted, package: path, end, worker_says: says }: ListedJob): string[] {
  const state = end ?? says?.state ?? UNANSWERED;
  const waiting = end === null && says?.results ? ", results wait for attach" : "";
  return [id, `${state}${waiting}`, submitted.slice(0, 19).replace("T", " "), path];
}

/** Asks each worker once for its jobs; one that cannot be reached says nothing. */
async function askWorkers(
  records: readonly JobRecord[],
  flags: CommonFlags,
  config: Config,
): Promise<Map<string, JobFacts>> {
  const rooms = Map.groupBy(records, (record) => roomOf(record, flags).sessionString);
  const found = await Promise.all([...rooms].map(async ([sessionString, jobs]) => {
    const signal = AbortSignal.timeout(LIST_LIMIT_MS);
    const room = { ...(sessionString !== undefined && { sessionString }), purpose: "look" } as const;
    return await withWorker(
      room,
      config,
      quiet,
      signal,
      ({ pipe }) => askAll(new Conversation(pipe), jobs, signal),
    )
      .catch(() => []);
  }));
  return new Map(found.flat().map((facts) => [facts.id, facts]));
}

/** What a worker says of jobs: of its room in one answer, of those from another room one by one. */
async function askAll(
  conversation: Conversation,
  jobs: readonly JobRecord[],
  signal: AbortSignal,
): Promise<JobFacts[]> {
  await say({ conversation, signal }, { type: "JOBS_LIST" });
  const listed = await awaitList(conversation, signal);
  for (const { id } of jobs) {
    if (listed.some((facts) => facts.id === id)) continue;
    const wish = { id, after: NOTHING_AGAIN, results: false };
    const facts = await askForJob(conversation, wish, signal).catch(unlessUnknown);
    if (facts) listed.push(facts);
    // Who follows a job that runs can ask for no other.
    if (facts?.state === "running") break;
    if (facts) await tell(conversation, quiet, signal, Infinity);
  }
  return listed;
}

async function awaitList(conversation: Conversation, signal: AbortSignal): Promise<JobFacts[]> {
  for (let incoming; (incoming = await conversation.next(undefined, signal))?.type !== "CLOSED";) {
    if (incoming?.type === "JOBS") return jobsSchema.parse(JSON.parse(incoming.json));
  }
  return [];
}

function unlessUnknown(error: unknown): undefined {
  if (!(error instanceof UnknownJobError)) throw error;
}

/** Adds the commands. */
export function addJobCommands(program: Command): void {
  const withJob = (name: string, description: string, example: string): Command =>
    withRoomOptions(program.command(name).argument("<job>", "its id, as `train` and `jobs` show it"))
      .description(description).addHelpText("after", `\nExamples:\n  sleap-rtc-client ${example}`);
  withRoomOptions(program.command("jobs").description("List the jobs that this machine has submitted."))
    .addHelpText("after", "\nExamples:\n  sleap-rtc-client jobs --json").action(listJobs);
  const comeBack = withJob(
    "attach",
    "Come back to a job: follow it to its end, and bring its results home.",
    "attach job_1a2b3c4d",
  ).option("--output-dir <folder>", "where results go (default: where `train` was to put them)");
  withFetchOptions(comeBack).action(attach);
  withJob("logs", "Show what a job has printed.", "logs --follow job_1a2b3c4d")
    .option("-f, --follow", "go on until the job ends").action(showLog);
  withJob("stop", "End a job early, and keep what it has trained.", "stop job_1a2b3c4d")
    .action((id: string, flags: CommonFlags) => end("JOB_STOP", id, flags));
  withJob("cancel", "End a job at once.", "cancel job_1a2b3c4d")
    .action((id: string, flags: CommonFlags) => end("JOB_CANCEL", id, flags));
}
