/** All settings of a program: command line over environment over file over defaults. */
import { getLogger } from "@logtape/logtape";
import { type ConfigFile, parseConfig, readConfigFile, sourceInFile, tableKeys } from "./file.ts";
import { ConfigFileError, locate, type Mistake, withoutCredentials } from "./mistake.ts";
import {
  type FileContent,
  isS3Path,
  JOB_ENVIRONMENT,
  MIN_SECRET_LENGTH,
  SECRET_KEY,
  SECRET_RULE,
  SECRET_VARIABLE,
  type Transfer,
} from "./schema.ts";
import { detectRoot, findRoot, KNOWN_MOUNTS, namedRoot, type SharedRoot } from "./shared_root.ts";
import { expandPath, platformKey, realSurroundings, type Surroundings } from "./surroundings.ts";

export { expandPath, KNOWN_MOUNTS, parseConfig, realSurroundings, type Surroundings };

const logger = getLogger(["sleap-rtc", "config"]);

/** One configured storage backend. */
export interface StorageEntry {
  name: string;
  /** Absolute, not resolved, and may not exist; or `s3://bucket[/prefix]` as it was written. */
  basePath: string;
  /** `local`, `nfs`, …: told to people, not acted upon. */
  type: string;
  description: string;
  /** Whether jobs are kept to the folder of the user that they name; loaded settings always say. Default: false. */
  confineToUserSubdir?: boolean;
}

/** A STUN or TURN server; one with user and password where it is a TURN server. */
export type IceServerEntry = FileContent["default"]["ice_servers"][number];

/** All settings of a program, from file, environment, flags and defaults. */
export interface Config {
  /** The file that was read; undefined when there is none. */
  file: string | undefined;
  environment: string;
  signalingWebsocket: string;
  signalingHttp: string;
  /** Seconds. */
  connectionTimeout: number;
  /** What both sides of a connection prove to know; undefined where no proof is asked for. Never shown. */
  roomSecret: string | undefined;
  /** Used before those that the signaling server tells of. Holds passwords: not for the log. */
  iceServers: readonly IceServerEntry[];
  /** Whether to connect through TURN servers only. */
  relayOnly: boolean;
  /** Sorted by name. */
  storage: readonly StorageEntry[];
  /** The one root of the legacy flow; absolute. */
  sharedStorageRoot: string | undefined;
  worker: {
    scratch: string | undefined;
    /** Jobs at once; undefined for one per GPU. */
    maxJobs: number | undefined;
    /** What jobs may ask for by name. */
    labels: readonly string[];
    /** Seconds that a job may take; undefined for any time. */
    jobTimeLimit: number | undefined;
    /** Names of the environment variables that jobs see. */
    jobEnvironment: readonly string[];
    /** What job programs run in: `bwrap` is bubblewrap. */
    sandbox: "none" | "bwrap";
    /** Whether job programs in a sandbox see the network. */
    sandboxNetwork: boolean;
    /** Absolute paths that job programs in a sandbox may read besides the system's. */
    sandboxRead: readonly string[];
    trainCommand: readonly string[];
    trackCommand: readonly string[];
  };
  client: {
    storageBackend: string | undefined;
    userSubdir: string | undefined;
    outputDir: string | undefined;
    /** Only workers that have this backend get jobs. */
    requiredStorage: string | undefined;
    transfer: Transfer;
    labels: readonly string[];
    /** Seconds that a job waits for a free worker; undefined for what is usual. */
    wait: number | undefined;
  };
  /** What a person should know about how the settings came about, for the log. */
  notices: readonly string[];
}

/** What the command line says; it wins over environment and file. */
export interface ConfigFlags {
  config?: string;
  sharedStorageRoot?: string;
  relayOnly?: boolean;
}

/** Settings, and where they came from. */
export interface TracedConfig {
  config: Config;
  /**
   * By the key of the file, e.g. `storage.vast.base_path`: `file sleap-rtc.toml:12`, `environment SLEAP_RTC_ENV`,
   * `--shared-storage-root`, `detected`. What is not in it is a default.
   */
  sources: ReadonlyMap<string, string>;
}

/** Settings in the making. */
interface Loading {
  at: Surroundings;
  read: ConfigFile;
  mistakes: Mistake[];
  notices: string[];
  sources: Map<string, string>;
}

/** Loads the settings. Throws as {@link traceConfig} does. */
export function loadConfig(flags: ConfigFlags = {}, surroundings: Surroundings = realSurroundings()): Config {
  return traceConfig(flags, surroundings).config;
}

/**
 * Loads the settings and tells where each came from.
 *
 * Throws {@link ConfigFileError} with every mistake of file, environment and flags at once, and `ConfigError` for a
 * file that cannot be read.
 */
export function traceConfig(
  flags: ConfigFlags = {},
  surroundings: Surroundings = realSurroundings(),
): TracedConfig {
  const read = readConfigFile(flags.config, surroundings);
  const loading: Loading = {
    at: surroundings,
    read,
    mistakes: [...read.mistakes],
    notices: [],
    sources: new Map(),
  };
  const environment = chooseEnvironment(loading);
  const signaling = chooseSignaling(loading, environment);
  const roomSecret = chooseSecret(loading);
  const root = chooseRoot(loading, flags);
  if (loading.mistakes.length > 0) throw new ConfigFileError(read.file, loading.mistakes);
  if (read.file !== undefined) {
    loading.sources.set("file", flags.config === undefined ? "found" : "--config");
  }
  const config: Config = {
    file: read.file,
    environment,
    ...signaling,
    roomSecret,
    ...connecting(loading, flags),
    storage: storageEntries(loading, root),
    sharedStorageRoot: root?.path,
    ...sections(loading),
    notices: loading.notices,
  };
  logger.debug("settings: {sources}", { sources: sourcesText(loading.sources) });
  return { config, sources: loading.sources };
}

/** Keys without their values, some of which are secrets. */
function sourcesText(sources: ReadonlyMap<string, string>): string {
  return [...sources].map(([key, source]) => `${key} (${source})`).join(", ") || "all at their defaults";
}

/** Notes that a value is the file's, where it is. */
function trace({ read, at, sources }: Loading, path: readonly string[], key = path.join(".")): void {
  const source = sourceInFile(read, path, at.cwd);
  if (source !== undefined) sources.set(key, source);
}

/** A variable's text; an empty one counts as unset. */
function variable(name: string, at: Surroundings): string | undefined {
  const text = at.env(name);
  return text === "" ? undefined : text;
}

function chooseEnvironment({ at, read, mistakes, sources }: Loading): string {
  // Of what was written, so that other mistakes of the file do not hide this one.
  const known = tableKeys(read.data, "environments");
  const chosen = variable("SLEAP_RTC_ENV", at);
  if (chosen === undefined) {
    const [only] = known.length === 1 ? known : [];
    if (only === undefined) return "development";
    sources.set("environment", `${sourceInFile(read, ["environments", only], at.cwd)}, the only one`);
    return only;
  }
  sources.set("environment", "environment SLEAP_RTC_ENV");
  const isUsual = known.length === 0 && /^(development|staging|production)$/.test(chosen);
  // Of a file that is not TOML nobody knows what it has.
  const isUnknown = read.file !== undefined && read.data === undefined;
  if (!known.includes(chosen) && !isUsual && !isUnknown) {
    mistakes.push({
      ...locate(read.toml, ["environments"]),
      key: "",
      text: `SLEAP_RTC_ENV is "${chosen}", but ${
        read.file === undefined ? "there is no configuration file" : `${read.file} has no such environment`
      }`,
      hint: known.length > 0
        ? `it has: ${known.join(", ")}`
        : "add a section [environments.NAME], or unset the variable",
    });
  }
  return chosen;
}

function chooseSignaling(
  loading: Loading,
  environment: string,
): { signalingWebsocket: string; signalingHttp: string } {
  const { content } = loading.read;
  const section = Object.hasOwn(content.environments, environment)
    ? content.environments[environment]
    : undefined;
  const choose = (
    key: "signaling_websocket" | "signaling_http",
    name: string,
    protocols: readonly string[],
    fallback: string,
  ): string => {
    const text = variable(name, loading.at);
    if (text === undefined) {
      trace(loading, ["environments", environment, key], key);
      return section?.[key] ?? fallback;
    }
    loading.sources.set(key, `environment ${name}`);
    if (!URL.canParse(text) || !protocols.includes(new URL(text).protocol)) {
      const expected = `expected a URL beginning with ${protocols.join("// or ")}//`;
      const found = `${name} is "${withoutCredentials(text)}"`;
      loading.mistakes.push({ key: "", text: `${found}; ${expected}`, isOutside: true });
    }
    return text;
  };
  const http = ["http:", "https:"];
  const signaling = {
    signalingWebsocket: choose(
      "signaling_websocket",
      "SLEAP_RTC_SIGNALING_WS",
      ["ws:", "wss:"],
      "ws://127.0.0.1:8080",
    ),
    signalingHttp: choose("signaling_http", "SLEAP_RTC_SIGNALING_HTTP", http, "http://127.0.0.1:8001"),
  };
  noticeUnchosen(loading, environment);
  return signaling;
}

/** An empty variable is a mistake here: who sets it wants a proof, and must not go without one unawares. */
function chooseSecret(loading: Loading): string | undefined {
  const text = loading.at.env(SECRET_VARIABLE);
  if (text === undefined) {
    trace(loading, ["default", SECRET_KEY]);
    return loading.read.content.default.room_secret;
  }
  loading.sources.set(`default.${SECRET_KEY}`, `environment ${SECRET_VARIABLE}`);
  if (text.length < MIN_SECRET_LENGTH) {
    const found = `${SECRET_VARIABLE} has ${text.length} characters`;
    loading.mistakes.push({ key: "", text: `${found}, expected ${SECRET_RULE}`, isOutside: true });
  }
  return text;
}

function connecting(
  loading: Loading,
  flags: ConfigFlags,
): Pick<Config, "connectionTimeout" | "iceServers" | "relayOnly"> {
  const { connection_timeout, ice_servers, ice_transport } = loading.read.content.default;
  for (const key of ["connection_timeout", "ice_transport"]) trace(loading, ["default", key]);
  for (const [index, server] of ice_servers.entries()) {
    for (const key of Object.keys(server)) trace(loading, ["default", "ice_servers", String(index), key]);
  }
  if (flags.relayOnly) loading.sources.set("default.ice_transport", "--relay-only");
  return {
    connectionTimeout: connection_timeout,
    iceServers: ice_servers,
    relayOnly: flags.relayOnly ?? ice_transport === "relay",
  };
}

/** A file with several environments of which none is chosen looks as if it were not read. */
function noticeUnchosen({ read, notices, sources }: Loading, environment: string): void {
  const known = Object.keys(read.content.environments);
  if (known.length === 0 || known.includes(environment) || sources.has("signaling_websocket")) return;
  notices.push(
    `SLEAP_RTC_ENV chooses none of the environments ${
      known.join(", ")
    }: the signaling server is on this machine`,
  );
}

/** The shared folder; with storage sections it serves the legacy flow only. */
function chooseRoot(loading: Loading, flags: ConfigFlags): SharedRoot | undefined {
  const { at, read, mistakes, notices, sources } = loading;
  const named = namedRoot(flags.sharedStorageRoot, at);
  const hasSections = tableKeys(read.data, "storage").length > 0;
  const root = named
    ? findRoot(named, at, mistakes, notices)
    : hasSections
    ? undefined
    : detectRoot(at, notices);
  if (!root) return undefined;
  const source = root.from === "SHARED_STORAGE_ROOT" ? `environment ${root.from}` : root.from;
  sources.set("shared_storage_root", source);
  if (hasSections) {
    notices.push(`storage backends come from ${read.file}; ${root.from} serves the legacy flow only`);
  } else {
    for (const key of ["base_path", "description"]) sources.set(`storage.default.${key}`, source);
  }
  return root;
}

function storageEntries(loading: Loading, root: SharedRoot | undefined): StorageEntry[] {
  const { at, read: { content } } = loading;
  const entries = Object.entries(content.storage).map(([name, entry]): StorageEntry => {
    for (const key of Object.keys(entry)) trace(loading, ["storage", name, key]);
    return {
      name,
      basePath: expandBase(entry.base_path, at),
      type: entry.type,
      description: entry.description,
      confineToUserSubdir: entry.confine_to_user_subdir,
    };
  });
  if (entries.length === 0 && root) {
    const { path, from } = root;
    return [{
      name: "default",
      basePath: path,
      type: "local",
      description: from,
      confineToUserSubdir: false,
    }];
  }
  return entries.toSorted((a, b) => a.name < b.name ? -1 : 1);
}

/** The base path on this machine; that there is one was checked when the file was read. */
function expandBase(basePath: FileContent["storage"][string]["base_path"], at: Surroundings): string {
  const text = typeof basePath === "string" ? basePath : basePath[platformKey(at.os)] ?? "";
  return isS3Path(text) ? text : expandPath(text, at);
}

function sections(loading: Loading): Pick<Config, "worker" | "client"> {
  const { at, read: { content: { worker, client } }, sources } = loading;
  const expand = (text: string | undefined): string | undefined =>
    text === undefined ? undefined : expandPath(text, at);
  const command = (job: "train" | "track"): readonly string[] => {
    trace(loading, ["worker", "jobs", job, "command"]);
    return worker.jobs[job].command;
  };
  for (const key of Object.keys(worker)) if (key !== "jobs") trace(loading, ["worker", key]);
  for (const key of Object.keys(client)) trace(loading, ["client", key]);
  const added = sources.get("worker.job_environment");
  if (added !== undefined) sources.set("worker.job_environment", `default, and ${added}`);
  return {
    worker: {
      scratch: expand(worker.scratch),
      maxJobs: worker.max_jobs,
      labels: worker.labels,
      jobTimeLimit: worker.job_time_limit,
      jobEnvironment: [...JOB_ENVIRONMENT, ...worker.job_environment],
      sandbox: worker.sandbox,
      sandboxNetwork: worker.sandbox_network,
      sandboxRead: worker.sandbox_read.map((path) => expandPath(path, at)),
      trainCommand: command("train"),
      trackCommand: command("track"),
    },
    client: {
      storageBackend: client.storage_backend,
      userSubdir: client.user_subdir,
      outputDir: expand(client.output_dir),
      requiredStorage: client.required_storage,
      transfer: client.transfer,
      labels: client.labels,
      wait: client.wait,
    },
  };
}
