/** Coming back to a job that goes on, or has ended, without its client. */
import type { Config } from "../config/load.ts";
import type { ErrorCode } from "../config/error_code.ts";
import { errorText, UserError } from "../config/user_error.ts";
import { factsSchema, type JobAttach, type JobEndState, type JobFacts } from "../protocol/jobs.ts";
import { formatSession } from "../protocol/session_string.ts";
import { parseJson } from "../protocol/parse_json.ts";
import { pause } from "../signaling/presence.ts";
import { StorageConfig } from "../storage/backend.ts";
import { bringHome, type JobPlaces } from "./bring_home.ts";
import { NoWorkerError } from "./choose_worker.ts";
import { Conversation } from "./conversation.ts";
import { followJob, type JobEnd } from "./follow.ts";
import { withWorker } from "./with_worker.ts";
import type { HoldJob } from "./interrupt.ts";
import { Detached, WorkerLostError } from "./job_error.ts";
import { type JobRecord, joinFiles, writeRecord } from "./job_records.ts";
import type { RoomFlags } from "./room.ts";
import type { Screen, Summary } from "./screen.ts";
import { summarize } from "./summary.ts";
import { say, stopEarly, tell } from "./talk.ts";

/** A worker answers a question about a job within this, in milliseconds. */
const ANSWER_LIMIT_MS = 10_000;
/** A job whose worker was lost is looked for after so many milliseconds each: a worker may be started anew. */
const PAUSES_MS = [0, 2_000, 4_000, 8_000] as const;

/** An event behind the last one: of what has happened, only the end is told again. */
export const NOTHING_AGAIN = Number.MAX_SAFE_INTEGER;

/** No worker that can be asked knows the job. */
export class UnknownJobError extends UserError {
  static override readonly code: ErrorCode = "JOB_UNKNOWN";
}

/** How a job is followed. */
export interface AttachOptions {
  /** Absolute, empty folder into which results come over the channel. */
  inbox: string;
  screen: Screen;
  signal: AbortSignal;
  hold: HoldJob;
}

/** The room and worker of a record, or those that the command line names instead. */
export function roomOf(record: JobRecord, flags: RoomFlags = {}): RoomFlags & { purpose: "look" } {
  const { sessionString, roomId, token } = flags;
  if (sessionString !== undefined) return { sessionString, purpose: "look" };
  const room = { roomId: roomId ?? record.room_id, token: token ?? record.token };
  return { sessionString: formatSession({ ...room, peerId: record.worker }), purpose: "look" };
}

/**
 * Asks for a job; what happens in it after event `after` is told then. Throws {@link UnknownJobError},
 * {@link WorkerLostError}, the abort reason.
 */
export async function askForJob(
  conversation: Conversation,
  wish: JobAttach,
  signal: AbortSignal,
): Promise<JobFacts> {
  await say({ conversation, signal }, { type: "JOB_ATTACH", json: JSON.stringify(wish) });
  return await awaitFacts(conversation, wish.id, signal);
}

/** Waits for what the worker says of a job. Throws as {@link askForJob} does. */
export async function awaitFacts(
  conversation: Conversation,
  id: string,
  signal: AbortSignal,
): Promise<JobFacts> {
  const deadline = performance.now() + ANSWER_LIMIT_MS;
  for (;;) {
    const incoming = await conversation.next(Math.max(0, deadline - performance.now()), signal);
    if (incoming?.type === "CLOSED") throw new WorkerLostError(true);
    if (incoming === undefined) {
      throw new UserError(`the worker did not answer within ${ANSWER_LIMIT_MS / 1000} s`, {
        code: "WORKER_SILENT",
      });
    }
    if (incoming.type === "JOB_UNKNOWN") {
      throw new UnknownJobError(`the worker knows no job ${id}`, {
        hint: "a worker remembers a job for three days; if it is in another room now, give --session-string",
      });
    }
    if (incoming.type !== "JOB_STATE") continue;
    const facts = parseJson(factsSchema, incoming.json);
    if (facts) return facts;
  }
}

/**
 * Follows a job that was submitted before to its end, from the last event that was shown, and brings its results home.
 * `state` is what it was at first.
 * Throws {@link UnknownJobError}, `UserError`s for everything that keeps the two apart, the abort reason.
 */
export async function attachToJob(
  record: JobRecord,
  room: RoomFlags & { purpose: "look" },
  config: Config,
  options: AttachOptions,
): Promise<{ summary: Summary; state: JobFacts["state"] }> {
  const began = performance.now();
  const { inbox, screen, signal } = options;
  return await withWorker(room, config, screen, signal, async (connection, { peerId }) => {
    const conversation = new Conversation(connection.pipe);
    const known: JobRecord = { ...record, files: [...record.files], placed: [...record.placed] };
    try {
      const facts = await askForJob(
        conversation,
        { id: record.id, after: record.seen, results: true },
        signal,
      );
      screen.show({ event: "info", text: `job ${record.id}: ${facts.state}` });
      const end = await follow(known, conversation, options);
      known.end = await endState(conversation, record.id, end, signal);
      const results = await bringHome(placesOf(record, config), end, {
        inbox,
        outputDir: record.output_dir,
        screen,
        signal,
        onPlaced: (name, path) => known.placed.push({ name, path }),
      });
      await remember(known, conversation.seen);
      const summary = await summarize({
        job_id: record.id,
        method: record.method,
        worker: peerId,
        results,
        files: known.files,
        config,
        connection,
        end,
        began,
        startedAfter: null,
      });
      return { summary, state: facts.state };
    } catch (error) {
      await remember(known, conversation.seen);
      // It began long ago, whether this program saw that or not.
      throw error instanceof WorkerLostError ? new WorkerLostError(true) : error;
    }
  });
}

/**
 * How the worker says that a job has ended which was followed to this end: cancelled and interrupted jobs have failed
 * otherwise. Throws the abort reason.
 */
export async function endState(
  conversation: Conversation,
  id: string,
  end: JobEnd,
  signal: AbortSignal,
): Promise<JobEndState> {
  if (end.type !== "failed") return end.type === "complete" ? "complete" : "failed";
  try {
    const { state } = await askForJob(conversation, { id, after: NOTHING_AGAIN, results: false }, signal);
    return state === "running" ? "failed" : state;
  } catch {
    // What is known is that it has failed.
    signal.throwIfAborted();
    return "failed";
  }
}

async function follow(
  record: JobRecord,
  conversation: Conversation,
  { inbox, screen, signal, hold }: AttachOptions,
): Promise<Exclude<JobEnd, { type: "retry" }>> {
  const [{ pipe }, { id }, leave] = [conversation, record, new AbortController()];
  hold({
    id,
    detach: () => leave.abort(new Detached()),
    stop: () => stopEarly(pipe, id, true),
    // It is followed to its end, as every other.
    cancel: () => tell(pipe, { type: "JOB_CANCEL", id }),
  });
  const end = await followJob(conversation, {
    screen,
    jobId: id,
    isOurs: true,
    rtc: true,
    inbox,
    onStart: () => {},
    onResults: ({ files }) => void (record.files = joinFiles(record.files, files)),
    signal: AbortSignal.any([signal, leave.signal]),
  }).finally(() => hold(undefined));
  return end.type === "retry"
    ? { type: "failed", text: end.reason, arrived: { files: [], folders: [] } }
    : end;
}

/** Never throws: what cannot be written down is shown again next time. */
async function remember(record: JobRecord, seen: number): Promise<void> {
  await writeRecord({ ...record, seen: Math.max(seen, record.seen) }).catch(() => {});
}

function placesOf({ result_folders, job_folder, remote }: JobRecord, config: Config): JobPlaces {
  const store = remote && StorageConfig.fromConfig(config).getBackend(remote.backend);
  return {
    resultFolders: result_folders,
    jobFolder: job_folder ?? undefined,
    ...(store && remote ? { remote: { store, path: remote.path } } : {}),
  };
}

/**
 * Comes back to a job whose worker was lost. Throws `lost` when it cannot be found within seconds, or ended with
 * its worker before it had begun; the abort reason.
 */
export async function attachAgain(
  record: JobRecord,
  lost: WorkerLostError,
  config: Config,
  options: AttachOptions,
): Promise<Summary> {
  const { screen, signal } = options;
  for (const pauseMs of PAUSES_MS) {
    await pause(pauseMs, signal);
    signal.throwIfAborted();
    try {
      const { summary, state } = await attachToJob(record, roomOf(record), config, options);
      if (state !== "interrupted" || lost.started) return summary;
      throw lost;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Detached) throw error;
      // Where it is known to be gone, one that had not begun can as well be submitted again.
      const isGone = error instanceof UnknownJobError || error instanceof NoWorkerError;
      if (error === lost || (isGone && !lost.started)) throw lost;
      screen.show({ event: "info", text: `job ${record.id} cannot be followed: ${errorText(error)}` });
    }
  }
  // It may run: it is not submitted a second time.
  throw lost.started ? lost : new WorkerLostError(true);
}
