import { join } from "node:path";
import { checkRelativePath, makeFolderInside, PathValidationError, resolveExisting } from "../containment.ts";
import { CHUNK_DEADLINE_MS, DEADLINE_MS, type Deadlines, within } from "../deadline.ts";
import { codeOf, fault, faultOf } from "../faults.ts";
import { FilesystemError } from "../filesystem.ts";

/**
 * Operations under way at once, abandoned ones included; others wait their turn. Each holds one of the runtime's few
 * file threads (32): a dead mount must not take those that serve the other storages.
 */
const MAX_BUSY = 8;
/** Abandoned operations still under way with which nothing more is tried: the mount is known to be dead. */
const MAX_STUCK = 4;

/** How one operation is waited for. */
export interface Wait<T> {
  /** Milliseconds; default: the deadline for one question. */
  ms?: number;
  /** Disposes of a result that comes after the deadline. */
  late?: (result: T) => unknown;
}

/** A root folder with patience: runs operations below it, each with a deadline, and tells their errors apart. */
export class LocalAccess {
  readonly root: string;
  /** Milliseconds for the next bytes of a file. */
  readonly chunkDeadline: number;
  readonly #deadline: number;
  #busy = 0;
  #stuck = 0;
  readonly #queue: (() => void)[] = [];

  constructor(root: string, { deadlineMs = DEADLINE_MS, chunkDeadlineMs = CHUNK_DEADLINE_MS }: Deadlines) {
    this.root = root;
    this.#deadline = deadlineMs;
    this.chunkDeadline = chunkDeadlineMs;
  }

  /** Runs one operation. Throws {@link FilesystemError}, `PathValidationError`, the abort reason. */
  async ask<T>(
    path: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
    { ms = this.#deadline, late }: Wait<T> = {},
  ): Promise<T> {
    signal?.throwIfAborted();
    if (this.#stuck >= MAX_STUCK) throw fault("gone", path);
    try {
      return await within({ path, ms, signal, late }, (abandoned) => this.#inTurn(work, abandoned));
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw await this.#explain(error, path);
    }
  }

  /** The true path of a name's folder with the name itself, not followed when it is a link. */
  async ownPath(path: string): Promise<string> {
    return await this.#below(path, resolveExisting);
  }

  /** The same for a name that need not be there yet; its folders are made. */
  async targetPath(path: string): Promise<string> {
    return await this.#below(path, makeFolderInside);
  }

  async #below(path: string, find: (root: string, folder: string) => Promise<string>): Promise<string> {
    const components = checkRelativePath(path);
    const name = components.pop();
    if (name === undefined) throw new FilesystemError("denied", path, "it is the root");
    return join(await find(this.root, components.join("/")), name);
  }

  /** Runs an operation when there is room for it, unless nobody waits for it by then. */
  async #inTurn<T>(work: () => Promise<T>, abandoned: AbortSignal): Promise<T> {
    while (this.#busy >= MAX_BUSY) await new Promise<void>((resolve) => this.#queue.push(resolve));
    try {
      this.#busy++;
      abandoned.throwIfAborted();
      return await this.#counted(work, abandoned);
    } finally {
      this.#busy--;
      this.#queue.shift()?.();
    }
  }

  /** Counts an operation that was abandoned for as long as it is under way. */
  async #counted<T>(work: () => Promise<T>, abandoned: AbortSignal): Promise<T> {
    const count = (): void => void this.#stuck++;
    abandoned.addEventListener("abort", count);
    try {
      return await work();
    } finally {
      abandoned.removeEventListener("abort", count);
      if (abandoned.aborted) this.#stuck--;
    }
  }

  async #explain(error: unknown, path: string): Promise<unknown> {
    if (error instanceof FilesystemError) return error;
    const refusal = error instanceof PathValidationError ? error.refusal : undefined;
    // Why the disk refused says more than that the path could not be used.
    const kind = faultOf(refusal ? (error as PathValidationError).cause : error);
    if (refusal === "outside" && !kind) {
      return await this.#isBelowFile(path) ? fault("not a folder", path, error) : error;
    }
    if (refusal === "corrupt") return fault("not a file", path, error);
    if (kind === "missing" || refusal === "missing" || refusal === "changed") {
      const known = kind && kind !== "missing";
      return fault(known ? kind : await this.#isGone(path) ? "gone" : "missing", path, error);
    }
    if (kind) return fault(kind, path, error);
    return refusal === "denied" || codeOf(error) !== undefined
      ? fault(refusal === "denied" ? "denied" : "failed", path, error)
      : error;
  }

  /** Whether the root itself cannot be looked at. */
  async #isGone(path: string): Promise<boolean> {
    try {
      return !(await within({ path, ms: this.#deadline }, () => Deno.stat(this.root))).isDirectory;
    } catch {
      return true;
    }
  }

  /** Whether some folder of a path that was refused is a file, in which case nothing is wrong with the path. */
  async #isBelowFile(path: string): Promise<boolean> {
    try {
      const components = checkRelativePath(path);
      for (let depth = 1; depth <= components.length; depth++) {
        const found = await resolveExisting(this.root, components.slice(0, depth).join("/"));
        if ((await Deno.lstat(found)).isFile) return true;
      }
    } catch { /* what is not there, or not acceptable, is no file */ }
    return false;
  }
}
