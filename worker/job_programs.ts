/** What the launcher finds out for job programs: where they are, what they see, and what they run in. */
import { getLogger } from "@logtape/logtape";
import type { Config } from "../config/load.ts";
import { ConfigError } from "../config/user_error.ts";
import { type JobSandbox, makeJobSandbox } from "./bubblewrap.ts";
import type { EngineSettings } from "./engine_messages.ts";
import { findProgram } from "./host.ts";
import { jobPrograms, storageFolders } from "./permissions.ts";

const logger = getLogger(["sleap-rtc", "worker"]);

/** What of the settings job programs depend on. */
export type JobSettings = Pick<
  EngineSettings,
  "storage" | "legacyRoot" | "scratch" | "incoming" | "jobEnvironment" | "trainCommand" | "trackCommand"
>;

/** The commands with their programs found, so that the sandbox can name them. */
export async function resolveCommand(command: readonly string[], name: string): Promise<string[]> {
  const [program = "", ...rest] = command;
  const path = await findProgram(program, Deno.cwd());
  if (path === undefined) logger.warn(`"${program}" is not installed: ${name} jobs will fail`);
  return [path ?? program, ...rest];
}

/** What job programs run in; undefined when nothing is configured. Throws {@link ConfigError}: never silently without. */
export async function jobSandbox(
  { sandbox, sandboxNetwork: network, sandboxRead: read }: Config["worker"],
  settings: JobSettings,
): Promise<JobSandbox | undefined> {
  if (sandbox === "none") return undefined;
  const bwrap = await findProgram("bwrap", Deno.cwd());
  if (bwrap === undefined) {
    throw new ConfigError('[worker] sandbox is "bwrap", but bubblewrap is not installed', {
      code: "SANDBOX_UNAVAILABLE",
      hint: 'install it (on Debian: apt-get install bubblewrap), or set sandbox = "none"',
    });
  }
  const { scratch, jobEnvironment: environment } = settings;
  const roots = [...storageFolders(settings), scratch, settings.incoming];
  return await makeJobSandbox({
    bwrap,
    network,
    read,
    programs: jobPrograms(settings),
    environment,
    roots,
    scratch,
  });
}

/** The variables of these names that this process has, as jobs see them. */
export function jobEnvironment(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => {
    const value = Deno.env.get(name);
    if (value !== undefined && /^(LD_|DYLD_)/.test(name)) {
      logger.warn(`${name} is not passed to jobs: the sandbox refuses variables of the dynamic linker`);
      return [];
    }
    return value === undefined ? [] : [[name, value]];
  }));
}
