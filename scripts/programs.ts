/** The three programs, and how they are run. */
import {
  CLIENT_PERMISSIONS,
  type PermissionFlags,
  SIGNALING_PERMISSIONS,
  WORKER_PERMISSIONS,
} from "../config/permissions.ts";

/**
 * V8's heap for what is short-lived, in MiB: by default it grows to 48, most of it messages that were handed on long
 * since (docs/performance.md).
 */
export const SMALL_HEAP = "--v8-flags=--max-semi-space-size=1";

/** One program. */
export interface Program {
  /** Name of the binary. */
  name: string;
  /** Entry point, from the project's root. */
  entry: string;
  /** Permission flags of `deno run` and `deno compile`. */
  permissions: PermissionFlags;
  /** Flags for V8 of `deno run` and `deno compile`. */
  v8Flags: readonly string[];
  /** Entry points of its Web Workers, which a compiled program must be told of. */
  workers: readonly string[];
  /** Whether it loads the native WebRTC library. */
  hasAddon: boolean;
}

/** In the order in which they are built. */
export const PROGRAMS: readonly Program[] = [
  {
    name: "sleap-rtc-client",
    entry: "client/main.ts",
    permissions: CLIENT_PERMISSIONS,
    v8Flags: [SMALL_HEAP],
    workers: ["client/preflight/labels_worker.ts"],
    hasAddon: true,
  },
  {
    name: "sleap-rtc-worker",
    entry: "worker/main.ts",
    permissions: WORKER_PERMISSIONS,
    v8Flags: [SMALL_HEAP],
    workers: ["worker/engine.ts"],
    hasAddon: true,
  },
  {
    name: "sleap-rtc-signaling",
    entry: "signaling/main.ts",
    permissions: SIGNALING_PERMISSIONS,
    v8Flags: [],
    workers: [],
    hasAddon: false,
  },
];

/** The program with that entry point. Throws for any other. */
export function programOf(entry: string): Program {
  const program = PROGRAMS.find((each) => each.entry === entry);
  if (!program) throw new Error(`${entry} is none of the programs`);
  return program;
}

/** Arguments of `deno` that run a program from source. */
export function runArguments(entry: string): string[] {
  const { v8Flags, permissions } = programOf(entry);
  return ["run", ...v8Flags, ...permissions, entry];
}
