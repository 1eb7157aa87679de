/** Entry point of the Web Worker that reads one labels file. */
import type { FromLabelsWorker } from "./labels.ts";
import type { LabelsSource } from "./labels_facts.ts";
import { loadLibrary, readLabelsFile } from "./labels_file.ts";

/** What of a Web Worker's global scope is used; the type checker knows only the window's. */
interface WorkerScope {
  postMessage(message: FromLabelsWorker): void;
  onmessage: ((event: MessageEvent<LabelsSource>) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;

scope.onmessage = async ({ data }): Promise<void> => scope.postMessage(await readLabelsFile(data));
await loadLibrary();
scope.postMessage("loaded");
