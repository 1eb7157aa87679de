/** `doctor`: checks whether this machine can be a worker, and says of each part what to do if not. */
import { type Check, type Found, single } from "../config/checkup.ts";
import { reportChecks } from "../config/checkup_report.ts";
import type { Config } from "../config/load.ts";
import { WORKER_PERMISSIONS } from "../config/permissions.ts";
import { examineSettings, runtimeChecks } from "../config/setup_checks.ts";
import { iceChecks } from "../rtc/ice_checks.ts";
import type { RoomKey } from "../signaling/account.ts";
import { SERVER_CHECKS_MS, serverChecks } from "../signaling/server_checks.ts";
import { StorageConfig } from "../storage/backend.ts";
import { backendChecks } from "../storage/backend_check.ts";
import { backendLeftoverCheck } from "../storage/leftover_check.ts";
import { packageSize } from "../storage/space.ts";
import { scratchChecks } from "./scratch_checks.ts";
import { withinLimits } from "./storage_access.ts";
import { trainerChecks, tryJobSandbox } from "./trainer_checks.ts";
import type { WorkerFlags } from "./flags.ts";

/** Flags of `doctor`: those of the worker, and the package that has to have room. */
export interface DoctorFlags extends WorkerFlags {
  package?: string;
}

/** Which folders may be used is asked of this process, and where links lead of the disk; in milliseconds. */
const ACCESS_MS = 10_000;

/** Runs all checks and shows what they find. Throws `ExitCode` when something does not work, `ConfigError`. */
export async function doctor(flags: DoctorFlags): Promise<void> {
  const packageBytes = await packageSize(flags.package);
  const { config, check } = examineSettings(flags);
  const loading = import("../rtc/peer.ts");
  // Its check tells why it could not be loaded.
  loading.catch(() => {});
  const checks = config ? configuredChecks(config, flags, loading, packageBytes) : [];
  try {
    await reportChecks([...runtimeChecks("sleap-rtc-worker", WORKER_PERMISSIONS), check, ...checks], flags);
  } finally {
    await loading.then(({ closeLibrary }) => closeLibrary(), () => {});
  }
}

function configuredChecks(
  config: Config,
  flags: DoctorFlags,
  loading: Promise<typeof import("../rtc/peer.ts")>,
  packageBytes: number | undefined,
): Check[] {
  const { signalingHttp, signalingWebsocket, relayOnly, worker } = config;
  const storage = StorageConfig.fromConfig(config);
  const backends = storage.listBackends().map((name) => storage.getBackend(name));
  const parent = flags.scratch ?? worker.scratch;
  const { checks: ofServer, facts } = serverChecks({
    signalingHttp,
    signalingWebsocket,
    room: roomOf(flags),
  });
  const servers = facts.iceServers.then((told) => [...config.iceServers, ...told]);
  return [
    single("storage access", ACCESS_MS, () => judgeAccess(config, flags)),
    ...backendChecks(backends, { role: "worker", packageBytes }),
    ...scratchChecks(
      parent,
      packageBytes,
      worker.sandbox === "none" ? undefined : (scratch) => {
        return tryJobSandbox(worker, scratch);
      },
    ),
    ...trainerChecks(worker),
    ...ofServer,
    ...iceChecks({ loading, servers, serversMs: SERVER_CHECKS_MS, relayOnly }),
    ...backends.filter(({ isObjectStore }) => !isObjectStore).map(backendLeftoverCheck),
  ];
}

function roomOf({ roomId, token }: DoctorFlags): RoomKey | undefined {
  return roomId === undefined || token === undefined ? undefined : { roomId, token };
}

/** Whether the worker's own options leave backends out. */
async function judgeAccess(
  { storage, sharedStorageRoot: legacyRoot }: Config,
  { allowRead, allowWrite }: DoctorFlags,
): Promise<Found> {
  const allowed = await withinLimits({ storage, legacyRoot }, { allowRead, allowWrite });
  const left = storage.filter((entry) => !allowed.storage.includes(entry)).map(({ name }) => name);
  if (left.length === 0) {
    return {
      detail: storage.length === 0 ? "no backend is configured: packages come over the data channel" : "all",
    };
  }
  return {
    status: "warning",
    detail: `this worker may not use ${left.join(", ")}, and leaves that out`,
    hint:
      "--allow-read and --allow-write have to name the base paths, and where they lead when they are links",
  };
}
