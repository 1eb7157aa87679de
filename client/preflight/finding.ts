/** What a look into a package finds, and how it is told. */
import type { ErrorCode } from "../../config/error_code.ts";
import { UserError } from "../../config/user_error.ts";
import { printable } from "../../protocol/printable.ts";

/** One thing that was looked at. */
export interface Finding {
  /** With a `failure` the job cannot succeed; with a `warning` it may not. */
  level: "ok" | "warning" | "failure";
  /** Name of the package, path of a file in it, or `worker`. */
  file: string;
  /** From 1. */
  line?: number;
  /** What was found, and what was expected. */
  text: string;
  /** What to do about it. */
  hint?: string;
}

const MARKS: Readonly<Record<Finding["level"], string>> = { ok: "ok  ", warning: "WARN", failure: "FAIL" };
/** Longest text that is shown, in characters: it may quote a package. */
const MAX_TEXT = 500;

/** Where and what, on one line; without what could drive a terminal. */
export function findingText({ file, line, text }: Finding): string {
  return printable(`${file}${line === undefined ? "" : ` line ${line}`}: ${text}`, MAX_TEXT);
}

/** How a finding is shown: `FAIL  a.yaml line 3: …`, what to do below it. */
export function findingLine(finding: Finding): string {
  const hint = finding.hint === undefined ? "" : `\n      ${printable(finding.hint, MAX_TEXT)}`;
  return `${MARKS[finding.level]}  ${findingText(finding)}${hint}`;
}

/** A package that cannot succeed; nothing was sent. */
export class PackageFaultsError extends UserError {
  static override readonly code: ErrorCode = "PREFLIGHT_FAILED";

  /** `failures`: at least one. */
  constructor(failures: readonly Finding[]) {
    super(["the package cannot succeed, and was not sent:", ...failures.map(findingLine)].join("\n"), {
      hint: "`check` shows all findings; --no-preflight sends it all the same",
    });
  }
}
