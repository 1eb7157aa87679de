/** `plan`, and `train --dry-run`: what would happen to a package on each worker, and why. */
import type { Command } from "commander";
import { dirname, resolve } from "node:path";
import { loadConfig } from "../config/load.ts";
import { configureLog } from "../config/log.ts";
import { sizeText } from "../config/progress.ts";
import { ConfigError } from "../config/user_error.ts";
import type { PackageType } from "../protocol/message.ts";
import { printable } from "../protocol/printable.ts";
import { deletePeer } from "../signaling/account.ts";
import { StorageConfig } from "../storage/backend.ts";
import { noWorker, NoWorkerError, rankWorkers, type WorkerInfo } from "./choose_worker.ts";
import { dryRun, type FilePlan, namedFiles, packageFiles, type Subject, type WorkerPlan } from "./dry_run.ts";
import { checkRoom, withRoomOptions } from "./flags.ts";
import { areLabels, checkPackage } from "./given_package.ts";
import { type JobFlags, wishesOf, withWishOptions } from "./job_flags.ts";
import { backendOrder, checkWishes } from "./plan.ts";
import { enterRoom, listWorkers, needsOf } from "./room.ts";
import { table } from "./screen.ts";

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

No worker is asked, and nothing is sent or copied. Exit code 1 when no worker could take the job.`;

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

/** Prints the plan of a package. Throws `UserError`s, {@link NoWorkerError} when no worker could take the job. */
export async function showPlan(
  kind: PackageType,
  path: string,
  configs: readonly string[],
  flags: JobFlags,
): Promise<void> {
  checkRoom(flags);
  await configureLog(flags);
  const config = loadConfig(flags);
  const wishes = wishesOf(flags, config.client);
  const needs = needsOf({ ...flags, ...wishes });
  const storage = StorageConfig.fromConfig(config);
  const { storageBackend: preferredBackend, userSubdir, transfer } = wishes;
  checkWishes({ storage, preferredBackend, userSubdir });
  const subject: Subject = {
    ...await examine(kind, path, configs),
    kind,
    storage,
    legacyRoot: config.sharedStorageRoot,
    preferredBackend,
    userSubdir,
    transfer,
    needs,
  };
  const { signaling, worker } = await enterRoom(
    config,
    flags,
    AbortSignal.timeout(config.connectionTimeout * 2000),
  );
  try {
    const workerId = worker ?? flags.workerId;
    const all = await listWorkers(signaling);
    const asked = all.filter(({ peerId }) => workerId === undefined || peerId === workerId);
    const plans = await dryRun(subject, rankWorkers(asked, backendOrder(storage, preferredBackend)));
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
  );
}

/** Where a package lies and what it is made of. Throws {@link ConfigError} for what is none. */
async function examine(
  kind: PackageType,
  path: string,
  configs: readonly string[],
): Promise<Pick<Subject, "packagePath" | "isFolder" | "files">> {
  if (await areLabels(path, kind, configs)) {
    // The package would be made beside the labels.
    const files = await namedFiles([path, ...configs].map((each) => resolve(each)), false);
    return { packagePath: dirname(resolve(path)), isFolder: true, files };
  }
  const { packagePath, script } = await checkPackage(path, kind);
  const isFolder = script !== undefined;
  return { packagePath, isFolder, files: await packageFiles(packagePath, isFolder) };
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
