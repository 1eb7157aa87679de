/** `sandbox = "bwrap"`: a program that runs job programs under bubblewrap, made by the launcher when it starts. */
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ConfigError, errorText } from "../config/user_error.ts";
import { isInside } from "../storage/containment.ts";
import { makeOwnFolder } from "../storage/own_folder.ts";
import { truePaths } from "./permissions.ts";

/** Read-only in every sandbox, where they are there. */
const SYSTEM_FOLDERS: readonly string[] = [
  "/usr",
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/etc",
  "/opt",
  "/nix",
  "/sys",
];

/** NVIDIA's driver makes some only when they are first used, so they are looked for when a job starts. */
const GPU_DEVICES = "/dev/nvidia*";

/** Begin of the name, in the temporary folder, of the folder that holds the program. */
export const SANDBOX_PREFIX = "sleap-rtc-sandbox-";

/** The trial at the start gets this long, in milliseconds. */
const TRIAL_MS = 20_000;

/** What job programs may do inside. */
export interface BubblewrapOptions {
  /** Absolute path of `bwrap`. */
  bwrap: string;
  /** Whether jobs see the network. */
  network: boolean;
  /** Absolute paths that jobs may read besides the system's. */
  read: readonly string[];
  /** Absolute paths of the job programs; no other is run. */
  programs: readonly string[];
  /** The jobs' environment. */
  environment: Readonly<Record<string, string>>;
  /** Absolute folders below which a job's folders may lie. */
  roots: readonly string[];
  /** Device files that jobs may use, as a pattern of the shell; default: the GPUs'. */
  devices?: string;
  /** Absolute folder in which the trial takes place; below one of the roots. */
  scratch: string;
}

/** A program that takes `FOLDER SCRATCH PROGRAM ARGUMENT…` and shows PROGRAM nothing else that it could write to. */
export interface JobSandbox {
  /** Absolute; the engine may start it, and cannot change it. */
  program: string;
  remove(): Promise<void>;
}

/**
 * Writes the program and tries it. Throws {@link ConfigError} when bubblewrap cannot run here: jobs are never run
 * without it instead.
 */
export async function makeJobSandbox(options: BubblewrapOptions): Promise<JobSandbox> {
  const { path: folder, release } = await makeOwnFolder(await Deno.realPath(tmpdir()), SANDBOX_PREFIX);
  const remove = async (): Promise<void> => {
    await Deno.remove(folder, { recursive: true });
    await release();
  };
  try {
    const roots = await truePaths(options.roots);
    if (roots.some((root) => isInside(folder, root))) {
      throw new ConfigError(
        `the job sandbox in ${folder} would lie on storage that the engine may write to`,
        {
          code: "SANDBOX_UNAVAILABLE",
          hint: "set TMPDIR to a folder that is no backend's",
        },
      );
    }
    const program = join(folder, "job");
    const script = sandboxScript(await bubblewrapArguments(options), roots, options);
    await Deno.writeTextFile(program, script, { mode: 0o700 });
    await trial(program, options.scratch);
    return { program, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/**
 * The command that runs `command` in the sandbox with these folders to write to, absolute. Without a sandbox the
 * command itself.
 */
export function inSandbox(
  sandbox: string | undefined,
  folder: string,
  scratch: string,
  command: readonly string[],
): readonly string[] {
  return sandbox === undefined ? command : [sandbox, folder, scratch, ...command];
}

/** A status as `execute` tells it: what a signal ended, bubblewrap tells as a shell does, by 128 and its number. */
export function statusFromSandbox(status: number): number {
  return status > 128 && status <= 128 + 64 ? 128 - status : status;
}

/** All of bubblewrap's command line that is the same for every job. */
async function bubblewrapArguments(options: BubblewrapOptions): Promise<string[]> {
  const { bwrap, network, read, programs, environment } = options;
  const visible = await truePaths([...read, ...await programFolders(programs, environment)]);
  const both = (option: string, paths: readonly string[]): string[] =>
    paths.flatMap((path) => [option, path, path]);
  const home = environment["HOME"];
  return [
    bwrap,
    // Whatever it started ends with it, and with the worker.
    ...["--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
    ...(network ? [] : ["--unshare-net"]),
    ...["--cap-drop", "ALL"],
    // Root works in the folders of all users, also inside; without this right it could not write there.
    ...(Deno.uid() === 0 ? ["--cap-add", "CAP_DAC_OVERRIDE"] : []),
    ...both("--ro-bind-try", SYSTEM_FOLDERS),
    ...(network ? both("--ro-bind-try", ["/run/systemd/resolve"]) : []),
    ...["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--tmpfs", "/tmp"],
    // An empty home folder, as many programs insist on one.
    ...(home?.startsWith("/") && home !== "/" && !isOfSystem(home) ? ["--tmpfs", home] : []),
    ...both("--ro-bind", visible.filter((path) => !isOfSystem(path))),
    ...["--setenv", "TMPDIR", "/tmp", "--unsetenv", "XDG_CACHE_HOME"],
  ];
}

function isOfSystem(path: string): boolean {
  return SYSTEM_FOLDERS.some((folder) => isInside(path, folder));
}

/** What must be visible for the programs to start: they, and the Python environments that they belong to. */
async function programFolders(
  programs: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<string[]> {
  const candidates = (await truePaths(programs)).map((path) => dirname(dirname(path)));
  for (const name of ["CONDA_PREFIX", "VIRTUAL_ENV"]) candidates.push(environment[name] ?? "");
  const found = await Array.fromAsync(new Set(candidates), async (folder) => {
    if (!await exists(join(folder, "pyvenv.cfg")) && !await exists(join(folder, "conda-meta"))) return [];
    // A virtual environment borrows its interpreter, and the library of that, from another folder.
    const python = await Deno.realPath(join(folder, "bin/python")).catch(() => undefined);
    return python === undefined ? [folder] : [folder, dirname(dirname(python))];
  });
  return [...programs, ...found.flat()];
}

async function exists(path: string): Promise<boolean> {
  return path.startsWith("/") && await Deno.stat(path).then(() => true, () => false);
}

/**
 * A shell script; what is fixed is in it, so that whoever may start it can widen nothing. `-p`: functions that come by
 * environment variables are not taken.
 */
function sandboxScript(
  bwrap: readonly string[],
  roots: readonly string[],
  { programs, devices = GPU_DEVICES }: BubblewrapOptions,
): string {
  const below = roots.map((root) => root === "/" ? "/*" : `${quote(root)}/*`).join("|");
  return `#!/bin/bash -p
# Made by the worker: FOLDER SCRATCH PROGRAM [ARGUMENT...]
set -eu
# The folder as it is now, links resolved: below storage or scratch, or nothing is run.
own() {
  real=$(cd -P -- "$1" && pwd -P)
  case $real/ in
    ${below}) ;;
    *) echo "$1 is no folder of a job" >&2; exit 126 ;;
  esac
}
own "$1"; folder=$real
own "$2"; scratch=$real
own .; here=$real
shift 2
devices=()
for device in ${devices}; do
  if [ -e "$device" ]; then devices+=(--dev-bind "$device" "$device"); fi
done
case $1 in
  ${["true", ...programs].map(quote).join("|")}) ;;
  *) echo "$1 is no job program of this worker" >&2; exit 126 ;;
esac
# A polite end is for the program: without bubblewrap it would have no time for it.
trap '' INT TERM
exec ${bwrap.map(quote).join(" ")} \\
  "\${devices[@]}" --remount-ro /dev \\
  --bind "$folder" "$folder" --bind "$scratch" "$scratch" --remount-ro / --chdir "$here" \\
  -- /usr/bin/env --default-signal=INT,TERM "$@"
`;
}

/** A word that the shell takes as it is. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

async function trial(program: string, scratch: string): Promise<void> {
  const { success, reason } = await new Deno.Command(program, {
    args: [scratch, scratch, "true"],
    cwd: scratch,
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    signal: AbortSignal.timeout(TRIAL_MS),
  }).output().then(
    ({ success, stderr }) => ({ success, reason: new TextDecoder().decode(stderr).trim() }),
    (error: unknown) => ({ success: false, reason: errorText(error) }),
  );
  if (success) return;
  throw new ConfigError(`[worker] sandbox is "bwrap", but bubblewrap cannot run jobs here: ${reason}`, {
    code: "SANDBOX_UNAVAILABLE",
    hint:
      "it needs Linux with user namespaces (or root that may mount), bash, and GNU coreutils 8.31 or later",
  });
}
