/** Recognised lines of a package's scripts (PROTOCOL.md section 13.2). The scripts themselves are never run. */
import { UserError } from "../config/user_error.ts";

/** One line that becomes a job program's run. */
export type ScriptLine =
  | { kind: "train"; config: string; runName: string }
  | { kind: "track"; arguments: readonly string[] };

/** A package whose content cannot be run. */
export class PackageError extends UserError {}

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

/**
 * The training runs that a `train-script.sh` asks for, in order; other lines are passed over.
 * Throws {@link PackageError} for a config outside the package or a name that cannot be a folder's.
 */
export function parseTrainScript(script: string): ScriptLine[] {
  return script.split(/\r?\n/).flatMap((line, index): ScriptLine[] => {
    if (!/^\s*(sleap-nn\s+train|sleap-train)\s/.test(line)) return [];
    const config = [...line.matchAll(/\s--config-name\s+(\S+)/g)].at(-1)?.[1]?.replace(
      /^(["'])(.*)\1$/,
      "$2",
    );
    return config === undefined ? [] : [trainLine(config, `line ${index + 1} of the script`)];
  });
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
 * The inference runs that a `track-script.sh` asks for; continued lines are joined, arguments split at blanks.
 * Throws {@link PackageError} for an argument that leads out of the package.
 */
export function parseTrackScript(script: string): ScriptLine[] {
  return script.replace(/\\\r?\n/g, " ").split(/\r?\n/).flatMap((line, index): ScriptLine[] => {
    const rest = /^\s*sleap-nn\s+track\s+(.*)$/.exec(line)?.[1];
    if (rest === undefined) return [];
    const words = rest.split(/\s+/).filter((word) => word !== "");
    for (const word of words) checkArgument(word, `line ${index + 1} of the script`);
    return [{ kind: "track", arguments: words }];
  });
}

/** Ports of this machine for the ZeroMQ sockets of one run. */
export interface TrainerPorts {
  /** The trainer publishes to this one … */
  publishPort: number;
  /** … and listens to this one. */
  controllerPort: number;
}

/**
 * The command for a line: `{config}`, `{run_name}`, `{publish_port}` and `{controller_port}` are filled in, the word
 * `{arguments}` becomes the line's arguments.
 */
export function commandFor(line: ScriptLine, template: readonly string[], ports?: TrainerPorts): string[] {
  if (line.kind === "track") {
    return template.flatMap((word) => word === "{arguments}" ? line.arguments : [word]);
  }
  const values: Readonly<Record<string, string | undefined>> = {
    config: line.config,
    run_name: line.runName,
    publish_port: ports?.publishPort.toString(),
    controller_port: ports?.controllerPort.toString(),
  };
  // In one pass, so that what was filled in is not filled in again.
  return template.map((word) => word.replace(FILLED_IN, (found, key) => values[key] ?? found));
}

const FILLED_IN = /\{(config|run_name|publish_port|controller_port)\}/g;

/** Whether a command wants ports for the trainer. */
export function wantsPorts(template: readonly string[]): boolean {
  return template.some((word) => /\{(publish|controller)_port\}/.test(word));
}
