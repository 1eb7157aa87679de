import { UserError } from "../config/user_error.ts";
import { type ByteRange, FilesystemError, type FilesystemFault } from "./filesystem.ts";
import { DiskFullError } from "./space.ts";

/** Which fault an operating system's error code is; from errno(3) and connect(2). */
const FAULTS: Readonly<Record<string, FilesystemFault>> = {
  ENOENT: "missing",
  EEXIST: "exists",
  ENOTDIR: "not a folder",
  EISDIR: "not a file",
  EACCES: "denied",
  EPERM: "denied",
  ENOSPC: "full",
  EDQUOT: "full",
  EROFS: "read-only",
  ENOTCONN: "gone",
  ESTALE: "gone",
  EIO: "gone",
  ENODEV: "gone",
  ENXIO: "gone",
  EHOSTDOWN: "gone",
  EHOSTUNREACH: "gone",
  ENETDOWN: "gone",
  ENETUNREACH: "gone",
  ETIMEDOUT: "gone",
  ECONNREFUSED: "gone",
  ECONNRESET: "gone",
  ECONNABORTED: "gone",
  EPIPE: "gone",
  ENOTFOUND: "gone",
  EAI_AGAIN: "gone",
};

/** Errors that Deno makes itself have a class and no code. */
const CLASSES: readonly (readonly [new (message?: string) => Error, FilesystemFault])[] = [
  [Deno.errors.NotFound, "missing"],
  [Deno.errors.AlreadyExists, "exists"],
  [Deno.errors.NotADirectory, "not a folder"],
  [Deno.errors.IsADirectory, "not a file"],
  [Deno.errors.PermissionDenied, "denied"],
  [Deno.errors.NotCapable, "denied"],
  [Deno.errors.NotConnected, "gone"],
  [Deno.errors.TimedOut, "gone"],
];

const DETAILS: Readonly<Record<FilesystemFault, string>> = {
  missing: "nothing is there",
  exists: "something is there already",
  "not a folder": "a file is there, expected a folder",
  "not a file": "a folder is there, expected a file",
  denied: "permission denied",
  full: "no space left, or the quota is used up",
  "read-only": "the storage is read-only",
  gone: "the storage went away",
  corrupt: "the bytes are not those that were expected",
  failed: "the storage failed",
};

/** `code` that the operating system or a library gave an error; undefined when there is none. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof UserError) return undefined;
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Which fault an error of the operating system is, by its class and `code`; undefined when neither says. */
export function faultOf(error: unknown): FilesystemFault | undefined {
  if (error instanceof DiskFullError) return "full";
  const code = codeOf(error);
  if (code !== undefined && Object.hasOwn(FAULTS, code)) return FAULTS[code];
  return CLASSES.find(([type]) => error instanceof type)?.[1];
}

/** An error with the usual text for its fault, and a note in brackets: the cause's code, unless told otherwise. */
export function fault(
  kind: FilesystemFault,
  path: string,
  cause?: unknown,
  note: string | undefined = codeOf(cause),
): FilesystemError {
  return new FilesystemError(kind, path, DETAILS[kind] + (note === undefined ? "" : ` (${note})`), cause);
}

/** Throws ({@link FilesystemError}, `corrupt`) unless as many bytes came as were announced, if any were. */
export function checkSize(path: string, came: number, announced: number | undefined): void {
  if (announced === undefined || came === announced) return;
  throw new FilesystemError("corrupt", path, `${came} bytes came, ${announced} were announced`);
}

/** A range with its defaults filled in; `length` may be infinite. Throws `RangeError` for what is no whole number. */
export function boundsOf(range: ByteRange | undefined): Required<ByteRange> {
  const { offset = 0, length = Infinity } = range ?? {};
  const valid = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
  if (!valid(offset) || !(valid(length) || length === Infinity)) {
    throw new RangeError(`expected a range of whole bytes, found ${length} from ${offset}`);
  }
  return { offset, length };
}
