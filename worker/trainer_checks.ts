/** Checks of what jobs run: the programs of the commands, their placeholders, the sandbox around them, and of the GPUs. */
import { type Check, type Found, single } from "../config/checkup.ts";
import type { Config } from "../config/load.ts";
import { sizeText } from "../config/progress.ts";
import { UserError } from "../config/user_error.ts";
import { printable } from "../protocol/printable.ts";
import { findProgram, queryGpus } from "./host.ts";
import { jobEnvironment, jobSandbox, resolveCommand } from "./job_programs.ts";

/** A trainer that imports its libraries from a share takes its time to say its version; in milliseconds. */
const VERSION_MS = 60_000;
/** `nvidia-smi` is slow where the driver has to be woken; in milliseconds. */
const GPU_MS = 20_000;
/** A GPU with less free memory, in MiB, runs out of it with most models. */
const LITTLE_MIB = 4_000;

/** The checks. */
export function trainerChecks(
  { trainCommand, trackCommand, jobEnvironment: names }: Config["worker"],
): Check[] {
  const environment = jobEnvironment(names);
  const limit = VERSION_MS + 5_000;
  return [
    single("training", limit, (signal) => judgeProgram(trainCommand, "{config}", environment, signal)),
    single("inference", limit, (signal) => judgeProgram(trackCommand, "{arguments}", environment, signal)),
    single("GPU", GPU_MS, judgeGpus),
  ];
}

/** Tries whether bubblewrap can run jobs in a scratch folder. Throws `ConfigError`. */
export async function tryJobSandbox(worker: Config["worker"], scratch: string): Promise<void> {
  const sandbox = await jobSandbox(worker, {
    // A mount that is dead would hold the trial up.
    storage: [],
    legacyRoot: undefined,
    scratch,
    incoming: scratch,
    jobEnvironment: jobEnvironment(worker.jobEnvironment),
    trainCommand: await resolveCommand(worker.trainCommand, "training"),
    trackCommand: await resolveCommand(worker.trackCommand, "inference"),
  });
  await sandbox?.remove();
}

/** The program of a command, and its version; `needed` is the placeholder without which it knows no job. */
async function judgeProgram(
  command: readonly string[],
  needed: string,
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<Found> {
  const [program = ""] = command;
  const path = await findProgram(program, Deno.cwd());
  if (path === undefined) {
    throw new UserError(`"${program}" is not installed`, {
      code: "JOB_PROGRAM",
      hint: /[\\/]/.test(program)
        ? "see command in [worker.jobs.train] and [worker.jobs.track]: is the path right?"
        : "install it, or activate its environment before the worker starts; or give command in [worker.jobs.train] " +
          "or [worker.jobs.track]",
    });
  }
  const version = await versionOf(path, env, signal);
  const detail = `${path}${version === undefined ? "" : `, ${version}`}`;
  if (!command.some((word) => word.includes(needed))) {
    const hint = `without ${needed} it does not learn which job it runs; is that meant?`;
    return { status: "warning", detail: `${detail}; its command has no ${needed}`, hint };
  }
  if (version !== undefined) return { detail };
  const hint = `does ${path} --version work in this environment? Jobs would fail as well`;
  return { status: "warning", detail: `${detail} does not tell its version`, hint };
}

/** The first line that `--version` prints; undefined when it fails. What a job would see, it sees. */
async function versionOf(
  path: string,
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(path, {
      args: ["--version"],
      clearEnv: true,
      env,
      stdin: "null",
      signal: AbortSignal.any([signal, AbortSignal.timeout(VERSION_MS)]),
    }).output();
    const lines = [stdout, stderr].map((bytes) =>
      new TextDecoder().decode(bytes).trim().split("\n", 1)[0] ?? ""
    );
    const line = lines.find((text) => text !== "");
    return success && line !== undefined ? printable(line, 80) : undefined;
  } catch {
    return undefined;
  }
}

async function judgeGpus(): Promise<Found> {
  const gpus = await queryGpus();
  const figures = { gpus: gpus.length };
  if (gpus.length === 0) {
    const isInstalled = await findProgram("nvidia-smi", Deno.cwd()) !== undefined;
    return {
      status: "warning",
      detail: isInstalled ? "none: nvidia-smi tells of none" : "none: nvidia-smi is not installed",
      hint:
        "training runs on the CPU, many times slower; is the driver loaded, and does the container get the GPUs " +
        "(--gpus all)?",
      figures,
    };
  }
  const mib = (megabytes: number): string => sizeText(megabytes * 2 ** 20);
  const detail = gpus.map(({ model, memoryMb, freeMb, driver }) =>
    `${printable(model)}, ${mib(memoryMb)} of which ${mib(freeMb)} free, ${printable(driver)}`
  ).join("; ");
  if (gpus.every(({ freeMb }) => !(freeMb < LITTLE_MIB))) return { detail, figures };
  const hint = "other programs hold most of the memory: nvidia-smi shows which";
  return { status: "warning", detail, hint, figures };
}
