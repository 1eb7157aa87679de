/** What the signaling server is told of a job, so that it finds the worker on which it begins soonest. */
import type { Transfer } from "../config/schema.ts";
import { UserError } from "../config/user_error.ts";
import type { PackageType } from "../protocol/message.ts";
import type { QueuedJob } from "../protocol/queue.ts";
import type { StorageConfig } from "../storage/backend.ts";
import { listFiles } from "../storage/tree.ts";
import type { Needs } from "./choose_worker.ts";
import { isOutgoing } from "./outgoing_package.ts";
import { backendOrder, ownerOf } from "./plan.ts";

/** Seconds that a job waits in the queue unless somebody says otherwise: a day. */
const USUAL_WAIT_S = 86_400;
/** As many backends as a job may name. */
const MAX_BACKENDS = 64;
/** As long as the name of an owner may be. */
const MAX_OWNER = 256;

/** A package, and what is wanted for it. */
export interface WishInput {
  kind: PackageType;
  /** Absolute. */
  packagePath: string;
  isFolder: boolean;
  storage: StorageConfig;
  /** Whether there is a shared root without a name besides. */
  hasLegacyRoot: boolean;
  preferredBackend: string | undefined;
  userSubdir: string | undefined;
  transfer: Transfer;
}

/** How much a package is, and where it lies or can be put; backends by name, the preferred one first. */
export interface Footprint {
  /** Bytes; 0 when they cannot be counted, which is told later. */
  bytes: number;
  liesIn: readonly string[];
  copiesTo: readonly string[];
  /** Whose folder the package lies in. */
  owner: string | undefined;
}

/** Looks where a package lies. Throws {@link UserError} when it cannot go the way that was asked for. */
export async function footprint(input: WishInput): Promise<Footprint> {
  const { storage, packagePath, isFolder, transfer, preferredBackend } = input;
  const all = backendOrder(storage, preferredBackend).map((name) => storage.getBackend(name));
  const [bytes, holding, there] = await Promise.all([
    sizeOf(packagePath, isFolder).catch(() => 0),
    Promise.all(all.map((backend) => backend.validatePath(packagePath))),
    // A store that has to be asked over the network is taken to answer; the copy itself finds out.
    Promise.all(all.map((backend) => isFolder || backend.isObjectStore || backend.isThere())),
  ]);
  const names = (chosen: readonly boolean[]): string[] =>
    all.filter((_, at) => chosen[at]).map(({ name }) => name).slice(0, MAX_BACKENDS);
  const liesIn = transfer === "copy" || transfer === "rtc" ? [] : names(holding);
  const copies = isFolder || transfer === "in-place" || transfer === "rtc"
    ? []
    : names(there.map((is, at) => is && !(holding[at] && transfer === "auto")));
  if (transfer === "in-place" && liesIn.length === 0) {
    throw new UserError(
      `in place is not possible: ${packagePath} lies in no storage backend of this machine`,
      {
        code: "TRANSFER_IMPOSSIBLE",
        hint: all.length === 0
          ? "none is configured: add a [storage.NAME] section to sleap-rtc.toml"
          : `there are: ${all.map(({ name, basePath }) => `${name} (${basePath})`).join(", ")}`,
      },
    );
  }
  if (transfer === "copy" && copies.length === 0 && (isFolder || !input.hasLegacyRoot)) {
    throw new UserError(
      `a copy is not possible: ${isFolder ? "the package is a folder" : "no storage backend is there"}`,
      {
        code: "TRANSFER_IMPOSSIBLE",
        hint: isFolder ? "pack it as a .zip file first" : "see: sleap-rtc-client doctor",
      },
    );
  }
  const whose = input.userSubdir ?? await ownerOf(storage, packagePath) ?? "";
  return { bytes, liesIn, copiesTo: copies, owner: whose.slice(0, MAX_OWNER) || undefined };
}

/** A job for the server's queue, of a package with this footprint. */
export function queuedJob(
  id: string,
  input: Pick<WishInput, "kind" | "transfer">,
  { bytes, liesIn, copiesTo, owner }: Footprint,
  { needs, worker, waitS = USUAL_WAIT_S }: {
    needs: Needs;
    worker: string | undefined;
    waitS: number | undefined;
  },
): QueuedJob {
  // A way that is asked for needs a worker with that storage.
  const forced = input.transfer === "in-place"
    ? liesIn[0]
    : input.transfer === "copy"
    ? copiesTo[0]
    : undefined;
  const storage = needs.storage ?? forced;
  return {
    id,
    kind: input.kind,
    requires: {
      labels: [...needs.labels ?? []],
      ...(storage === undefined ? {} : { storage }),
      ...(needs.gpuMemoryMb === undefined ? {} : { gpu_memory_mb: needs.gpuMemoryMb }),
      ...(worker === undefined ? {} : { worker }),
    },
    bytes,
    lies_in: [...liesIn],
    copies_to: [...copiesTo],
    ...(owner === undefined ? {} : { owner }),
    wait_s: waitS,
    avoid: [],
  };
}

async function sizeOf(path: string, isFolder: boolean): Promise<number> {
  if (!isFolder) return (await Deno.stat(path)).size;
  const files = await listFiles(path, "follow");
  return files.filter(({ name }) => isOutgoing(name)).reduce((sum, { size }) => sum + size, 0);
}
