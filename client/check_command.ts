/** `check`: what `train` and `track` look at before they send a package, all of it shown. */
import type { Command } from "commander";
import { type Config, loadConfig } from "../config/load.ts";
import { configureLog } from "../config/log.ts";
import { sizeText } from "../config/progress.ts";
import { ConfigError } from "../config/user_error.ts";
import { ExitCode } from "../config/program.ts";
import type { PackageType } from "../protocol/message.ts";
import { StorageConfig } from "../storage/backend.ts";
import { freeSpace, SPACE_FACTOR } from "../storage/space.ts";
import { Conversation } from "./conversation.ts";
import { type CommonFlags, interruptible, namesRoom, withMemoryOption, withRoomOptions } from "./flags.ts";
import { locatePackage } from "./given_package.ts";
import { type Attempt, planSubmission } from "./plan.ts";
import { askWorker, findingsHere } from "./preflight/ask_worker.ts";
import type { PackageToCheck } from "./preflight/check.ts";
import { type Finding, findingLine } from "./preflight/finding.ts";
import type { Questions } from "./preflight/questions.ts";
import { type Screen, screenFor } from "./screen.ts";
import { withWorker } from "./with_worker.ts";

interface CheckFlags extends CommonFlags {
  kind?: string;
  workerId?: string;
  minGpuMemory?: number;
}

const EXAMPLES = `
Examples:
  sleap-rtc-client check training.zip
  sleap-rtc-client check training.zip --session-string sleap-session:eyJy...

With a worker it is asked as well: whether it sees videos that the package names, and has room to unpack it.
Exit code 1 when something keeps the package from running.`;

/** Adds the command. */
export function addCheckCommand(program: Command): void {
  const command = program.command("check").argument("<package>", "the package: a .zip file, or a folder")
    .description("Look into a package: what would keep it from running, found in seconds.")
    .option("--kind <kind>", "`train` or `track` (default: as its scripts say)")
    .option("--worker-id <id>", "this worker of the room");
  withMemoryOption(withRoomOptions(command)).addHelpText("after", EXAMPLES).action(check);
}

async function check(path: string, flags: CheckFlags): Promise<void> {
  const hasRoom = namesRoom(flags);
  await configureLog(flags);
  const config = loadConfig(flags);
  const given: PackageToCheck = { ...await locatePackage(path), kind: kindOf(flags.kind) };
  const screen = await screenFor(flags);
  let isGood = true;
  const show = (findings: readonly Finding[]): void => {
    for (const finding of findings) {
      if (flags.quiet && finding.level === "ok") continue;
      console.log(flags.json ? JSON.stringify({ event: "finding", ...finding }) : findingLine(finding));
      if (finding.level === "failure") isGood = false;
    }
  };
  await interruptible(screen, "nothing was sent", async (signal) => {
    const { checkContents } = await import("./preflight/check.ts");
    const { findings, questions } = await checkContents(given, signal);
    show(findings);
    const attempts = await attemptsFor(given, config);
    show(await roomForCopies(attempts, questions));
    show(
      hasRoom ? await askRoom(flags, config, attempts, questions, screen, signal) : findingsHere(questions),
    );
  });
  if (!isGood) throw new ExitCode(1);
}

function kindOf(text: string | undefined): PackageType | undefined {
  if (text === undefined || text === "train" || text === "track") return text;
  throw new ConfigError(`--kind: expected train or track, found "${text}"`);
}

/** The ways that a submission would try with a worker that has all of this machine's backends. */
function attemptsFor({ path, isFolder }: PackageToCheck, config: Config): Promise<Attempt[]> {
  return planSubmission({
    packagePath: path,
    isFolder,
    storage: StorageConfig.fromConfig(config),
    legacyRoot: config.sharedStorageRoot,
    workerBackends: undefined,
    preferredBackend: config.client.storageBackend,
    userSubdir: config.client.userSubdir,
  });
}

/** Whether the package fits where it would be copied, if it would be. */
async function roomForCopies(attempts: readonly Attempt[], { packedBytes }: Questions): Promise<Finding[]> {
  if (attempts[0]?.method !== "copy" || "store" in attempts[0]) return [];
  const { backend } = { backend: undefined, ...attempts[0] };
  const folder = "folder" in attempts[0] ? attempts[0].folder : attempts[0].legacyRoot;
  const file = backend === undefined ? "shared storage root" : `storage backend ${backend}`;
  const needed = packedBytes * SPACE_FACTOR;
  const free = await freeSpace(folder).catch(() => undefined);
  if (free === undefined) return [];
  const text = `${sizeText(free)} free where the package would be copied, ${sizeText(needed)} needed`;
  if (free >= needed) return [{ level: "ok", file, text }];
  const hint = "remove old job folders: sleap-rtc-client storage clean --older-than 14d --dry-run";
  return [{ level: "warning", file, text: `${text}; it would go over the data channel`, hint }];
}

async function askRoom(
  flags: CheckFlags,
  config: Config,
  attempts: readonly Attempt[],
  questions: Questions,
  screen: Screen,
  signal: AbortSignal,
): Promise<Finding[]> {
  return await withWorker({ ...flags, purpose: "look" }, config, screen, signal, (connection) => {
    const talk = { conversation: new Conversation(connection.pipe), screen, signal };
    return askWorker(talk, connection.features, questions, attempts[0]?.method === "rtc");
  });
}
