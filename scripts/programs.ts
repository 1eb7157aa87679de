/**
 * The three programs and the permissions each is given, from source and compiled. Paths, hosts and variables that only
 * the configuration names cannot be listed here; the worker narrows them for its engine when it starts.
 */

/** One program. */
export interface Program {
  /** Name of the binary. */
  name: string;
  /** Entry point, from the project's root. */
  entry: string;
  /** Permission flags of `deno run` and `deno compile`. */
  permissions: readonly string[];
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
    permissions: [
      "--allow-read",
      "--allow-write",
      "--allow-net",
      "--allow-env",
      "--allow-sys=homedir,statfs,osRelease",
      "--allow-ffi",
    ],
    workers: ["client/preflight/labels_worker.ts"],
    hasAddon: true,
  },
  {
    // The launcher hands on to the sandboxed engine no more than it has itself.
    name: "sleap-rtc-worker",
    entry: "worker/main.ts",
    permissions: [
      "--allow-read",
      "--allow-write",
      "--allow-net",
      "--allow-env",
      "--allow-sys=homedir,statfs,osRelease,hostname,uid",
      "--allow-ffi",
      "--allow-run",
    ],
    workers: ["worker/engine.ts"],
    hasAddon: true,
  },
  {
    name: "sleap-rtc-signaling",
    entry: "signaling/main.ts",
    // Files for its store and the certificate alone: it gives up the others when it has started.
    permissions: [
      "--allow-read",
      "--allow-write",
      "--allow-net",
      "--allow-env=SLEAP_RTC_STORE,SLEAP_RTC_ICE_CREDENTIAL,SLEAP_RTC_ADMIN_KEY,NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE",
      "--allow-sys=homedir",
    ],
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
  return ["run", ...programOf(entry).permissions, entry];
}
