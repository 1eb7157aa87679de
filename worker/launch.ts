/** Starts the engine, a Web Worker with permissions of its own, and does for it what its sandbox may not. */
import { getLogger } from "@logtape/logtape";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { onStopSignal } from "../config/program.ts";
import { errorText, UserError } from "../config/user_error.ts";
import { isS3Path } from "../config/schema.ts";
import { isInside } from "../storage/containment.ts";
import { JOB_MARK } from "./worker_job.ts";
import type { EngineFailure, EngineSettings, FromEngine, ToEngine } from "./engine_messages.ts";

const logger = getLogger(["sleap-rtc", "worker"]);

/** A stopping engine gets this long before it is ended, in milliseconds. */
const STOP_LIMIT_MS = 8_000;

/** Folders outside of which nothing is read or written, whatever the configuration says; undefined for no limit. */
export interface FolderLimits {
  allowRead: readonly string[] | undefined;
  allowWrite: readonly string[] | undefined;
}

/** What the engine tells when it is in a room. */
export type Registered = Extract<FromEngine, { type: "registered" }>;

/** Folders of the backends with their true paths: a base path may be a link. */
async function truePaths(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map((path) => Deno.realPath(path).catch(() => path)));
  return [...new Set([...paths, ...found])];
}

/** node-datachannel looks at the first to tell glibc from musl; containment at the second for what was really opened. */
const SYSTEM_FILES: readonly string[] = ["/usr/bin/ldd", "/proc/self/fd"];

/** What the client library of object stores reads of the environment. */
const STORE_VARIABLES: readonly string[] = [
  "AWS_*",
  "HOME",
  "USERPROFILE",
  "HOMEPATH",
  "HOMEDRIVE",
  "_X_AMZN_TRACE_ID",
];

/** Where the environment says that object stores are; undefined for the service's own many hosts. */
function storeEndpoint(): string | undefined {
  const url = Deno.env.get("AWS_ENDPOINT_URL_S3") ?? Deno.env.get("AWS_ENDPOINT_URL");
  return url !== undefined && URL.canParse(url) ? hostOf(url) : undefined;
}

/** `host:port` of a URL, as a net permission names it. */
function hostOf(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  const secure = protocol === "wss:" || protocol === "https:";
  return `${hostname}:${port || (secure ? 443 : protocol === "http:" ? 8001 : 80)}`;
}

/** The settings without the storage that lies outside the limits: it is neither touched nor advertised. */
async function withinLimits(settings: EngineSettings, limits: FolderLimits): Promise<EngineSettings> {
  const roots = await Promise.all(
    [limits.allowRead, limits.allowWrite].map((paths) =>
      paths && truePaths(paths.map((path) => resolve(path)))
    ),
  );
  const isAllowed = async (basePath: string): Promise<boolean> => {
    if (isS3Path(basePath)) return true;
    const paths = await truePaths([basePath]);
    return roots.every((allowed) =>
      !allowed || paths.every((path) => allowed.some((root) => isInside(path, root)))
    );
  };
  const storage = await Array.fromAsync(settings.storage, async (entry) => {
    if (await isAllowed(entry.basePath)) return [entry];
    logger.warn(
      `storage backend ${entry.name}: ${entry.basePath} is outside --allow-read or --allow-write; left out`,
    );
    return [];
  });
  const { legacyRoot } = settings;
  const keepsLegacy = legacyRoot !== undefined && await isAllowed(legacyRoot);
  return { ...settings, storage: storage.flat(), legacyRoot: keepsLegacy ? legacyRoot : undefined };
}

/** The engine's permissions: base paths, scratch, the signaling host, the native addon, the job programs. */
async function permissions(settings: EngineSettings): Promise<Deno.PermissionOptionsObject> {
  const stores = settings.storage.filter(({ basePath }) => isS3Path(basePath));
  const bases = settings.storage.filter((entry) => !stores.includes(entry)).map(({ basePath }) => basePath);
  if (settings.legacyRoot !== undefined) bases.push(settings.legacyRoot);
  const storage = await truePaths(bases);
  const scratch = await truePaths([settings.scratch, settings.incoming, settings.jobs]);
  const modules = fileURLToPath(new URL("../node_modules", import.meta.url));
  const programs = [settings.trainCommand[0], settings.trackCommand[0]]
    .filter((path): path is string => path !== undefined && isAbsolute(path));
  return {
    read: [
      ...storage,
      ...scratch,
      ...(stores.length > 0 ? [join(homedir(), ".aws")] : []),
      modules,
      ...SYSTEM_FILES,
    ],
    write: [...storage, ...scratch],
    net: stores.length > 0 && !storeEndpoint() ? true : [
      hostOf(settings.signalingHttp),
      hostOf(settings.signalingWebsocket),
      ...(stores.length > 0 ? [storeEndpoint()].filter((host) => host !== undefined) : []),
    ],
    ffi: Deno.build.standalone ? true : [modules],
    run: programs.length > 0 ? [...new Set(programs)] : false,
    // Free space is asked for before anything is unpacked.
    sys: stores.length > 0 ? ["statfs", "osRelease"] : ["statfs"],
    // The client library of object stores finds endpoint and credentials in the environment and below ~/.aws.
    env: stores.length > 0 ? [...STORE_VARIABLES] : false,
    import: false,
  };
}

/** Signals a process group that the engine's job leads; one that has ended is no error. */
function killGroup(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(-pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      logger.warn(`cannot stop process group ${pid}: ${errorText(error)}`);
    }
  }
}

/** Lists the processes that have a variable with a value; what is not ours cannot be read, and is not listed. */
const FIND_MARKED = 'grep -lsxz -- "$1" /proc/[0-9]*/environ';

/** Kills the programs of a job that have left its process group, where the system tells of them. */
export async function killMarked(mark: string): Promise<void> {
  if (Deno.build.os !== "linux") return;
  try {
    const args = ["-c", FIND_MARKED, "sh", `${JOB_MARK}=${mark}`];
    const { stdout } = await new Deno.Command("/bin/sh", { args, stdin: "null", stderr: "null" }).output();
    for (const [, pid] of new TextDecoder().decode(stdout).matchAll(/^\/proc\/(\d+)\//gm)) {
      logger.warn("a program of a job that has ended was left, and is killed: process {pid}", { pid });
      Deno.kill(Number(pid), "SIGKILL");
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      logger.warn(`programs of a job that has ended may be left: ${errorText(error)}`);
    }
  }
}

/**
 * Runs the engine until Ctrl-C or until it stops by itself. Throws {@link UserError} when it stopped by an error.
 */
export async function launchEngine(
  wanted: EngineSettings,
  limits: FolderLimits,
  onRegistered: (room: Registered) => void,
): Promise<void> {
  const settings = await withinLimits(wanted, limits);
  const engine = new Worker(new URL("./engine.ts", import.meta.url), {
    type: "module",
    name: "engine",
    deno: { permissions: await permissions(settings) },
  });
  const post = (message: ToEngine): void => engine.postMessage(message);
  const running = new Set<number>();
  let limit: ReturnType<typeof setTimeout> | undefined;
  let release = (): void => {};
  try {
    await new Promise<void>((resolve, reject) => {
      let isDraining = false;
      release = onStopSignal((signal) => {
        if (limit !== undefined) return;
        if (signal === "SIGTERM" && !isDraining) {
          isDraining = true;
          return post({ type: "drain" });
        }
        logger.info("stopping");
        post({ type: "shutdown" });
        limit = setTimeout(() => reject(new UserError("the engine did not stop in time")), STOP_LIMIT_MS);
      });
      engine.onmessage = ({ data }: MessageEvent<FromEngine>) => {
        if (data.type === "registered") onRegistered(data);
        else if (data.type === "killGroup") killGroup(data.pid, data.signal);
        else if (data.type === "killMarked") void killMarked(data.mark);
        else if (data.type === "group" && data.isRunning) running.add(data.pid);
        else if (data.type === "group") running.delete(data.pid);
        else if (data.error) reject(engineError(data.error));
        else resolve();
      };
      engine.onerror = (event) => {
        event.preventDefault();
        reject(new UserError(`the engine stopped: ${event.message}`));
      };
      post({ type: "start", settings });
    });
  } finally {
    clearTimeout(limit);
    release();
    engine.terminate();
    for (const pid of running) killGroup(pid, "SIGKILL");
  }
}

function engineError({ message, hint, exitCode }: EngineFailure): UserError {
  return new UserError(message, hint === undefined ? { exitCode } : { hint, exitCode });
}
