import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun, type LabProcess } from "../../scripts/local_lab.ts";
import { packageIn, startWorker, withLab } from "./lab.ts";

const MIB = 2 ** 20;

/** Looks at the peak until the process is gone. */
async function peakOf(process: LabProcess): Promise<number> {
  let peak = 0;
  let ended = false;
  void process.exited().then(() => ended = true);
  while (!ended) {
    peak = Math.max(peak, await process.peakMemory() ?? 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return peak;
}

Deno.test({
  name: "memory does not grow with the file: 1 GiB over the channel stays below 250 MiB on either side",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withLab(async (test) => {
      const worker = await startWorker(test, { backends: "" });
      const path = await packageIn(test.home, { paddingBytes: 1024 * MIB });
      const results = join(test.folder, "results");
      const client = await test.lab.client("", [
        "train",
        path,
        "--session-string",
        worker.session,
        "--output-dir",
        results,
      ]);
      const [clientPeak, { code, summary }] = await Promise.all([peakOf(client), clientRun(client)]);
      const workerPeak = await worker.process.peakMemory() ?? Infinity;
      console.log(
        `peak: client ${clientPeak.toFixed(0)} MiB, worker ${
          workerPeak.toFixed(0)
        } MiB, ${summary?.total_s} s`,
      );
      assert.equal(code, 0);
      assert.ok((summary?.channel_bytes ?? 0) >= 1024 * MIB);
      assert.ok(clientPeak > 0 && clientPeak <= 250, `client ${clientPeak} MiB`);
      assert.ok(workerPeak <= 250, `worker ${workerPeak} MiB`);
    }),
});
