import { type Config, type ConfigFlags, loadConfig, type Surroundings } from "../../config/load.ts";

/** What a test wants of the machine; everything else is empty. */
export interface Machine {
  /** Files by absolute path. */
  files?: Record<string, string>;
  env?: Record<string, string>;
  /** Folders that are there. */
  folders?: readonly string[];
  os?: string;
  home?: string;
}

/** File in the working directory of the machine. */
export const FILE = "/lab/sleap-rtc.toml";
/** File in the home folder of the machine. */
export const HOME_FILE = "/home/ada/.sleap-rtc/config.toml";

/** Surroundings without any disk. */
export function surroundings(
  { files = {}, env = {}, folders = [], os = "linux", home = "/home/ada" }: Machine,
): Surroundings {
  const variables = new Map(Object.entries(env));
  const texts = new Map(Object.entries(files));
  return {
    env: (name) => variables.get(name),
    cwd: "/lab",
    home,
    os,
    isDirectory: (path) => folders.includes(path),
    readText: (path) => {
      const text = texts.get(path);
      if (text === undefined) throw new Deno.errors.NotFound(`no ${path}`);
      return text;
    },
  };
}

/** The settings of a machine whose file in the working directory has this content. */
export function load(toml: string, machine: Machine = {}, flags: ConfigFlags = {}): Config {
  return loadConfig(flags, surroundings({ ...machine, files: { [FILE]: toml, ...machine.files } }));
}

/** The settings of a machine without a file in the working directory. */
export function loadBare(machine: Machine, flags: ConfigFlags = {}): Config {
  return loadConfig(flags, surroundings(machine));
}

/** Name and base path of each backend. */
export function backends(config: Config): [string, string][] {
  return config.storage.map(({ name, basePath }) => [name, basePath]);
}
