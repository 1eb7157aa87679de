import type { Command } from "commander";
import { ConfigError } from "../config/user_error.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";

/** Name, placeholder, smallest value and help of each limit's flag, which is called as the limit with dashes. */
const FLAGS: Readonly<Record<keyof Limits, readonly [placeholder: string, min: number, help: string]>> = {
  messageBytes: ["bytes", 1024, "largest message of a peer"],
  messageRate: ["n", 1, "messages a second that a peer may send for long, relayed data not counted"],
  messageBurst: ["n", 1, "messages that it may send at once"],
  peersPerRoom: ["n", 2, "peers in one room"],
  roomsPerAddress: ["n", 1, "rooms that one address may create in an hour"],
  signInsPerAddress: ["n", 1, "sign-ins of one address in an hour"],
  connectionsPerAddress: ["n", 1, "WebSockets of one address at a time"],
  connections: ["n", 1, "WebSockets of all addresses at a time"],
  registerTimeout: ["seconds", 1, "how long a WebSocket may take to register"],
  idleTimeout: ["seconds", 0, "close a WebSocket that answers no ping for so long; 0 for never"],
};

/** Adds a flag for each limit. */
export function addLimitFlags(command: Command): Command {
  for (const [limit, [placeholder, min, help]] of Object.entries(FLAGS)) {
    const flag = limit.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const parse = (text: string): number => parseLimit(flag, text, min);
    command.option(`--${flag} <${placeholder}>`, help, parse, DEFAULT_LIMITS[limit as keyof Limits]);
  }
  return command;
}

function parseLimit(flag: string, text: string, min: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (value >= min) return value;
  throw new ConfigError(`--${flag}: "${text}" is no limit`, { hint: `write a whole number from ${min}` });
}
