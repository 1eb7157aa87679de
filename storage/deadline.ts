import { FilesystemError } from "./filesystem.ts";

/** How long to wait for a storage, and what to do with an answer that comes too late. */
export interface Patience<T> {
  /** What was asked for, as the caller named it; goes into the error. */
  path: string;
  /** Milliseconds until the storage counts as gone. */
  ms: number;
  /** The caller's signal. */
  signal?: AbortSignal | undefined;
  /** Disposes of a result that nobody waits for any more. */
  late?: ((result: T) => unknown) | undefined;
}

/**
 * Waits for an operation that may never end: a file operation on a dead mount cannot be cancelled, only abandoned.
 * The operation gets a signal that is aborted when nobody waits any more. Throws what the operation throws, the
 * abort reason, and {@link FilesystemError} (`gone`) after the deadline.
 */
export async function within<T>(
  { path, ms, signal, late }: Patience<T>,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const { promise: abandoned, reject } = Promise.withResolvers<never>();
  const stop = new AbortController();
  const abandon = (reason: unknown): void => {
    stop.abort(reason);
    reject(reason);
  };
  const onAbort = (): void => abandon(signal?.reason);
  const timer = setTimeout(
    () => abandon(new FilesystemError("gone", path, `no answer from the storage within ${ms / 1000} s`)),
    ms,
  );
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const result = work(stop.signal);
    result.then((value) => stop.signal.aborted && late?.(value), () => {});
    return await Promise.race([result, abandoned]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Waits for a promise that is not the storage's, as long as the signal allows. Throws the abort reason. */
export async function unlessAborted<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return await work;
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Milliseconds, or as the option says; each adapter has its own default for each. */
export interface Deadlines {
  /** For one question about names, sizes or times; default 10 s. */
  deadlineMs?: number;
  /** For the next bytes of a file, in either direction; default 30 s. */
  chunkDeadlineMs?: number;
}

/** Default of {@link Deadlines.deadlineMs}. */
export const DEADLINE_MS = 10_000;
/** Default of {@link Deadlines.chunkDeadlineMs}. */
export const CHUNK_DEADLINE_MS = 30_000;

/**
 * The chunks of a stream until it ends, each waited for as long as the signal allows. Leaving early cancels the
 * stream. Throws the stream's own error and the abort reason.
 */
export async function* chunksOf(
  content: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const reader = content.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await unlessAborted(reader.read(), signal);
      if (done) break;
      yield value;
    }
    ended = true;
  } finally {
    // Not waited for: a source that hangs may hang on cancel as well.
    if (!ended) void reader.cancel(signal?.reason).catch(() => {});
    else reader.releaseLock();
  }
}
