/** What the client's commands have in common: the room, the configuration, the output, and Ctrl-C. */
import type { Command } from "commander";
import { logFormatOption, parseWholeNumber } from "../config/program.ts";
import type { LogFormat } from "../config/log.ts";
import { ConfigError } from "../config/user_error.ts";
import type { RoomFlags } from "./room.ts";

export { interruptible } from "./interrupt.ts";

/** Flags of every command that goes to a room. */
export interface CommonFlags extends RoomFlags {
  config?: string;
  verbose?: boolean;
  quiet?: boolean;
  json?: boolean;
  logFormat?: LogFormat;
  relayOnly?: boolean;
}

/** Adds {@link CommonFlags}. */
export function withRoomOptions(command: Command): Command {
  return command
    .option("--session-string <text>", "the session string that a worker printed")
    .option("--room-id <id>", "a room; with --token, instead of a session string")
    .option("--token <token>", "the room's token")
    .option("--relay-only", "connect through TURN servers only")
    .option("--config <file>", "configuration file")
    .option("--verbose", "log more")
    .addOption(logFormatOption())
    .option("--quiet", "say nothing but warnings, errors and the result")
    .option("--json", "one JSON object a line on stdout");
}

/** Adds the flag of the commands that choose a worker. */
export function withMemoryOption(command: Command): Command {
  return command.option("--min-gpu-memory <mib>", "only workers with this much GPU memory", parseWholeNumber);
}

/** Adds the flags of `FetchAtEndFlags`. */
export function withFetchOptions(command: Command): Command {
  return command
    .option("--fetch <folder>", "copy the results there when the job has succeeded, each verified")
    .option("--force", "with --fetch: overwrite files there that are others");
}

/** Whether the flags name a room. Throws {@link ConfigError} when they name half of one, or two. */
export function namesRoom(flags: RoomFlags): boolean {
  const isNamed = [flags.sessionString, flags.roomId, flags.token].some((flag) => flag !== undefined);
  if (isNamed) checkRoom(flags);
  return isNamed;
}

/** Throws {@link ConfigError} unless the flags name a room. */
export function checkRoom(flags: RoomFlags): void {
  const room = flags.roomId !== undefined || flags.token !== undefined;
  if (flags.sessionString !== undefined && room) {
    throw new ConfigError("--session-string already names a room; leave out --room-id and --token");
  }
  if (flags.sessionString === undefined && (flags.roomId === undefined || flags.token === undefined)) {
    throw new ConfigError("which worker? give --session-string, or --room-id and --token", {
      hint: "the worker prints all three when it starts",
    });
  }
}
