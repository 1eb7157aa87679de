/** Starts the engine, a Web Worker with permissions of its own, and does for it what its sandbox may not. */
import { getLogger } from "@logtape/logtape";
import { onStopSignal } from "../config/program.ts";
import { errorText, UserError } from "../config/user_error.ts";
import { unpackAddon, UNPACKS_ADDON } from "../rtc/addon.ts";
import { JOB_MARK } from "./worker_job.ts";
import type { EngineFailure, EngineSettings, FromEngine, ToEngine } from "./engine_messages.ts";
import {
  type EnginePermissions,
  enginePermissions,
  heldPermissions,
  permissionTable,
  workerPermissions,
} from "./permissions.ts";

const logger = getLogger(["sleap-rtc", "worker"]);

/** A stopping engine gets this long before it is ended, in milliseconds. */
const STOP_LIMIT_MS = 8_000;

/** What the engine tells when it is in a room. */
export type Registered = Extract<FromEngine, { type: "registered" }>;

/** An engine that has not begun; `permissions` are exactly what it may do. */
export function createEngine(permissions: EnginePermissions): Worker {
  return new Worker(new URL(Deno.build.standalone ? "./engine.js" : "./engine.ts", import.meta.url), {
    type: "module",
    name: "engine",
    deno: { permissions: workerPermissions(permissions) },
  });
}

/** What the engine is given, told to the log; what it should have and this process has not, is told as well. */
export async function grantPermissions(settings: EngineSettings): Promise<EnginePermissions> {
  const { held, lacking } = await heldPermissions(await enginePermissions(settings));
  const table = settings.log.json ? "" : `:\n${permissionTable(held)}`;
  logger.info("what the engine may do{table}", { table, data: held });
  for (const flag of lacking) {
    logger.warn("the engine may do less than it should: {flag} is missing", { flag });
  }
  return held;
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

function killProcess(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    logger.warn(`cannot end process ${pid}: ${errorText(error)}`);
  }
}

/** Kills the programs of a job that have left its process group, where the system tells of them. */
export async function killMarked(mark: string): Promise<void> {
  if (Deno.build.os !== "linux") return;
  try {
    const args = ["-c", FIND_MARKED, "sh", `${JOB_MARK}=${mark}`];
    const { stdout } = await new Deno.Command("/bin/sh", { args, stdin: "null", stderr: "null" }).output();
    for (const [, pid] of new TextDecoder().decode(stdout).matchAll(/^\/proc\/(\d+)\//gm)) {
      logger.warn("a program of a job that has ended was left, and is killed: process {pid}", { pid });
      killProcess(Number(pid));
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
  onRegistered: (room: Registered) => void,
): Promise<void> {
  const addon = UNPACKS_ADDON ? unpackAddon() : undefined;
  const settings = { ...wanted, addon: addon?.path };
  const engine = createEngine(await grantPermissions(settings));
  const post = (message: ToEngine): void => engine.postMessage(message);
  const running = new Set<number>();
  /** For programs that were left; none is given up in the middle. */
  const searches = new Set<Promise<void>>();
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
        limit = setTimeout(
          () => reject(new UserError("the engine did not stop in time", { code: "ENGINE_STOPPED" })),
          STOP_LIMIT_MS,
        );
      });
      engine.onmessage = ({ data }: MessageEvent<FromEngine>) => {
        if (data.type === "registered") onRegistered(data);
        else if (data.type === "loaded") addon?.remove();
        else if (data.type === "killGroup") killGroup(data.pid, data.signal);
        else if (data.type === "killMarked") searches.add(killMarked(data.mark));
        else if (data.type === "group" && data.isRunning) running.add(data.pid);
        else if (data.type === "group") running.delete(data.pid);
        else if (data.type === "stopped" && data.error) reject(engineError(data.error));
        else if (data.type === "stopped") resolve();
      };
      engine.onerror = (event) => {
        event.preventDefault();
        reject(new UserError(`the engine stopped: ${event.message}`, { code: "ENGINE_STOPPED" }));
      };
      post({ type: "start", settings });
    });
  } finally {
    clearTimeout(limit);
    release();
    engine.terminate();
    addon?.remove();
    for (const pid of running) killGroup(pid, "SIGKILL");
    await Promise.all(searches);
  }
}

function engineError({ message, hint, code }: EngineFailure): UserError {
  return new UserError(message, hint === undefined ? { code } : { hint, code });
}
