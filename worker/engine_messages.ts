/** What the launcher and its sandboxed engine say to each other. */
import type { ErrorCode } from "../config/error_code.ts";
import type { LogOptions } from "../config/log.ts";
import type { IceServerEntry, StorageEntry } from "../config/load.ts";
import type { RoomKey } from "../signaling/account.ts";
import type { Attempt, ProbePlan } from "./probe.ts";

/** All that the engine knows; it reads no file, flag or environment of its own. */
export interface EngineSettings {
  signalingHttp: string;
  signalingWebsocket: string;
  /** Seconds. */
  connectionTimeout: number;
  /** What clients have to prove to know; undefined to serve everybody in the room. */
  roomSecret: string | undefined;
  /** Of the configuration; used before those that the signaling server tells of. */
  iceServers: readonly IceServerEntry[];
  /** Connect through TURN servers only. */
  relayOnly: boolean;
  /** Undefined to create one. */
  room: RoomKey | undefined;
  storage: readonly StorageEntry[];
  legacyRoot: string | undefined;
  /** Absolute, private to this worker. */
  scratch: string;
  /** Absolute, private to this user; what interrupted transfers leave is found there by the next worker. */
  incoming: string;
  /** Absolute, private to this user; journals of jobs and results that nobody has taken, for days. */
  jobs: string;
  /** Jobs at once. */
  maxJobs: number;
  /** What jobs may ask for by name. */
  labels: readonly string[];
  /** As `CUDA_VISIBLE_DEVICES` names them. */
  gpus: readonly string[];
  /** Milliseconds that a job may take; undefined for any time. */
  timeLimitMs: number | undefined;
  trainCommand: readonly string[];
  trackCommand: readonly string[];
  /** Absolute; the program that runs a job program in a sandbox of its own. Undefined to run it without. */
  jobSandbox?: string | undefined;
  /** The whole environment of the jobs. */
  jobEnvironment: Readonly<Record<string, string>>;
  /** GPU and host facts for the registration (PROTOCOL.md section 5.1). */
  properties: Readonly<Record<string, unknown>>;
  log: LogOptions;
  /** Absolute file that a compiled program's native library was unpacked to; undefined where Deno finds it. */
  addon?: string | undefined;
}

/** From the launcher to the engine. */
export type ToEngine =
  | { type: "start"; settings: EngineSettings }
  | { type: "probe"; plan: ProbePlan }
  | { type: "drain" }
  | { type: "shutdown" };

/** From the engine to the launcher. */
export type FromEngine =
  /** The native library is in memory: its file may go. */
  | { type: "loaded" }
  | { type: "registered"; session: string; roomId: string; token: string; peerId: string }
  /** The sandbox may not signal processes; the launcher does it for the jobs that the engine started. */
  | { type: "killGroup"; pid: number; signal: "SIGINT" | "SIGTERM" | "SIGKILL" }
  /** The same for programs of a job that have left its process group. */
  | { type: "killMarked"; mark: string }
  /** A job's process group began or ended: those still running end with the engine. */
  | { type: "group"; pid: number; isRunning: boolean }
  | { type: "probed"; attempts: readonly Attempt[] }
  | { type: "stopped"; error?: EngineFailure };

/** A `UserError` on its way through a message. */
export interface EngineFailure {
  message: string;
  hint: string | undefined;
  code: ErrorCode;
}
