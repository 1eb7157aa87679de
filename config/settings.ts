/** The settings as a list, for people and scripts that want to see them. */
import { type ConfigFlags, realSurroundings, type Surroundings, traceConfig } from "./load.ts";
import { withoutCredentials } from "./mistake.ts";
import { SECRET_KEY } from "./schema.ts";

/** One effective value. */
export interface Setting {
  /** As in the file, e.g. `storage.vast.base_path`; those that no file has: `file`, `environment`, … */
  key: string;
  /** Undefined when it is not set and has no default. */
  value: string | number | boolean | readonly string[] | undefined;
  /** `default`, `file sleap-rtc.toml:12`, `environment SLEAP_RTC_ENV`, `--shared-storage-root`, `detected`, … */
  source: string;
}

/** The effective settings of a machine. */
export interface ExplainedConfig {
  settings: readonly Setting[];
  /** What a person should know about how they came about. */
  notices: readonly string[];
}

/**
 * All effective values, each with where it came from; without passwords, and of the room secret only that it is set.
 * Throws as `loadConfig` does.
 */
export function explainConfig(
  flags: ConfigFlags = {},
  surroundings: Surroundings = realSurroundings(),
): ExplainedConfig {
  const { config, sources } = traceConfig(flags, surroundings);
  const values: [string, Setting["value"]][] = [
    ["file", config.file],
    ["environment", config.environment],
    ["signaling_websocket", withoutCredentials(config.signalingWebsocket)],
    ["signaling_http", withoutCredentials(config.signalingHttp)],
    ["default.connection_timeout", config.connectionTimeout],
    [`default.${SECRET_KEY}`, config.roomSecret === undefined ? undefined : "(set)"],
    ...config.iceServers.flatMap(({ urls, username, credential }, index): [string, Setting["value"]][] => [
      [`default.ice_servers.${index}.urls`, urls],
      [`default.ice_servers.${index}.username`, username],
      [`default.ice_servers.${index}.credential`, credential === undefined ? undefined : "***"],
    ]),
    ["default.ice_transport", config.relayOnly ? "relay" : "all"],
    ["shared_storage_root", config.sharedStorageRoot],
    ...config.storage.flatMap((entry): [string, Setting["value"]][] => [
      [`storage.${entry.name}.base_path`, entry.basePath],
      [`storage.${entry.name}.type`, entry.type],
      [`storage.${entry.name}.description`, entry.description],
      [`storage.${entry.name}.confine_to_user_subdir`, entry.confineToUserSubdir],
    ]),
    ["worker.scratch", config.worker.scratch],
    ["worker.max_jobs", config.worker.maxJobs],
    ["worker.labels", config.worker.labels],
    ["worker.job_time_limit", config.worker.jobTimeLimit],
    ["worker.job_environment", config.worker.jobEnvironment],
    ["worker.sandbox", config.worker.sandbox],
    ["worker.sandbox_network", config.worker.sandboxNetwork],
    ["worker.sandbox_read", config.worker.sandboxRead],
    ["worker.jobs.train.command", config.worker.trainCommand],
    ["worker.jobs.track.command", config.worker.trackCommand],
    ["client.storage_backend", config.client.storageBackend],
    ["client.user_subdir", config.client.userSubdir],
    ["client.output_dir", config.client.outputDir],
    ["client.required_storage", config.client.requiredStorage],
    ["client.transfer", config.client.transfer],
    ["client.labels", config.client.labels],
    ["client.wait", config.client.wait],
  ];
  const settings = values.map(([key, value]) => ({ key, value, source: sources.get(key) ?? "default" }));
  return { settings, notices: config.notices };
}
