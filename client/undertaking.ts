/** What a job has that is submitted, from its begin to its end. */
import type { Config } from "../config/load.ts";
import type { Transfer } from "../config/schema.ts";
import type { PackageType } from "../protocol/message.ts";
import type { StorageConfig } from "../storage/backend.ts";
import type { HoldJob } from "./interrupt.ts";
import type { JobLog } from "./job_log.ts";
import { type Attempt, planSubmission } from "./plan.ts";
import type { Preflight } from "./preflight/preflight.ts";
import type { ChoiceFlags, RoomFlags } from "./room.ts";
import type { Screen } from "./screen.ts";
import { type Footprint, footprint } from "./wish.ts";
import type { Target } from "./with_worker.ts";

/** A job as the command line gives it. */
export interface JobRequest extends RoomFlags, ChoiceFlags {
  kind: PackageType;
  /** Absolute path of the package. */
  packagePath: string;
  /** The package is a folder, and this its script; undefined for a ZIP. */
  script: string | undefined;
  /** Absolute, existing folder that results go to. */
  outputDir: string;
  storageBackend: string | undefined;
  userSubdir: string | undefined;
  transfer: Transfer;
  /** The look into the package; undefined for none. Its signal, or one that follows it, ends the job. */
  preflight?: Preflight | undefined;
  /** Leave when the job has begun. */
  detach?: boolean;
}

/** Where the package lies, and how much it is. */
export function weigh(request: JobRequest, config: Config, storage: StorageConfig): Promise<Footprint> {
  const { script, storageBackend } = request;
  return footprint({
    ...request,
    isFolder: script !== undefined,
    storage,
    hasLegacyRoot: config.sharedStorageRoot !== undefined,
    preferredBackend: storageBackend,
  });
}

/** What a submission has from its begin to its end, over all attempts. */
export interface Undertaking {
  request: JobRequest;
  config: Config;
  storage: StorageConfig;
  weighing: Promise<Footprint>;
  /** Absolute, empty folder into which results come over the channel. */
  inbox: string;
  /** When the program began, by `performance.now()`. */
  began: number;
  log: JobLog;
  screen: Screen;
  signal: AbortSignal;
  hold: HoldJob;
}

/** The ways to try with a worker. Throws as `planSubmission` does. */
export function planFor({ request, config, storage }: Undertaking, target: Target): Promise<Attempt[]> {
  return planSubmission({
    packagePath: request.packagePath,
    isFolder: request.script !== undefined,
    storage,
    legacyRoot: config.sharedStorageRoot,
    workerBackends: target.backends,
    preferredBackend: request.storageBackend,
    userSubdir: request.userSubdir,
    transfer: request.transfer,
  });
}
