/** The worker's launcher: reads flags and configuration, then starts the engine with exactly the permissions it needs. */
import { getLogger } from "@logtape/logtape";
import type { Command } from "commander";
import { tmpdir } from "node:os";
import { addCompletions } from "../config/completions.ts";
import { type Config, loadConfig } from "../config/load.ts";
import { configureLog, type LogFormat } from "../config/log.ts";
import { createProgram, logFormatOption, runProgram } from "../config/program.ts";
import { ConfigError } from "../config/user_error.ts";
import { removeForsaken } from "../storage/incoming.ts";
import { removeForsakenFolders } from "../storage/own_folder.ts";
import type { DoctorFlags } from "./doctor.ts";
import type { WorkerFlags } from "./flags.ts";
import type { EngineSettings } from "./engine_messages.ts";
import { type JobSandbox, SANDBOX_PREFIX } from "./bubblewrap.ts";
import { hostProperties, listGpus } from "./host.ts";
import { jobEnvironment, jobSandbox, resolveCommand } from "./job_programs.ts";
import { killMarked, launchEngine, type Registered } from "./launch.ts";
import { recoverJobs } from "./recover.ts";
import { reportSandbox } from "./sandbox_check.ts";
import { leaveScratch, makeLasting, makeScratch } from "./scratch.ts";
import { splitPaths, withinLimits } from "./storage_access.ts";

const logger = getLogger(["sleap-rtc", "worker"]);

interface Flags extends WorkerFlags {
  checkSandbox?: boolean;
  quiet?: boolean;
  logFormat?: LogFormat;
}

const EXAMPLES = `  A worker in a new room; it prints the session string that clients use:
    sleap-rtc-worker
  A worker in a room that exists, with one shared folder and no configuration file:
    sleap-rtc-worker --room-id 1a2b3c4d --token 5e6f70 --shared-storage-root /mnt/vast
  No storage outside one folder, whatever the configuration says:
    sleap-rtc-worker --allow-read=/mnt/vast --allow-write=/mnt/vast
  Whether the sandbox holds on this machine:
    sleap-rtc-worker --check-sandbox
  Whether this machine can be a worker, and what is missing:
    sleap-rtc-worker doctor`;

const DOCTOR_EXAMPLES = `
Examples:
  sleap-rtc-worker doctor
  sleap-rtc-worker doctor --config worker.toml --scratch /scratch/sleap --package training.zip

Ends with exit code 0 when nothing failed (warnings do not count), 1 otherwise.`;

/** The command line: what it understands, and what it does. */
export function createCommand(): Command {
  const program = createProgram(
    "sleap-rtc-worker",
    "Runs SLEAP training packages for clients.",
    EXAMPLES,
  )
    .option(
      "--config <file>",
      "configuration file (default: ./sleap-rtc.toml, then ~/.sleap-rtc/config.toml)",
    )
    .option("--room-id <id>", "join this room instead of making one")
    .option("--token <token>", "the room's token")
    .option(
      "--shared-storage-root <folder>",
      "one shared folder, the backend `default`; also SHARED_STORAGE_ROOT",
    )
    .option("--scratch <folder>", "where packages are unpacked (default: a private temporary folder)")
    .option("--relay-only", "connect through TURN servers only")
    .option("--allow-read <paths...>", "read no backend outside these folders", splitPaths)
    .option("--allow-write <paths...>", "write to no backend outside these folders", splitPaths)
    .option("--check-sandbox", "try from inside what the sandbox must refuse; exit code 0 if it holds")
    .option("--verbose", "log more")
    .option("--quiet", "log errors only")
    .addOption(logFormatOption())
    .option("--json", "log as JSON lines; the session as one JSON line on stdout")
    .action(serve);
  program.command("doctor")
    .description(
      "Check the setup: storage, server, network, trainer, GPU, scratch folder; takes the options above.",
    )
    .option("--package <file>", "is there room for this package? (default: for one of 7 GB)")
    .addHelpText("after", DOCTOR_EXAMPLES)
    .action((_flags: unknown, command: Command) => examine(command.optsWithGlobals<DoctorFlags>()));
  addCompletions(program);
  return program;
}

async function examine(flags: DoctorFlags): Promise<void> {
  if (flags.verbose) await configureLog(flags);
  checkRoom(flags);
  const { doctor } = await import("./doctor.ts");
  await doctor(flags);
}

async function serve(flags: Flags): Promise<void> {
  await configureLog(flags);
  const config = loadConfig(flags);
  logger.info(`configuration: ${config.file ?? "defaults"}; environment ${config.environment}`);
  for (const notice of config.notices) logger.info(notice);
  const parent = flags.scratch ?? config.worker.scratch;
  const scratch = await makeScratch(parent);
  // Looking at the sandbox leaves nothing behind.
  const lasting = flags.checkSandbox ? scratch : parent;
  const incoming = await makeLasting("incoming", lasting, scratch);
  const jobs = await makeLasting("jobs", lasting, scratch);
  await removeForsaken(incoming);
  await removeForsakenFolders(tmpdir(), SANDBOX_PREFIX, scratch);
  await recoverJobs(jobs, killMarked);
  logger.info(
    config.roomSecret === undefined
      ? "no room secret is set: whoever is in the room is served, and the signaling server is trusted"
      : "only clients that prove the room secret are served",
  );
  let sandbox: JobSandbox | undefined;
  try {
    const { allowRead, allowWrite } = flags;
    const wanted = await engineSettings(flags, config, { scratch, incoming, jobs });
    const allowed = await withinLimits(wanted, { allowRead, allowWrite });
    sandbox = await jobSandbox(config.worker, allowed);
    const settings = { ...allowed, jobSandbox: sandbox?.program };
    if (flags.checkSandbox) await reportSandbox(settings);
    else await launchEngine(settings, (room) => announce(room, flags));
  } finally {
    await sandbox?.remove();
    await leaveScratch(scratch);
  }
}

/** Throws {@link ConfigError} for half of a room's name. */
function checkRoom({ roomId, token }: Flags): void {
  if ((roomId === undefined) === (token === undefined)) return;
  throw new ConfigError("--room-id and --token belong together; give both, or neither to make a new room");
}

async function engineSettings(
  flags: Flags,
  config: Config,
  folders: Pick<EngineSettings, "scratch" | "incoming" | "jobs">,
): Promise<EngineSettings> {
  checkRoom(flags);
  const gpus = await listGpus();
  const { verbose = false, quiet = false, json = false, logFormat } = flags;
  return {
    signalingHttp: config.signalingHttp,
    signalingWebsocket: config.signalingWebsocket,
    connectionTimeout: config.connectionTimeout,
    roomSecret: config.roomSecret,
    iceServers: config.iceServers,
    relayOnly: config.relayOnly,
    room: flags.roomId === undefined || flags.token === undefined
      ? undefined
      : { roomId: flags.roomId, token: flags.token },
    storage: config.storage,
    legacyRoot: config.sharedStorageRoot,
    ...folders,
    maxJobs: config.worker.maxJobs ?? Math.max(1, gpus.length),
    labels: config.worker.labels,
    gpus,
    timeLimitMs: config.worker.jobTimeLimit === undefined ? undefined : config.worker.jobTimeLimit * 1000,
    trainCommand: await resolveCommand(config.worker.trainCommand, "training"),
    trackCommand: await resolveCommand(config.worker.trackCommand, "inference"),
    jobEnvironment: jobEnvironment(config.worker.jobEnvironment),
    properties: await hostProperties(),
    log: { verbose, quiet, json, ...(logFormat && { logFormat }) },
  };
}

function announce(room: Registered, flags: Flags): void {
  const { session, roomId, token, peerId } = room;
  if (flags.json) {
    console.log(JSON.stringify({ event: "registered", session, room_id: roomId, token, peer_id: peerId }));
    return;
  }
  console.log(`\nThis worker is ready. Session string for clients:\n\n  ${session}\n`);
  console.log(`or room and token:\n\n  --room-id ${roomId} --token ${token}\n`);
}

if (import.meta.main) Deno.exit(await runProgram(createCommand(), Deno.args));
