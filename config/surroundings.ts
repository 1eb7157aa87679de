/** The machine that settings are loaded on, and paths as people write them. */
import { homedir } from "node:os";
import { resolve } from "node:path";
import { hasScheme } from "./schema.ts";
import { ConfigError } from "./user_error.ts";

/** The surroundings that loading depends on; replaced in tests. */
export interface Surroundings {
  env: (name: string) => string | undefined;
  cwd: string;
  home: string;
  os: string;
  isDirectory: (path: string) => boolean;
  readText: (path: string) => string;
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** This process's surroundings. */
export function realSurroundings(): Surroundings {
  return {
    env: (name) => Deno.env.get(name),
    cwd: Deno.cwd(),
    home: homedir(),
    os: Deno.build.os,
    isDirectory,
    readText: (path) => Deno.readTextFileSync(path),
  };
}

/** The key of `base_path = { … }` that counts on this machine. */
export function platformKey(os: string): "darwin" | "windows" | "linux" {
  return os === "darwin" || os === "windows" ? os : "linux";
}

/** A leading `~…`, `${NAME}`, `$NAME`: all in one pass, so that what is filled in is not expanded again. */
const FILLED_IN = /^~[^\\/]*|\$(?:\{([^}]*\}?)|(\w+))/g;

/**
 * An absolute path: `~` and `$NAME` or `${NAME}` filled in. Throws {@link ConfigError} for a variable that is not
 * set or empty, and for what is no path of this machine.
 */
export function expandPath(text: string, at: Surroundings): string {
  if (text === "") throw new ConfigError("the path is empty");
  const expanded = text.replace(
    FILLED_IN,
    (found: string, braced: string | undefined, bare: string | undefined) => {
      if (found === "~") return at.home;
      if (found.startsWith("~")) {
        throw new ConfigError(
          `the path "${text}" begins with "${found}"; "~" stands for your own home folder only`,
        );
      }
      const name = bare ?? /^(\w+)\}$/.exec(braced ?? "")?.[1];
      if (name === undefined) {
        throw new ConfigError(`the path "${text}" holds "${found}"; expected \${NAME}`);
      }
      const value = at.env(name);
      // An empty one would turn "$LAB/data" into "/data", a place that nobody named.
      if (value === undefined || value === "") {
        throw new ConfigError(
          `the path "${text}" uses $${name}, which is ${value === "" ? "empty" : "not set"}`,
        );
      }
      return value;
    },
  );
  if (hasScheme(expanded)) throw new ConfigError(`"${text}" is not a path of this machine`);
  return resolve(at.cwd, expanded);
}
