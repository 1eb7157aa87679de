import { getLogger } from "@logtape/logtape";
import { join } from "node:path";
import type { PackageType } from "../protocol/message.ts";
import { formatMessage, logTexts, type Message, trackLogTexts } from "../protocol/message.ts";
import { extractArchive } from "../storage/archive.ts";
import { execute, type ExecutorOptions } from "./executor.ts";
import { readPlan } from "./package.ts";
import { commandFor, type ScriptLine } from "./script.ts";

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
export interface JobSettings extends ExecutorOptions {
  trainCommand: readonly string[];
  trackCommand: readonly string[];
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
  /** Runs that ended with another status than 0. */
  failed: readonly { name: string; status: number }[];
  runs: number;
}

/**
 * Unpacks a package below `scratch`, an existing folder of its own, and runs what its script asks for, one after
 * the other; a failed training run does not keep the next from starting (PROTOCOL.md section 12.1).
 *
 * Throws `PathValidationError` (`corrupt`), `PackageError`, `JobError`, Deno's file errors, the abort reason.
 */
export async function runJob(
  input: JobInput,
  scratch: string,
  settings: JobSettings,
  say: Say,
  progress: JobProgress,
  signal: AbortSignal,
): Promise<JobResult> {
  const root = await unpack(input, scratch, signal);
  const plan = await readPlan(root, input.stem, input.kind);
  if (plan.lines.length === 0) {
    logger.warn("the package's {kind} script has no line to run", { kind: plan.kind });
  }
  progress.folder = plan.folder;
  const before = await labelFiles(plan.folder);
  const failed: { name: string; status: number }[] = [];
  if (plan.kind === "track") await say("INFERENCE_START");
  for (const line of plan.lines) {
    const template = line.kind === "train" ? settings.trainCommand : settings.trackCommand;
    const run = await runLine(line, commandFor(line, template), plan.folder, settings, say, signal);
    if (run.status === 0) progress.succeeded++;
    else failed.push(run);
    if (run.status !== 0 && plan.kind === "track") break;
  }
  if (plan.kind === "train") await say("TRAINING_JOBS_DONE");
  else if (failed.length === 0) await say("INFERENCE_JOBS_DONE");
  const models = join(plan.folder, MODELS);
  const after = await labelFiles(plan.folder);
  return {
    kind: plan.kind,
    models: plan.kind === "train" && await isFolder(models) ? models : undefined,
    predictions: plan.kind === "track"
      ? [...after].filter(([path, stamp]) => before.get(path) !== stamp).map(([path]) => path)
      : [],
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
  command: readonly string[],
  folder: string,
  settings: JobSettings,
  say: Say,
  signal: AbortSignal,
): Promise<{ name: string; status: number }> {
  const training = line.kind === "train";
  const name = training ? line.runName : "inference";
  const tell = (message: Message): Promise<void> => say(formatMessage(message));
  await tell({ type: training ? "TRAIN_JOB_START" : "INFERENCE_JOB_START", name });
  logger.info("run {name}: {command}", { name, command: command.join(" ") });
  const texts = training ? logTexts : trackLogTexts;
  const onOutput = async (piece: string): Promise<void> => {
    for (const text of texts(piece)) await say(text);
  };
  const status = await execute(command, folder, onOutput, signal, settings);
  logger.info("run {name} ended with status {status}", { name, status });
  if (status === 0) await tell({ type: training ? "TRAIN_JOB_END" : "INFERENCE_JOB_END", name });
  else await tell({ type: training ? "TRAIN_JOB_ERROR" : "INFERENCE_JOB_ERROR", name, code: status });
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

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.lstat(path)).isDirectory;
  } catch {
    return false;
  }
}
