/** The three programs and the permissions each is given, from source and compiled. */

/** One program. */
export interface Program {
  /** Name of the binary. */
  name: string;
  /** Entry point, from the project's root. */
  entry: string;
  /** Permission flags of `deno run` and `deno compile`. */
  permissions: readonly string[];
  /** Modules that are loaded as Web Workers, which a compiled program must be told of. */
  include: readonly string[];
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
      "--allow-sys",
      "--allow-ffi",
    ],
    include: [],
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
      "--allow-sys",
      "--allow-ffi",
      "--allow-run",
    ],
    include: ["worker/engine.ts"],
  },
  {
    name: "sleap-rtc-signaling",
    entry: "signaling/main.ts",
    permissions: ["--allow-net", "--allow-env"],
    include: [],
  },
];

/** Arguments of `deno` that run a program from source. */
export function runArguments(entry: string): string[] {
  const program = PROGRAMS.find((each) => each.entry === entry);
  if (!program) throw new Error(`${entry} is none of the programs`);
  return ["run", ...program.permissions, entry];
}
