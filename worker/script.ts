/** What a recognised line of a package's script becomes here. */
import type { ScriptLine } from "../protocol/package_script.ts";

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
