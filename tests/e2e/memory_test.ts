import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun, type LabProcess } from "../../scripts/local_lab.ts";
import { packageIn, startWorker, withLab } from "./lab.ts";
import { channelClient, channelWorker, MIB } from "./transfer.ts";
import { canMount, withFuse } from "./fuse.ts";

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

/** Less than an idle process and the package together, in MiB. */
const SLOW_LIMIT = 280;

Deno.test({
  name: `memory does not grow with a worker whose disk is slow: the package is not held in it${
    canMount ? "" : " (skipped: needs root, bindfs and FUSE)"
  }`,
  ignore: !canMount,
  fn: () =>
    withLab(async (test) => {
      const disk = join(test.folder, "disk");
      await Deno.mkdir(disk);
      await withFuse(disk, join(test.folder, "scratch"), ["--write-rate=25M"], async () => {
        const worker = await channelWorker(test);
        const path = await packageIn(test.home, { paddingBytes: 200 * MIB });
        const client = await channelClient(test, worker, path);
        const [clientPeak, { code, summary }] = await Promise.all([peakOf(client), clientRun(client)]);
        const workerPeak = await worker.process.peakMemory() ?? Infinity;
        console.log(
          `peak: client ${clientPeak.toFixed(0)} MiB, worker ${
            workerPeak.toFixed(0)
          } MiB, ${summary?.total_s} s`,
        );
        assert.equal(code, 0, worker.process.output);
        // Slow it was.
        assert.ok((summary?.total_s ?? 0) >= 8);
        assert.ok(clientPeak > 0 && clientPeak <= SLOW_LIMIT, `client ${clientPeak} MiB`);
        assert.ok(workerPeak <= SLOW_LIMIT, `worker ${workerPeak} MiB`);
        await worker.process.stop();
      });
    }),
});
