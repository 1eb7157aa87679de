/** Has a labels file read by a Web Worker that may read this one file and do nothing else, and not for long. */
import type { LabelsReport, LabelsSource } from "./labels_facts.ts";

/** A file that takes longer is not waited for, in milliseconds; a real one takes a fifth of a second. */
const LIMIT_MS = 15_000;

/** What a labels file is about. Throws the abort reason, and nothing else. */
export async function inspectLabels(
  source: LabelsSource,
  signal: AbortSignal,
  limitMs = LIMIT_MS,
): Promise<LabelsReport> {
  signal.throwIfAborted();
  const worker = createWorker("path" in source ? source.path : undefined);
  const late = AbortSignal.timeout(limitMs);
  try {
    return await new Promise<LabelsReport>((resolve, reject) => {
      late.onabort = (): void => resolve({ leftOut: `it could not be read within ${limitMs / 1000} s` });
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      worker.onmessage = ({ data }: MessageEvent<LabelsReport>): void => resolve(data);
      worker.onerror = (event): void => {
        event.preventDefault();
        resolve({ fault: `it is damaged: ${event.message}` });
      };
      worker.postMessage(source, "head" in source ? [source.head.buffer] : []);
    });
  } finally {
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
