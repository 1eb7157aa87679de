/** Keeps an eye on work with files: ends it when it is called off, or when a storage no longer answers. */
import type { ErrorCode } from "../config/error_code.ts";
import { UserError } from "../config/user_error.ts";

/** Work past its time limit goes on as long as it advances at least this often, in milliseconds. */
const STALL_MS = 30_000;
/** A flush counts as advancing as long as the storage could be taking this many bytes a second. */
const SLOWEST_FLUSH = 1e6;
/** No flush is waited for longer, in milliseconds. */
const LONGEST_FLUSH_MS = 600_000;
/** How often a stall is looked for, in milliseconds. */
const TICK_MS = 1_000;
/** How long called-off work has to clean up after itself, in milliseconds; on a dead mount it never comes back. */
const GRACE_MS = 5_000;

/** A copy took longer than its size allows and no longer advances. */
export class CopyTimeoutError extends UserError {
  static override readonly code: ErrorCode = "COPY_TIMEOUT";

  constructor(seconds: number) {
    super(`File copy timed out after ${Math.round(seconds)} seconds`, {
      hint: "is the storage's mount alive?",
    });
  }
}

/** Seconds a copy of this many bytes may take: max(60 s, size / 100 MB/s + 30 s). Source: PROTOCOL.md section 14. */
export function copyTimeLimit(bytes: number): number {
  return Math.max(60, bytes / 100e6 + 30);
}

/** What supervised work tells, and asks. */
export interface Watch {
  /** Says that something was done. `unflushed`: bytes that the storage may still hold in memory. */
  advance(unflushed?: number): void;
  /** Throws the abort reason, or {@link CopyTimeoutError}, once the work is to end. */
  check(): void;
}

/** When supervised work ends; milliseconds. */
export interface Limits {
  /** Before this the work is left in peace. */
  limitMs: number;
  /** After it, the longest without an advance. */
  stallMs?: number;
  /** How often that is looked at. */
  tickMs?: number;
  /** How long work that was called off is waited for. */
  graceMs?: number;
  signal?: AbortSignal | undefined;
}

/**
 * Runs work until it ends, is aborted, or is past its time limit and no longer advances. In the last two cases the
 * work is given a moment to clean up, then left behind: a system call on a dead mount cannot be ended, but nobody has
 * to wait for it. Throws what the work throws, the abort reason, {@link CopyTimeoutError}.
 */
export async function supervise<Result>(
  { limitMs, stallMs = STALL_MS, tickMs = TICK_MS, graceMs = GRACE_MS, signal }: Limits,
  work: (watch: Watch) => Promise<Result>,
): Promise<Result> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const began = performance.now();
  let deadline = began + stallMs;
  const watch: Watch = {
    advance: (unflushed = 0) => {
      const flushMs = Math.min(LONGEST_FLUSH_MS, unflushed / SLOWEST_FLUSH * 1000);
      deadline = performance.now() + stallMs + flushMs;
    },
    check: () => stop.signal.throwIfAborted(),
  };
  const timer = setInterval(() => {
    const now = performance.now();
    if (now - began > limitMs && now > deadline) stop.abort(new CopyTimeoutError((now - began) / 1000));
  }, tickMs);
  const abort = (): void => stop.abort(signal?.reason);
  signal?.addEventListener("abort", abort);
  const stopped = rejection(stop.signal);
  const running = work(watch);
  try {
    return await Promise.race([stopped, running]);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    await settled(running, graceMs);
    throw stop.signal.reason;
  } finally {
    clearInterval(timer);
    signal?.removeEventListener("abort", abort);
  }
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Returns when something has ended, either way, or after so many milliseconds. */
async function settled(work: Promise<unknown>, limitMs: number): Promise<void> {
  const { promise: limit, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, limitMs);
  await Promise.race([work.then(() => {}, () => {}), limit]);
  clearTimeout(timer);
}
