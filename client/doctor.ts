/** `doctor`: checks a setup from end to end, and says of each part whether it works and what to do if not. */
import { homedir } from "node:os";
import { join } from "node:path";
import type { Check } from "../config/checkup.ts";
import { reportChecks } from "../config/checkup_report.ts";
import type { Config } from "../config/load.ts";
import { CLIENT_PERMISSIONS } from "../config/permissions.ts";
import { examineSettings, runtimeChecks } from "../config/setup_checks.ts";
import { parseSession } from "../protocol/session_string.ts";
import { iceChecks } from "../rtc/ice_checks.ts";
import type { RoomKey } from "../signaling/account.ts";
import { SERVER_CHECKS_MS, serverChecks } from "../signaling/server_checks.ts";
import { StorageConfig } from "../storage/backend.ts";
import { backendChecks } from "../storage/backend_check.ts";
import { backendLeftoverCheck, leftoverCheck } from "../storage/leftover_check.ts";
import { packageSize } from "../storage/space.ts";
import type { CommonFlags } from "./flags.ts";
import { INBOX_PREFIX } from "./results.ts";
import { loadLibrary } from "./with_worker.ts";
import { workerChecks } from "./worker_checks.ts";

/** Flags of `doctor`. */
export interface DoctorFlags extends CommonFlags {
  workerId?: string;
  sharedStorageRoot?: string;
  /** Checks that there is room for this file. */
  package?: string;
}

/** What was left so long ago, in milliseconds, is not in use any more: jobs are given three days. */
const LEFT_MS = 3 * 24 * 3_600_000;

/** Runs all checks and shows what they find. Throws `ExitCode` when something does not work, `ConfigError`. */
export async function doctor(flags: DoctorFlags): Promise<void> {
  const room = roomOf(flags);
  const packageBytes = await packageSize(flags.package);
  const { config, check } = examineSettings(flags);
  const checks = config ? configuredChecks(config, flags, room, packageBytes) : [];
  await reportChecks([...runtimeChecks("sleap-rtc-client", CLIENT_PERMISSIONS), check, ...checks], flags);
}

function roomOf({ sessionString, roomId, token }: DoctorFlags): RoomKey | undefined {
  if (sessionString !== undefined) return parseSession(sessionString);
  return roomId === undefined || token === undefined ? undefined : { roomId, token };
}

function configuredChecks(
  config: Config,
  flags: DoctorFlags,
  room: RoomKey | undefined,
  packageBytes: number | undefined,
): Check[] {
  const { signalingHttp, signalingWebsocket, relayOnly } = config;
  const storage = StorageConfig.fromConfig(config);
  const backends = storage.listBackends().map((name) => storage.getBackend(name));
  const { userSubdir, outputDir = Deno.cwd() } = config.client;
  const { checks: ofServer, facts } = serverChecks({ signalingHttp, signalingWebsocket, room });
  const loading = loadLibrary();
  // Its check tells why it could not be loaded.
  loading.catch(() => {});
  const servers = facts.iceServers.then((told) => [...config.iceServers, ...told]);
  return [
    ...backendChecks(backends, { role: "client", userSubdir, packageBytes }),
    ...ofServer,
    ...iceChecks({ loading, servers, serversMs: SERVER_CHECKS_MS, relayOnly }),
    ...(room ? workerChecks(config, flags, facts.isOpen, SERVER_CHECKS_MS) : []),
    ...backends.filter(({ isObjectStore }) => !isObjectStore).map(backendLeftoverCheck),
    leftoverCheck(
      `leftovers in ${outputDir}`,
      [outputDir, join(homedir(), ".sleap-rtc")].map((folder) => ({
        folder,
        prefixes: [INBOX_PREFIX, ".sleap-rtc-package-"],
        olderThanMs: LEFT_MS,
      })),
      "unless a job of this machine still runs, remove them",
    ),
  ];
}
