/** Finds out which of a worker's backends holds a file of this machine, where nobody has configured it. */
import { sep } from "node:path";
import { SAME_STORAGE } from "../protocol/storage_proof.ts";
import type { Connection } from "./connect.ts";
import { Conversation } from "./conversation.ts";
import { RefusedError } from "./job_error.ts";
import type { Screen } from "./screen.ts";
import { proveSameStorage } from "./submit.ts";
import { ask } from "./talk.ts";
import { UserError } from "../config/user_error.ts";

/** Time limit for each of the worker's answers, in milliseconds. */
const LIMIT_MS = 10_000;

/** A storage that both sides see, proven on one file. */
export interface Suggestion {
  backend: string;
  /** Absolute path of the backend here. */
  basePath: string;
}

/** Ways to read a path as base, user folder and rest; the longest rest, hence the likeliest mount point, first. */
export function splits(path: string): { basePath: string; userSubdir: string; relativePath: string }[] {
  const components = path.split(sep).filter((name) => name !== "");
  const found: { basePath: string; userSubdir: string; relativePath: string }[] = [];
  for (let depth = 1; depth < components.length; depth++) {
    const rest = components.slice(depth);
    const userSubdir = rest.length > 1 ? rest[0]! : "";
    const relativePath = rest.slice(userSubdir === "" ? 0 : 1).join("/");
    found.push({ basePath: sep + components.slice(0, depth).join(sep), userSubdir, relativePath });
  }
  return found;
}

/**
 * Asks a worker about every reading of a file's path in each of its backends, and has each match proven. `file` is
 * absolute and its links are resolved. Throws {@link UserError} when the worker cannot prove anything.
 */
export async function suggestBackends(
  connection: Connection,
  backends: readonly string[],
  file: string,
  screen: Screen,
  signal: AbortSignal,
): Promise<Suggestion[]> {
  if (!connection.features.includes(SAME_STORAGE)) {
    throw new UserError("this worker cannot prove what it sees; is it a Python worker?", {
      code: "WORKER_LACKS_FEATURE",
    });
  }
  const talk = { conversation: new Conversation(connection.pipe), screen, signal };
  const found: Suggestion[] = [];
  for (const backend of backends) {
    for (const { basePath, userSubdir, relativePath } of splits(file)) {
      try {
        await ask(talk, { type: "STORAGE_BACKEND", name: backend }, LIMIT_MS);
        await connection.pipe.send(`USER_SUBDIR::${userSubdir}`);
        await ask(talk, { type: "SHARED_INPUT_PATH", path: relativePath }, LIMIT_MS);
        await proveSameStorage(talk, file);
        found.push({ backend, basePath });
        break;
      } catch (error) {
        if (!(error instanceof RefusedError)) throw error;
      }
    }
  }
  return found;
}

/** The suggestions as sections of `sleap-rtc.toml`. */
export function suggestionToml(suggestions: readonly Suggestion[]): string {
  return suggestions.map(({ backend, basePath }) =>
    `[storage.${backend}]\nbase_path = ${JSON.stringify(basePath)}\n`
  ).join("\n");
}
