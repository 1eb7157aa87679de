/** `plan`, and `train --dry-run`: what would happen to a package on each worker, and why. */
import type { Command } from "commander";
import { dirname, resolve } from "node:path";
import { type Config, loadConfig } from "../config/load.ts";
import { configureLog } from "../config/log.ts";
import { sizeText } from "../config/progress.ts";
import { ConfigError } from "../config/user_error.ts";
import type { PackageType } from "../protocol/message.ts";
import { printable } from "../protocol/printable.ts";
import { deletePeer } from "../signaling/account.ts";
import { StorageConfig } from "../storage/backend.ts";
import { noWorker, NoWorkerError, rankWorkers, type WorkerInfo } from "./choose_worker.ts";
import { dryRun, type FilePlan, namedFiles, packageFiles, type Subject, type WorkerPlan } from "./dry_run.ts";
import { checkRoom, interruptible, withRoomOptions } from "./flags.ts";
import { areLabels, checkPackage } from "./given_package.ts";
import { type JobFlags, wishesOf, withWishOptions } from "./job_flags.ts";
import { backendOrder, checkWishes } from "./plan.ts";
import { preflight } from "./preflight/preflight.ts";
import { isAbsolute } from "./preflight/questions.ts";
import { enterRoom, listWorkers, needsOf } from "./room.ts";
import { type Screen, screenFor, table } from "./screen.ts";

/** Files that are shown one by one; `--json` has all. */
const MAX_SHOWN = 40;

const EXAMPLES = `
Examples:
  sleap-rtc-client plan training.zip --session-string sleap-session:eyJy...
  For each worker of a room:
    sleap-rtc-client plan training.zip --room-id 1a2b3c4d --token 5e6f70
  Would it be possible without moving the package?
    sleap-rtc-client plan training.zip --room-id 1a2b3c4d --token 5e6f70 --transfer in-place
  Labels and configurations instead of a package:
    sleap-rtc-client plan labels.pkg.slp centroid.yaml --room-id 1a2b3c4d --token 5e6f70 --json

No worker is asked, and nothing is sent or copied. Exit code 3 when no worker could take the job.`;

/** Adds `plan`. */
export function addPlanCommand(program: Command): void {
  const command = program.command("plan")
    .argument("<package>", "the package: a .zip file, or the folder it was unpacked to")
    .argument("[configs...]", "sleap-nn configurations to train, where the package is a .slp file")
    .description("Say what would happen to a package on each worker, file by file, and why.")
    .option("--kind <kind>", "`train` or `track`", parseKind, "train");
  withWishOptions(withRoomOptions(command)).addHelpText("after", EXAMPLES).action(() => {
    const [path = "", ...configs] = command.args;
    const { kind, ...flags } = command.opts<JobFlags & { kind: PackageType }>();
    return showPlan(kind, path, configs, flags);
  });
}

function parseKind(text: string): PackageType {
  if (text === "train" || text === "track") return text;
  throw new ConfigError(`--kind: expected train or track, found "${text}"`);
}

/**
 * Prints the plan of a package. Throws `UserError`s, as for a package that `train` would not submit,
 * {@link NoWorkerError} when no worker could take the job.
 */
export async function showPlan(
  kind: PackageType,
  path: string,
  configs: readonly string[],
  flags: JobFlags,
): Promise<void> {
  checkRoom(flags);
  await configureLog(flags);
  const config = loadConfig(flags);
  const { storageBackend: preferredBackend, userSubdir, transfer, ...wishes } = wishesOf(
    flags,
    config.client,
  );
  const storage = StorageConfig.fromConfig(config);
  checkWishes({ storage, preferredBackend, userSubdir });
  const screen = await screenFor(flags);
  await interruptible(screen, "nothing was changed", async (signal) => {
    const found = await (await areLabels(path, kind, configs)
      ? examineLabels(path, configs, signal)
      : examinePackage(kind, path, flags.preflight ?? true, screen, signal));
    const legacyRoot = config.sharedStorageRoot;
    const needs = needsOf({ ...flags, ...wishes });
    const subject = { ...found, kind, storage, legacyRoot, preferredBackend, userSubdir, transfer, needs };
    await planInRoom(subject, config, flags, signal);
  });
}

async function planInRoom(
  subject: Subject,
  config: Config,
  flags: JobFlags,
  signal: AbortSignal,
): Promise<void> {
  const { signaling, worker } = await enterRoom(config, flags, signal);
  try {
    const workerId = worker ?? flags.workerId;
    const all = await listWorkers(signaling);
    const asked = all.filter(({ peerId }) => workerId === undefined || peerId === workerId);
    const ours = backendOrder(subject.storage, subject.preferredBackend);
    const plans = await dryRun(subject, rankWorkers(asked, ours));
    print(plans, subject, flags);
    if (!plans.some(({ suitable }) => suitable)) throw reasonFor(plans, all, workerId);
  } finally {
    signaling.close();
    await deletePeer(config.signalingHttp, signaling.peerId);
  }
}

function reasonFor(
  plans: readonly WorkerPlan[],
  all: readonly WorkerInfo[],
  workerId?: string,
): NoWorkerError {
  if (plans.length === 0) return noWorker(all, {}, workerId);
  return new NoWorkerError(
    `no worker could take the job: ${plans.map(({ worker, why }) => `${worker} (${why})`).join(", ")}`,
    {
      hint:
        "ask for less (--transfer, --required-storage, --min-gpu-memory, --label), or start another worker",
    },
  );
}

type Found = Pick<Subject, "packagePath" | "isFolder" | "files">;

/** Where a package lies, what it is made of, and what it names. Throws `UserError`s for one that cannot succeed. */
async function examinePackage(
  kind: PackageType,
  path: string,
  looksInside: boolean,
  screen: Screen,
  signal: AbortSignal,
): Promise<Found> {
  const { packagePath, script } = await checkPackage(path, kind);
  const isFolder = script !== undefined;
  const questions = looksInside
    ? await preflight({ path: packagePath, isFolder, kind }, screen, signal)
    : undefined;
  const named = await namedFiles(questions?.files.map((each) => each.path) ?? [], true);
  return { packagePath, isFolder, files: [...await packageFiles(packagePath, isFolder), ...named] };
}

/** The package that would be made of labels, beside them, and the videos that they name. */
async function examineLabels(path: string, configs: readonly string[], signal: AbortSignal): Promise<Found> {
  const labels = resolve(path);
  const { inspectLabels } = await import("./preflight/labels.ts");
  const report = await inspectLabels(
    { path: labels, offset: 0, size: (await Deno.stat(labels)).size },
    signal,
  );
  const videos = "facts" in report
    ? report.facts.videos.flatMap((video) => video.files).filter(isAbsolute)
    : [];
  const files = await namedFiles([labels, ...configs.map((each) => resolve(each))], false);
  return {
    packagePath: dirname(labels),
    isFolder: true,
    files: [...files, ...await namedFiles(videos, true)],
  };
}

function print(plans: readonly WorkerPlan[], subject: Subject, flags: Pick<JobFlags, "json">): void {
  if (flags.json) {
    plans.forEach((plan, at) =>
      console.log(JSON.stringify({ event: "plan", best: at === 0 && plan.suitable, ...plan }))
    );
    return;
  }
  const size = subject.files.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
  console.log(
    `package: ${printable(subject.packagePath)}, ${sizeText(size)} in ${filesText(subject.files.length)}\n`,
  );
  if (plans.length === 0) return;
  console.log(table([["worker", "status", "method", "to move", "expected", "why"], ...plans.map(planRow)]));
  const [best] = plans;
  if (!best?.suitable) return;
  const rows = best.files.slice(0, MAX_SHOWN).map(fileRow);
  console.log(`\non worker ${printable(best.worker)}:\n${table([["file", "what", "size", "why"], ...rows])}`);
  if (best.files.length > MAX_SHOWN) {
    console.log(`and ${filesText(best.files.length - MAX_SHOWN)} more; --json has all`);
  }
  if (best.then.length > 0) console.log(`\nshould that not work: ${best.then.join(", then ")}`);
}

function filesText(count: number): string {
  return `${count} ${count === 1 ? "file" : "files"}`;
}

function planRow({ worker, status, suitable, method, bytes, seconds, why }: WorkerPlan): string[] {
  return [
    worker,
    status,
    method ?? "none",
    suitable ? sizeText(bytes) : "",
    seconds === null ? "" : `${Math.ceil(seconds)} s`,
    why,
  ];
}

function fileRow({ file, fate, bytes, why }: FilePlan): string[] {
  return [file, fate, bytes === null ? "" : sizeText(bytes), why];
}
