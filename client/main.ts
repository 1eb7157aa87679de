/** The client's command line. */
import type { Command } from "commander";
import { dirname, resolve } from "node:path";
import { EXIT, exitCodeOf } from "../config/error_code.ts";
import { type Config, loadConfig } from "../config/load.ts";
import { configureLog } from "../config/log.ts";
import { createProgram, ExitCode, runProgram } from "../config/program.ts";
import { addCompletions } from "../config/completions.ts";
import { KNOWN_VALUES } from "./known_values.ts";
import { ConfigError, errorText, UserError } from "../config/user_error.ts";
import type { PackageType } from "../protocol/message.ts";
import { makePackage } from "./bare_labels.ts";
import { addCheckCommand } from "./check_command.ts";
import { addConfigCommands } from "./config_command.ts";
import { checkFetch, fetchAtEnd } from "./fetch_job.ts";
import { checkRoom, interruptible, namesRoom, withMemoryOption, withRoomOptions } from "./flags.ts";
import type { DoctorFlags } from "./doctor.ts";
import { areLabels, checkPackage } from "./given_package.ts";
import { runClientJob } from "./job.ts";
import { WorkerLostError } from "./job_error.ts";
import { addJobCommands } from "./job_commands.ts";
import { jobExamples, type JobFlags, wishesOf, withJobOptions } from "./job_flags.ts";
import { Preflight } from "./preflight/preflight.ts";
import { closeConnections, withWorker } from "./with_worker.ts";
import { addPlanCommand, showPlan } from "./plan_command.ts";
import { addResultsCommands } from "./results_command.ts";
import { addStorageCommands } from "./storage_command.ts";
import type { JobRequest } from "./undertaking.ts";
import { addWorkersCommand } from "./workers_command.ts";
import { suggestBackends, suggestionToml } from "./suggest.ts";
import { screenFor } from "./screen.ts";

const EXAMPLES = `  Train on the worker that printed a session string:
    sleap-rtc-client train training.zip --session-string sleap-session:eyJy...
  The same with a folder in which the package lies unpacked; its results come into it:
    sleap-rtc-client train training --session-string sleap-session:eyJy...
  Labels and configurations of sleap-nn instead of a package, each configuration a run:
    sleap-rtc-client train labels.pkg.slp centroid.yaml centered_instance.yaml --session-string sleap-session:eyJy...
  Train on the best worker of a room, results into a folder of their own:
    sleap-rtc-client train training.zip --room-id 1a2b3c4d --token 5e6f70 --auto-select --output-dir results
  See who is there:
    sleap-rtc-client workers --room-id 1a2b3c4d --token 5e6f70
  Submit, close the laptop, and come back to it:
    sleap-rtc-client train training.zip --session-string sleap-session:eyJy... --detach
    sleap-rtc-client attach job_1a2b3c4d

Settings come from ./sleap-rtc.toml, else ~/.sleap-rtc/config.toml; SLEAP_RTC_SIGNALING_WS, SLEAP_RTC_SIGNALING_HTTP,
SLEAP_RTC_ENV and SHARED_STORAGE_ROOT win over the file.`;

const DOCTOR_EXAMPLES = `
Examples:
  What can be checked on this machine:
    sleap-rtc-client doctor
  Also the way to a worker, whether it sees the same storage, and whether there is room for a package:
    sleap-rtc-client doctor --session-string sleap-session:eyJy... --package training.zip

Ends with exit code 0 when nothing failed (warnings do not count), 1 otherwise.`;

const SUGGEST_EXAMPLES = `
Examples:
  sleap-rtc-client config suggest /Volumes/lab/alice/training.zip --session-string sleap-session:eyJy...`;

function jobCommand(program: Command, kind: PackageType, description: string): void {
  const command = program.command(kind).argument(
    "<package>",
    "the package: a .zip file, or the folder it was unpacked to",
  ).description(description);
  if (kind === "train") {
    command.argument("[configs...]", "sleap-nn configurations to train, where the package is a .slp file");
  }
  withJobOptions(withRoomOptions(command)).addHelpText("after", jobExamples(kind)).action(() => {
    const [packagePath = "", ...configs] = command.args;
    const flags = command.opts<JobFlags>();
    return (flags.dryRun ? showPlan : submitJob)(kind, packagePath, configs, flags);
  });
}

/** The output folder, made if need be. Throws {@link ConfigError} when it cannot be written to. */
async function makeOutputDir(path: string): Promise<string> {
  try {
    await Deno.mkdir(path, { recursive: true });
    return await Deno.realPath(path);
  } catch (error) {
    throw new ConfigError(`cannot use the output folder ${path}: ${errorText(error)}`, { cause: error });
  }
}

async function submitJob(
  kind: PackageType,
  path: string,
  configs: readonly string[],
  flags: JobFlags,
): Promise<void> {
  checkRoom(flags);
  await configureLog(flags);
  const config = loadConfig(flags);
  await checkFetch(flags, flags.detach);
  const given = await areLabels(path, kind, configs) ? undefined : await checkPackage(path, kind);
  const home = given?.script === undefined ? dirname(resolve(path)) : given.packagePath;
  const outputDir = await makeOutputDir(flags.outputDir ?? config.client.outputDir ?? home);
  if (given) return exitIfLeft(await submitPackage({ ...given, kind, outputDir }, config, flags));
  const made = await makePackage(path, configs, outputDir);
  let outcome: Outcome;
  try {
    const labelsPackage = { packagePath: made.folder, script: made.script, kind, outputDir };
    // A job that was left may still read it.
    outcome = await submitPackage(labelsPackage, config, flags);
    if (outcome === "ended") await made.removeAll();
    else console.error(`the package that was made of the labels stays in ${made.folder}`);
  } catch (error) {
    // The job may go on, and read it.
    if (error instanceof WorkerLostError && error.started) throw error;
    const left = await made.remove();
    if (left !== undefined) console.error(`warning: there are further files in ${left}; it is kept`);
    throw error;
  }
  exitIfLeft(outcome);
}

/** What became of a job that was submitted: `left at once`, by two Ctrl-C. */
type Outcome = "ended" | "left" | "left at once";

function exitIfLeft(outcome: Outcome): void {
  if (outcome === "left at once") throw new ExitCode(EXIT.interrupted);
}

/** Throws {@link ExitCode} when the job failed. */
async function submitPackage(
  job: Pick<JobRequest, "packagePath" | "script" | "kind" | "outputDir">,
  config: Config,
  flags: JobFlags,
): Promise<Outcome> {
  let hasEnded = false;
  const screen = await screenFor(flags);
  for (const text of config.notices) screen.show({ event: "info", text });
  const isLeft = await interruptible(screen, "a job that still runs is cancelled", async (signal, hold) => {
    const { packagePath: path, script, kind } = job;
    const given = { path, isFolder: script !== undefined, kind };
    using preflight = flags.preflight === false ? undefined : new Preflight(given, screen, signal);
    const summary = await runClientJob(
      {
        ...flags,
        ...job,
        ...wishesOf(flags, config.client),
        preflight,
      },
      config,
      screen,
      preflight?.signal ?? signal,
      hold,
    );
    // A job that was left is neither a success nor a failure yet.
    if (!summary) return screen.close();
    hasEnded = true;
    try {
      if (summary.ok) await fetchAtEnd(summary.job_id, flags, { config, screen }, signal);
    } finally {
      screen.close();
      screen.show({ event: "summary", summary });
    }
    if (summary.code) throw new ExitCode(exitCodeOf(summary.code));
  });
  if (isLeft) return "left at once";
  return hasEnded ? "ended" : "left";
}

async function examine(flags: DoctorFlags): Promise<void> {
  namesRoom(flags);
  // Log lines would come between the findings.
  if (flags.verbose) await configureLog(flags);
  const { doctor } = await import("./doctor.ts");
  await doctor(flags);
}

/** Prints the sections for what is proven to be the same storage; exit code 1 when nothing is. */
async function suggestStorage(path: string, flags: JobFlags): Promise<void> {
  checkRoom(flags);
  await configureLog(flags);
  const config = loadConfig(flags);
  const file = await Deno.realPath(path).catch((error: unknown) => {
    throw new ConfigError(`cannot read ${path}: ${errorText(error)}`, { cause: error });
  });
  const screen = await screenFor(flags);
  await interruptible(screen, "nothing was changed", async (signal) => {
    const found = await withWorker(flags, config, screen, signal, (connection, { backends = [] }) => {
      return suggestBackends(connection, backends, file, screen, signal);
    });
    const suggestions = found.map(({ backend, basePath }) => ({ backend, base_path: basePath }));
    if (flags.json) console.log(JSON.stringify({ event: "suggestions", suggestions }));
    else if (found.length > 0) console.log(suggestionToml(found));
    if (found.length === 0) {
      throw new UserError(`no storage backend of the worker holds ${file}`, { code: "NO_SHARED_BACKEND" });
    }
  });
}

/** The command line: what it understands, and what it does. */
export function createCommand(): Command {
  const program = createProgram("sleap-rtc-client", "Trains and runs SLEAP models on a worker.", EXAMPLES);
  jobCommand(program, "train", "Train the models of a training package.");
  jobCommand(program, "track", "Run inference with a track package.");
  addPlanCommand(program);
  addWorkersCommand(program);
  const doctor = program.command("doctor").description(
    "Check the setup: settings, storage, server, workers.",
  );
  withRoomOptions(doctor)
    .option("--worker-id <id>", "this worker of the room")
    .option("--shared-storage-root <folder>", "one shared folder, the backend `default`")
    .option("--package <file>", "is there room for this package? (default: for one of 7 GB)")
    .addHelpText("after", DOCTOR_EXAMPLES).action(examine);
  addCheckCommand(program);
  addJobCommands(program);
  addResultsCommands(program);
  addStorageCommands(program);
  const config = addConfigCommands(program);
  const suggest = config.command("suggest").argument("<file>", "a file that the worker may see as well")
    .description(
      "Find the worker's storage backend that holds a file of this machine, and print its section.",
    )
    .addHelpText("after", SUGGEST_EXAMPLES);
  withMemoryOption(withRoomOptions(suggest)).option("--worker-id <id>", "this worker of the room").action(
    suggestStorage,
  );
  addCompletions(program, KNOWN_VALUES);
  return program;
}

if (import.meta.main) {
  const code = await runProgram(createCommand(), Deno.args);
  closeConnections();
  Deno.exit(code);
}
