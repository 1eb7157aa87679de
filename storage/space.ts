/** Room on a file system: how much there is, how much a package needs, and what it is to run out of it. */
import { statfs } from "node:fs";
import { promisify } from "node:util";
import type { ErrorCode } from "../config/error_code.ts";
import { ConfigError, errorText, UserError } from "../config/user_error.ts";

/** Free space asked for, as a multiple of the file's size: room for what is extracted from it. */
export const SPACE_FACTOR = 1.2;

/** Size of a package where none is given, in bytes: most have 5 to 9 GB. */
export const TYPICAL_PACKAGE = 7e9;

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

/** A storage has not the room for what is to be written to it. */
export class InsufficientSpaceError extends UserError {
  static override readonly code: ErrorCode = "NO_SPACE";

  constructor(folder: string, needed: number, free: number) {
    super(
      `Insufficient disk space on shared storage: ${gib(needed)} needed, ${gib(free)} free in ${folder}`,
      {
        hint: "remove old job folders below jobs/, or let the package travel over the data channel",
      },
    );
  }
}

/** A disk, or a quota, ran full in the middle of a copy. Sizes in bytes. */
export class DiskFullError extends UserError {
  static override readonly code: ErrorCode = "DISK_FULL";

  constructor(folder: string, done: number, total: number, cause: unknown) {
    const quota = cause instanceof Error && "code" in cause && cause.code === "EDQUOT";
    const what = quota ? "the quota is used up" : "the disk is full";
    super(`${what} in ${folder}: ${gib(done)} of ${gib(total)} were copied`, {
      hint: "remove old job folders: sleap-rtc-client storage clean --older-than 14d",
      cause,
    });
  }
}

/** Whether an error says that the disk, or a quota, is full. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof DiskFullError ||
    error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}

/** Free bytes for this user on the file system that holds a folder. */
export async function freeSpace(folder: string): Promise<number> {
  const stats = await promisify(statfs)(folder);
  return stats.bavail * stats.bsize;
}

/** Bytes that have to be free for a package of so many bytes. */
export function spaceNeeded(bytes: number): number {
  return bytes * SPACE_FACTOR;
}

/** Throws {@link InsufficientSpaceError} unless 120 % of `bytes` are free in an existing folder. */
export async function requireSpace(folder: string, bytes: number): Promise<void> {
  const [needed, free] = [spaceNeeded(bytes), await freeSpace(folder)];
  if (free < needed) throw new InsufficientSpaceError(folder, needed, free);
}

/** Bytes of a package that is to have room; undefined without one. Throws {@link ConfigError}. */
export async function packageSize(path: string | undefined): Promise<number | undefined> {
  if (path === undefined) return undefined;
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    throw new ConfigError(`cannot read the package ${path}: ${errorText(error)}`, { cause: error });
  }
}
