/** Has a labels file read by a Web Worker that may read this one file and do nothing else, and not for long. */
import type { LabelsReport, LabelsSource } from "./labels_facts.ts";

/** A file that takes longer is not waited for, in milliseconds; a real one takes a tenth of a second. */
const LIMIT_MS = 10_000;
/** Loading the HDF5 library takes as much again; on a machine that is busy or short of memory it may take long. */
const LOAD_LIMIT_MS = 60_000;

/** What the Web Worker says: that it is there, then what it has found. */
export type FromLabelsWorker = "loaded" | LabelsReport;

/** What a labels file is about. Throws the abort reason, and nothing else. */
export async function inspectLabels(
  source: LabelsSource,
  signal: AbortSignal,
  limitMs = LIMIT_MS,
): Promise<LabelsReport> {
  signal.throwIfAborted();
  const worker = createWorker("path" in source ? source.path : undefined);
  const { promise, resolve, reject } = Promise.withResolvers<LabelsReport>();
  const endAfter = (ms: number): ReturnType<typeof setTimeout> =>
    setTimeout(() => resolve({ leftOut: `it could not be read within ${ms / 1000} s` }), ms);
  let timer = endAfter(LOAD_LIMIT_MS);
  const stop = (): void => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  worker.onmessage = ({ data }: MessageEvent<FromLabelsWorker>): void => {
    if (data !== "loaded") return resolve(data);
    clearTimeout(timer);
    timer = endAfter(limitMs);
    worker.postMessage(source, "head" in source ? [source.head.buffer] : []);
  };
  worker.onerror = (event): void => {
    event.preventDefault();
    resolve({ fault: `it is damaged: ${event.message}` });
  };
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    worker.terminate();
  }
}

function createWorker(path: string | undefined): Worker {
  const file = Deno.build.standalone ? "./labels_worker.js" : "./labels_worker.ts";
  return new Worker(new URL(file, import.meta.url), {
    type: "module",
    name: "labels",
    deno: {
      permissions: {
        read: path === undefined ? false : [path],
        write: false,
        net: false,
        env: false,
        sys: false,
        run: false,
        ffi: false,
        import: false,
      },
    },
  });
}
