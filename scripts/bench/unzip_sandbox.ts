/// <reference lib="deno.worker" />
/** Unpacks archives in a Web Worker that may do what the worker's engine may; tells the seconds each took. */
import { extractArchive } from "../../storage/archive.ts";
import { seconds } from "./measure.ts";

self.onmessage = async ({ data }: MessageEvent<{ archive: string; folder: string }>): Promise<void> => {
  using file = await Deno.open(data.archive);
  const { size } = await file.stat();
  const never = new AbortController().signal;
  self.postMessage(await seconds(() => extractArchive({ file, size }, data.folder, "bench.zip", never)));
};
self.postMessage("ready");
