import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";

/**
 * What every kind of storage can do. Paths are relative to the storage's root, `/` between components, checked by
 * `storage/containment`; `""` is the root. Every call honours its signal: when that is aborted the call rejects with
 * the abort reason, also when the storage itself never answers.
 */
export interface Filesystem {
  /** Whether a file or folder is there. */
  exists(path: string, signal?: AbortSignal): Promise<boolean>;
  /** Throws {@link FilesystemError} (`missing`) when nothing is there. */
  stat(path: string, signal?: AbortSignal): Promise<FileStat>;
  /** Entries of a folder, in no order. Throws {@link FilesystemError} (`missing`, `not a folder`). */
  list(path: string, signal?: AbortSignal): AsyncIterable<FolderEntry>;
  /** Bytes of a file, from `offset`, at most `length`; streamed. Throws, or fails the stream, with {@link FilesystemError}. */
  read(path: string, range?: ByteRange, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>>;
  /**
   * A whole file from a stream, its folders made as needed: it appears whole, under its name, or not at all; what
   * was there is replaced. Throws {@link FilesystemError}; the stream's own error.
   */
  write(
    path: string,
    content: ReadableStream<Uint8Array>,
    options?: WriteOptions,
    signal?: AbortSignal,
  ): Promise<void>;
  /** A folder and those above it; one that is there is used. Storage without folders does nothing. */
  makeFolder(path: string, signal?: AbortSignal): Promise<void>;
  /** A file to a new name, replacing what is there. */
  copy(from: string, to: string, signal?: AbortSignal): Promise<void>;
  /** A file to a new name, replacing what is there; at no moment are both or none there, where the storage can. */
  move(from: string, to: string, signal?: AbortSignal): Promise<void>;
  /** A file, or a folder with everything in it. Nothing there is no error. */
  remove(path: string, signal?: AbortSignal): Promise<void>;
  /** Free bytes; undefined where the storage knows no bound. */
  freeSpace(signal?: AbortSignal): Promise<number | undefined>;
  /** Returns when what was written below a path will survive a crash. */
  flush(path: string, signal?: AbortSignal): Promise<void>;
}

/** What is known of a file or folder. */
export interface FileStat {
  isFile: boolean;
  isFolder: boolean;
  /** Bytes; 0 for a folder. */
  size: number;
  /** Undefined where the storage keeps none. */
  modified: Date | undefined;
  /** Unix permission bits; undefined where the storage keeps none. */
  mode: number | undefined;
}

/** One name in a folder. */
export interface FolderEntry {
  name: string;
  isFile: boolean;
  isFolder: boolean;
}

/** A part of a file, in bytes. */
export interface ByteRange {
  /** From 0; default 0. */
  offset?: number;
  /** Default: to the end. */
  length?: number;
}

/** What a written file keeps of its source, where the storage can. */
export interface WriteOptions {
  modified?: Date;
  mode?: number;
  /** Bytes that will come, when known: lets a store choose its part size. */
  size?: number;
}

/** Why a storage could not do what was asked. */
export type FilesystemFault =
  | "missing"
  | "exists"
  | "not a folder"
  | "not a file"
  | "denied"
  | "full"
  | "read-only"
  | "gone"
  | "corrupt"
  | "failed";

const CODES: Readonly<Record<FilesystemFault, ErrorCode>> = {
  missing: "PATH_MISSING",
  exists: "FILE_EXISTS",
  "not a folder": "FILE_KIND",
  "not a file": "FILE_KIND",
  denied: "PATH_DENIED",
  full: "DISK_FULL",
  "read-only": "STORAGE_READ_ONLY",
  gone: "STORAGE_GONE",
  corrupt: "FILE_CORRUPT",
  failed: "STORAGE_FAILED",
};

/** A storage that could not do what was asked. `gone`: the mount or the server went away. */
export class FilesystemError extends UserError {
  readonly fault: FilesystemFault;
  /** The path as it was asked for. */
  readonly path: string;

  constructor(fault: FilesystemFault, path: string, detail: string, cause?: unknown) {
    super(`${JSON.stringify(path)}: ${detail}`, { code: CODES[fault], cause });
    this.fault = fault;
    this.path = path;
  }
}
