import { getLogger } from "@logtape/logtape";
import { join } from "node:path";
import type { PackageType } from "../protocol/message.ts";
import { formatMessage, logTexts, type Message, trackLogTexts } from "../protocol/message.ts";
import type { ScriptLine } from "../protocol/package_script.ts";
import { extractArchive } from "../storage/archive.ts";
import { inSandbox, statusFromSandbox } from "./bubblewrap.ts";
import { execute, type ExecutorOptions } from "./executor.ts";
import { readPlan } from "./package.ts";
import { withTrainer } from "./trainer_link.ts";

const logger = getLogger(["sleap-rtc", "worker", "job"]);

/** Folder, below the package's, that training writes to (PROTOCOL.md section 13.3). */
export const MODELS = "models";

/** What a job is made of. */
export interface JobInput {
  /** The ZIP, open; or the absolute folder of a package that lies unpacked. */
  source: { file: Deno.FsFile; size: number } | { folder: string };
  /** File name of the package without `.zip`. */
  stem: string;
  /** What the package was called by the peer, for errors. */
  received: string;
  /** What the client says it is; undefined to see from its scripts. */
  kind?: PackageType;
}

/** What the worker's configuration says of running jobs. */
export interface JobSettings extends Omit<ExecutorOptions, "killStrays"> {
  /** Kills every program that has this value of the mark of its job, whatever group it is in. */
  killMarked?: (mark: string) => void;
  trainCommand: readonly string[];
  trackCommand: readonly string[];
  /** Absolute; the program that runs job programs in a sandbox of their own. Undefined to run them without. */
  sandbox?: string | undefined;
}

/** How far a job has come, also when it is cut off; filled in while it runs. */
export interface JobProgress {
  /** Absolute folder in which the runs take place. */
  folder: string | undefined;
  /** Runs that ended with status 0. */
  succeeded: number;
}

/** A text message on its way to the client. */
export type Say = (text: string) => Promise<void>;

/** What is there after all runs of a job. */
export interface JobResult {
  kind: PackageType;
  /** Absolute folder whose contents are the results; undefined when there are none. */
  models: string | undefined;
  /** Predictions, absolute, after inference. */
  predictions: readonly string[];
  /** When it began, in milliseconds since 1970. */
  began: number;
  /** Runs that ended with another status than 0. */
  failed: readonly { name: string; status: number }[];
  runs: number;
}

/** What runs and stops a job. */
export interface JobControl {
  settings: JobSettings & ExecutorOptions;
  /** Told to the client. */
  say: Say;
  /** Ends the job and its programs. */
  signal: AbortSignal;
  /** Set when the job is to end early: no further run is begun, and how the present one ends is no failure. */
  readonly isStopping: boolean;
  /** Whether the client has a window for all that the trainer reports; others are told what is said of epochs. */
  readonly hasMonitor: boolean;
  /** Is given the way to the trainer that runs, and undefined when it is over. */
  holdTrainer: (tell: ((text: string) => boolean) | undefined) => void;
}

/**
 * Unpacks a package below `folder`, an existing folder of its own, and runs what its script asks for, one after
 * the other; a failed training run does not keep the next from starting (PROTOCOL.md section 12.1).
 *
 * Throws `PathValidationError` (`corrupt`), `PackageError`, `JobError`, Deno's file errors, the abort reason.
 */
export async function runJob(
  input: JobInput,
  folder: string,
  job: JobControl,
  progress: JobProgress,
): Promise<JobResult> {
  const began = Date.now();
  const root = await unpack(input, folder, job.signal);
  const plan = await readPlan(root, input.stem, input.kind);
  if (plan.lines.length === 0) {
    logger.warn("the package's {kind} script has no line to run", { kind: plan.kind });
  }
  progress.folder = plan.folder;
  const before = await labelFiles(plan.folder);
  const failed: { name: string; status: number }[] = [];
  if (plan.kind === "track") await job.say("INFERENCE_START");
  for (const line of plan.lines) {
    if (job.isStopping) break;
    const run = await runLine(line, plan.folder, { root, folder }, job);
    if (run.status === 0) progress.succeeded++;
    else if (!job.isStopping) failed.push(run);
    if (run.status !== 0 && plan.kind === "track") break;
  }
  if (plan.kind === "train") await job.say("TRAINING_JOBS_DONE");
  else if (failed.length === 0) await job.say("INFERENCE_JOBS_DONE");
  const models = join(plan.folder, MODELS);
  const after = await labelFiles(plan.folder);
  return {
    kind: plan.kind,
    models: plan.kind === "train" && await isFolder(models) ? models : undefined,
    predictions: plan.kind === "track"
      ? [...after].filter(([path, stamp]) => before.get(path) !== stamp).map(([path]) => path)
      : [],
    began,
    failed,
    runs: plan.lines.length,
  };
}

async function unpack(input: JobInput, scratch: string, signal: AbortSignal): Promise<string> {
  if ("folder" in input.source) return input.source.folder;
  const started = performance.now();
  await extractArchive(input.source, scratch, input.received, signal);
  const seconds = (performance.now() - started) / 1000;
  logger.info("read and unpacked {name} ({mb} MB) in {seconds} s", {
    name: input.stem,
    mb: (input.source.size / 1e6).toFixed(1),
    seconds: seconds.toFixed(2),
  });
  return scratch;
}

async function runLine(
  line: ScriptLine,
  cwd: string,
  { root, folder }: { root: string; folder: string },
  job: JobControl,
): Promise<{ name: string; status: number }> {
  const { settings, say, signal } = job;
  const training = line.kind === "train";
  const template = training ? settings.trainCommand : settings.trackCommand;
  const name = training ? line.runName : "inference";
  const tell = (message: Message): Promise<void> => say(formatMessage(message));
  await tell({ type: training ? "TRAIN_JOB_START" : "INFERENCE_JOB_START", name });
  const texts = training ? logTexts : trackLogTexts;
  const onOutput = async (piece: string): Promise<void> => {
    for (const text of texts(piece)) await say(text);
  };
  const ended = await withTrainer(line, template, job, (plain) => {
    const command = inSandbox(settings.sandbox, root, folder, plain);
    logger.info("run {name}: {command}", { name, command: command.join(" ") });
    return execute(command, cwd, onOutput, signal, settings);
  });
  const status = settings.sandbox === undefined ? ended : statusFromSandbox(ended);
  logger.info("run {name} ended with status {status}", { name, status });
  // One that was asked to end has not failed, whatever its status.
  if (status === 0 || job.isStopping) {
    await tell({ type: training ? "TRAIN_JOB_END" : "INFERENCE_JOB_END", name });
  } else await tell({ type: training ? "TRAIN_JOB_ERROR" : "INFERENCE_JOB_ERROR", name, code: status });
  return { name, status };
}

/** Label files directly in a folder, with what tells a new version from an old: inference writes such a file. */
async function labelFiles(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const entry of Deno.readDir(folder)) {
    if (!entry.isFile || !entry.name.endsWith(".slp")) continue;
    const path = join(folder, entry.name);
    const { size, mtime } = await Deno.stat(path);
    found.set(path, `${size} ${mtime?.getTime()}`);
  }
  return found;
}

/** Whether there is a folder; a link to one is none. */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.lstat(path)).isDirectory;
  } catch {
    return false;
  }
}
