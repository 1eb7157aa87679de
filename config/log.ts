import { configure, type LogRecord, type Sink } from "@logtape/logtape";
import { redact, redactData } from "./redact.ts";

/** How much a program says. */
export interface LogOptions {
  /** Debug lines as well. */
  verbose?: boolean;
  /** Errors only. */
  quiet?: boolean;
  /** One JSON object a line, for scripts. */
  json?: boolean;
  /** Says which of the two lines there are, whatever `json` says. */
  logFormat?: LogFormat;
}

/** How a log line looks. */
export type LogFormat = "json" | "text";

function textOf(record: LogRecord): string {
  return redact(record.message.map((part) => typeof part === "string" ? part : String(part)).join(""));
}

function plainLine(record: LogRecord): string {
  const time = new Date(record.timestamp).toTimeString().slice(0, 8);
  return `${time} ${record.level === "info" ? "" : `${record.level}: `}${textOf(record)}`;
}

function jsonLine(record: LogRecord): string {
  return JSON.stringify({
    time: new Date(record.timestamp).toISOString(),
    level: record.level,
    logger: record.category.join("."),
    text: textOf(record),
    // Stable name of what happened, where it has one.
    event: record.properties["event"],
    // Of an error: which kind it is.
    code: record.properties["code"],
    // What a line tells in its own words to people, for scripts.
    data: redactData(record.properties["data"]),
  });
}

let printInstead: ((line: string) => void) | undefined;

/** Log lines go through `instead` from now on, which may be drawing on the terminal; undefined for as before. */
export function printLogWith(instead: ((line: string) => void) | undefined): void {
  printInstead = instead;
}

/** Sends log lines, without secrets, to stderr; stdout is for what a program was asked for. Once per isolate. */
export async function configureLog(
  { verbose = false, quiet = false, json = false, logFormat }: LogOptions,
): Promise<void> {
  const lowestLevel = quiet ? "error" : verbose ? "debug" : "info";
  const line = (logFormat ?? (json ? "json" : "text")) === "json" ? jsonLine : plainLine;
  const stderr: Sink = (record) => (printInstead ?? console.error)(line(record));
  await configure({
    reset: true,
    sinks: { stderr },
    loggers: [
      { category: "sleap-rtc", sinks: ["stderr"], lowestLevel },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "warning" },
    ],
  });
}
