import assert from "node:assert/strict";
import { join } from "node:path";
import { clientConfig, modelIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";

async function succeeds(program: string, args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;
const canMount = isRoot && await succeeds("sh", ["-c", "command -v bindfs && test -c /dev/fuse"]);

/** The worker's mount point becomes a FUSE mount of the storage, whose process the test can halt or kill. */
async function withFuse(test: TestLab, use: (bindfs: Deno.ChildProcess) => Promise<void>): Promise<void> {
  const { storage, workerMount } = test;
  await Deno.remove(workerMount);
  await Deno.mkdir(workerMount);
  const options = ["-f", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0", storage, workerMount];
  const bindfs = new Deno.Command("bindfs", { args: options, stdout: "null", stderr: "null" }).spawn();
  try {
    while (!await succeeds("mountpoint", ["-q", workerMount])) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await use(bindfs);
  } finally {
    try {
      bindfs.kill("SIGKILL");
    } catch {
      // The test has killed it already.
    }
    await bindfs.status;
    await succeeds("umount", ["-l", workerMount]);
  }
}

for (const [what, signal] of [["hangs", "SIGSTOP"], ["is gone", "SIGKILL"]] as const) {
  Deno.test({
    name: `a mount that ${what} on the worker holds nothing up: the data channel is used${
      canMount ? "" : " (skipped: needs root, bindfs and FUSE)"
    }`,
    ignore: !canMount,
    fn: () =>
      withLab((test) =>
        withFuse(test, async (bindfs) => {
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
