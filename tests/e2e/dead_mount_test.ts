import assert from "node:assert/strict";
import { join } from "node:path";
import { canMount, withFuse } from "./fuse.ts";
import { clientConfig, modelIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";

/** The worker's mount point becomes a FUSE mount of the storage. */
async function withFuseStorage(
  { storage, workerMount }: TestLab,
  use: (bindfs: Deno.ChildProcess) => Promise<void>,
): Promise<void> {
  await Deno.remove(workerMount);
  await withFuse(storage, workerMount, [], use);
}

for (const [what, signal] of [["hangs", "SIGSTOP"], ["is gone", "SIGKILL"]] as const) {
  Deno.test({
    name: `a mount that ${what} on the worker holds nothing up: the data channel is used${
      canMount ? "" : " (skipped: needs root, bindfs and FUSE)"
    }`,
    ignore: !canMount,
    fn: () =>
      withLab((test) =>
        withFuseStorage(test, async (bindfs) => {
          const worker = await startWorker(test);
          const path = await packageIn(join(test.clientMount, "alice"));
          bindfs.kill(signal);
          const output = join(test.folder, "out");
          const args = ["train", path, "--session-string", worker.session, "--output-dir", output];
          const run = await test.lab.runClient(clientConfig(test), args);
          assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
          assert.equal(run.summary?.method, "rtc");
          await modelIn(join(output, "models"));
          const why = run.events.flatMap((event) => event.event === "method" ? [event.why] : []);
          assert.match(
            why.at(-1) ?? "",
            /in place did not work: the worker does not have the storage backend "vast"/,
          );
          // A halted process cannot be unmounted from, nor the worker's hanging calls come back.
          worker.process.kill("SIGKILL");
        })
      ),
  });
}
