/**
 * Runs work for 0, 1, … below `count`, at most `parallel` at once. The first failure stops the others, which get its
 * signal, and is thrown when all have ended; so is the abort reason.
 */
export async function inParallel(
  count: number,
  parallel: number,
  signal: AbortSignal | undefined,
  work: (index: number, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count && !stop.signal.aborted) await work(next++, stop.signal);
  };
  try {
    const lanes = Array.from({ length: Math.min(parallel, count) }, () => {
      return lane().catch((error: unknown) => stop.abort(error));
    });
    await Promise.all(lanes);
    stop.signal.throwIfAborted();
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}
