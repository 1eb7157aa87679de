/** Flags of the commands that submit a job, and of `plan`, which only says what would happen. */
import { type Command, Option } from "commander";
import type { Config } from "../config/load.ts";
import { MAX_WAIT, type Transfer, TRANSFERS } from "../config/schema.ts";
import { ConfigError } from "../config/user_error.ts";
import type { PackageType } from "../protocol/message.ts";
import type { FetchAtEndFlags } from "./fetch_job.ts";
import { type CommonFlags, withFetchOptions, withMemoryOption } from "./flags.ts";
import type { ChoiceFlags } from "./room.ts";

const SECONDS: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400, w: 7 * 86_400 };
/** What a job can ask for, see `requirementsSchema`. */
const MAX_LABELS = 16;
const MAX_LABEL_CHARS = 64;

/** Flags of {@link withJobOptions}. */
export interface JobFlags extends CommonFlags, ChoiceFlags, FetchAtEndFlags {
  sharedStorageRoot?: string;
  storageBackend?: string;
  userSubdir?: string;
  transfer?: Transfer;
  outputDir?: string;
  detach?: boolean;
  preflight?: boolean;
  dryRun?: boolean;
}

/** What flags, or else the configuration, ask for. */
export type Wishes = Pick<ChoiceFlags, "requiredStorage" | "label" | "wait"> & {
  storageBackend: string | undefined;
  userSubdir: string | undefined;
  transfer: Transfer;
};

/** Adds {@link JobFlags}. */
export function withJobOptions(command: Command): Command {
  const wishes = withWishOptions(command)
    .option("--output-dir <folder>", "where results go (default: the folder that holds the package)");
  return withFetchOptions(wishes)
    .option("--detach", "leave when the job has begun; `attach` comes back to it")
    .option("--no-preflight", "do not look into the package first, see `check`")
    .option(
      "--wait <duration>",
      "wait so long for a free worker: 2h, 30m; 0 for not at all (default: 24h)",
      parseWait,
    )
    .option("--dry-run", "only say what would happen, as `plan` does");
}

/** Adds the flags that say which worker, and how the package goes there. */
export function withWishOptions(command: Command): Command {
  return withMemoryOption(command)
    .option("--worker-id <id>", "this worker of the room; the job waits for it")
    .option("--auto-select", "the worker on which the job begins soonest, without asking")
    .option("--required-storage <name>", "only workers that have this storage backend")
    .option("--label <label>", "only workers with this label; may be given again", collectLabel)
    .addOption(
      new Option("--transfer <way>", "how the package goes to the worker: this way or none (default: auto)")
        .choices([...TRANSFERS]),
    )
    .option("--storage-backend <name>", "the storage backend to use (default: one that both sides have)")
    .option(
      "--user-subdir <folder>",
      "folder below the backend in which copies are made (default: the user's folder that the package lies in)",
    )
    .option(
      "--shared-storage-root <folder>",
      "one shared folder, the backend `default`; also SHARED_STORAGE_ROOT",
    );
}

/** The help's examples of `train` and `track`. */
export function jobExamples(kind: PackageType): string {
  return `
Examples:
  sleap-rtc-client ${kind} package.zip --session-string sleap-session:eyJy...
  sleap-rtc-client ${kind} package.zip --room-id 1a2b3c4d --token 5e6f70 --auto-select --output-dir results
  Only where the package lies already, on a GPU with 24000 MiB, and wait for one until tomorrow:
    sleap-rtc-client ${kind} package.zip --room-id 1a2b3c4d --token 5e6f70 --transfer in-place \\
      --min-gpu-memory 24000 --wait 24h
  Only on workers that have a storage and a label:
    sleap-rtc-client ${kind} package.zip --room-id 1a2b3c4d --token 5e6f70 --required-storage vast --label a100
  Say what would happen, and do nothing:
    sleap-rtc-client ${kind} package.zip --room-id 1a2b3c4d --token 5e6f70 --dry-run`;
}

/** The flags' wishes over the configuration's. */
export function wishesOf(flags: JobFlags, client: Config["client"]): Wishes {
  const requiredStorage = flags.requiredStorage ?? client.requiredStorage;
  const wait = flags.wait ?? client.wait;
  return {
    storageBackend: flags.storageBackend ?? client.storageBackend,
    userSubdir: flags.userSubdir ?? client.userSubdir,
    transfer: flags.transfer ?? client.transfer,
    label: flags.label ?? client.labels,
    ...(requiredStorage === undefined ? {} : { requiredStorage }),
    ...(wait === undefined ? {} : { wait }),
  };
}

/** A duration from the command line (`90`, `30m`, `2h`, `1d`), in seconds. Throws {@link ConfigError}. */
export function parseWait(text: string): number {
  const [, digits, unit = ""] = /^(\d{1,7})([smhdw]?)$/.exec(text) ?? [];
  const seconds = digits === undefined ? Infinity : Number(digits) * SECONDS[unit]!;
  if (seconds <= MAX_WAIT) return seconds;
  throw new ConfigError(`expected a time to wait such as 30m, 2h or 0, at most 30d, found "${text}"`);
}

function collectLabel(label: string, earlier: readonly string[] = []): string[] {
  if (label.length > 0 && label.length <= MAX_LABEL_CHARS && earlier.length < MAX_LABELS) {
    return [...earlier, label];
  }
  throw new ConfigError(
    `expected at most ${MAX_LABELS} labels of 1 to ${MAX_LABEL_CHARS} characters, found "${
      label.slice(0, 80)
    }"`,
  );
}
