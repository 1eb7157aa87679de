/** The fixed texts of `PATH_ERROR` and `JOB_FAILED`, and the code that each stands for. Source: PROTOCOL.md section 17. */
import type { ErrorCode } from "../config/error_code.ts";

/** Why a path was refused. */
export type PathRefusal = "outside" | "missing" | "denied" | "changed" | "corrupt";

/** What `PATH_ERROR` begins with; the path as received follows. */
export const PATH_TEXTS: Readonly<Record<PathRefusal, string>> = {
  outside: "Path outside shared storage",
  missing: "Input path does not exist",
  denied: "Permission denied",
  changed: "File not found",
  corrupt: "File corrupted or invalid format",
};

/** See {@link PATH_TEXTS}. */
export const PATH_CODES: Readonly<Record<PathRefusal, ErrorCode>> = {
  outside: "PATH_OUTSIDE",
  missing: "PATH_MISSING",
  denied: "PATH_DENIED",
  changed: "PATH_CHANGED",
  corrupt: "FILE_CORRUPT",
};

/** `JOB_FAILED` when the disk or the quota ran full. */
export const DISK_FULL_TEXT = "Disk space exhausted on shared storage";
/** `JOB_FAILED` when the package would not have fitted. */
export const NO_SPACE_TEXT = "Insufficient disk space on the worker";
/** `PATH_ERROR` of a worker without any storage. */
export const NO_STORAGE_TEXT = "Shared storage not configured on worker";

const CODES: readonly (readonly [beginning: string, code: ErrorCode])[] = [
  ...Object.entries(PATH_TEXTS).map(([refusal, text]) => [text, PATH_CODES[refusal as PathRefusal]] as const),
  [DISK_FULL_TEXT, "DISK_FULL"],
  [NO_SPACE_TEXT, "NO_SPACE"],
  [NO_STORAGE_TEXT, "NO_BACKEND"],
];

/** What a worker's `PATH_ERROR` or `JOB_FAILED` text means; `otherwise` for one that is not fixed. */
export function refusalCode(text: string, otherwise: ErrorCode): ErrorCode {
  return CODES.find(([beginning]) => text.startsWith(beginning))?.[1] ?? otherwise;
}
