/**
 * Lines of a package's scripts (PROTOCOL.md section 13.2): which ones become runs, and why the others do not. The
 * scripts themselves are never run.
 */
import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";

/** One line that becomes a job program's run. */
export type ScriptLine =
  | { kind: "train"; config: string; runName: string }
  | { kind: "track"; arguments: readonly string[] };

/** A package whose content cannot be run. */
export class PackageError extends UserError {
  static override readonly code: ErrorCode = "PACKAGE_INVALID";
}

/** Longest script read, in bytes; a real one has a few lines. */
export const MAX_SCRIPT_BYTES = 1024 * 1024;
/** A run's name becomes a folder's and a part of an override: plain characters only. */
const RUN_NAME = /^[\p{L}\p{N}][\p{L}\p{N}_. +=@-]*$/u;

/** File name without its last extension: `sub/a.centroid.yaml` gives `a.centroid`. */
function runNameOf(config: string): string {
  const name = config.slice(config.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  return dot > 0 ? name.slice(0, dot) : name;
}

/**
 * An argument taken from a package must not reach outside its folder, nor pass for an option where a value is meant.
 * Throws {@link PackageError}.
 */
function checkArgument(text: string, where: string): void {
  // `a=b=/x`, `-o/x`: wherever a path may begin, and wherever a step may stand.
  const starts = [text, text.replace(/^-+[A-Za-z]/, ""), ...text.split("=")];
  const leavesFolder = starts.some((part) => /^([\\/~]|[A-Za-z]:[\\/])/.test(part));
  if (leavesFolder || text.split(/[\\/=]/).some((part) => part.replace(/^-+[A-Za-z]/, "") === "..")) {
    throw new PackageError(`${where}: "${text}" leads out of the package's folder`);
  }
}

/** A line of a script: what it runs, or why no worker runs it. */
export interface ScriptRow {
  /** From 1; of a continued line the first. */
  line: number;
  text: string;
  run: ScriptLine | undefined;
  /** Undefined for runs, and for what is not meant to be run: blank lines and comments. */
  ignored: string | undefined;
}

/** Lines with their numbers; where `joined`, a backslash at the end of one joins it to the next. */
function linesOf(script: string, joined: boolean): { line: number; text: string }[] {
  const rows: { line: number; text: string }[] = [];
  let pieces: string[] = [];
  const texts = script.split(/\r?\n/);
  for (const [index, text] of texts.entries()) {
    const isOpen = joined && text.endsWith("\\");
    pieces.push(isOpen ? text.slice(0, -1) : text);
    if (isOpen && index + 1 < texts.length) continue;
    rows.push({ line: index + 2 - pieces.length, text: pieces.join(" ") });
    pieces = [];
  }
  return rows;
}

function rowsOf(
  script: string,
  joined: boolean,
  read: (text: string, where: string) => ScriptLine | string,
): ScriptRow[] {
  return linesOf(script, joined).map(({ line, text }) => {
    if (/^\s*(#|$)/.test(text)) return { line, text, run: undefined, ignored: undefined };
    const found = read(text, `line ${line} of the script`);
    return typeof found === "string"
      ? { line, text, run: undefined, ignored: found }
      : { line, text, run: found, ignored: undefined };
  });
}

/**
 * All lines of a `train-script.sh`. Throws {@link PackageError} for a config outside the package or a name that cannot
 * be a folder's.
 */
export function readTrainScript(script: string): ScriptRow[] {
  return rowsOf(script, false, (text, where) => {
    if (!/^\s*(sleap-nn\s+train|sleap-train)\s/.test(`${text} `)) {
      return "workers run only `sleap-nn train` and `sleap-train`";
    }
    const config = [...text.matchAll(/\s--config-name\s+(\S+)/g)].at(-1)?.[1]?.replace(
      /^(["'])(.*)\1$/,
      "$2",
    );
    return config === undefined
      ? "expected `--config-name`, a blank and a configuration on the same line"
      : trainLine(config, where);
  });
}

/** The training runs that a `train-script.sh` asks for, in order. Throws as {@link readTrainScript}. */
export function parseTrainScript(script: string): ScriptLine[] {
  return readTrainScript(script).flatMap(({ run }) => run ?? []);
}

/**
 * The training run of a configuration, a path relative to the package. `where` it was found is for errors. Throws
 * {@link PackageError} for one outside the package or a name that cannot be a folder's.
 */
export function trainLine(config: string, where: string): ScriptLine {
  checkArgument(config, where);
  const runName = runNameOf(config);
  if (config.startsWith("-") || !RUN_NAME.test(runName)) {
    throw new PackageError(`${where}: "${config}" cannot name a training run`);
  }
  return { kind: "train", config, runName };
}

/**
 * All lines of a `track-script.sh`; continued ones are joined, arguments split at blanks. Throws {@link PackageError}
 * for an argument that leads out of the package.
 */
export function readTrackScript(script: string): ScriptRow[] {
  return rowsOf(script, true, (text, where) => {
    const rest = /^\s*sleap-nn\s+track\s+(.*)$/.exec(text)?.[1];
    if (rest === undefined) return "workers run only `sleap-nn track` with arguments";
    const words = rest.split(/\s+/).filter((word) => word !== "");
    for (const word of words) checkArgument(word, where);
    return { kind: "track", arguments: words };
  });
}

/** The inference runs that a `track-script.sh` asks for. Throws as {@link readTrackScript}. */
export function parseTrackScript(script: string): ScriptLine[] {
  return readTrackScript(script).flatMap(({ run }) => run ?? []);
}
