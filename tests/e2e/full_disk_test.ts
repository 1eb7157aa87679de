import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun } from "../../scripts/local_lab.ts";
import { modelIn, namesIn, packageIn, withLab } from "./lab.ts";
import { bytesOnDisk, channelClient, channelWorker, MIB, until } from "./transfer.ts";

const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;
const skipped = isRoot ? "" : " (skipped: needs root)";

async function run(program: string, ...args: string[]): Promise<void> {
  assert.ok((await new Deno.Command(program, { args }).output()).success, `${program} ${args.join(" ")}`);
}

/** Makes a folder with a small file system of its own, as the options of tmpfs say. */
async function withSmallDisk(path: string, options: string, body: () => Promise<void>): Promise<void> {
  await Deno.mkdir(path);
  await run("mount", "-t", "tmpfs", "-o", options, "tmpfs", path);
  try {
    await body();
  } finally {
    await run("umount", "--lazy", path);
  }
}

Deno.test({
  name: `the worker's disk fills up in a transfer: both sides say so and nothing is left of it${skipped}`,
  ignore: !isRoot,
  fn: () =>
    withLab(async (test) => {
      const scratch = join(test.folder, "scratch");
      await withSmallDisk(scratch, "size=400m", async () => {
        const worker = await channelWorker(test);
        const path = await packageIn(test.home, { paddingBytes: 200 * MIB });
        const client = await channelClient(test, worker, path);
        await until("a part of the package", async () => await bytesOnDisk(test) > 20 * MIB || undefined);
        await run("mount", "-o", "remount,size=120m", scratch);
        const { code, stderr } = await clientRun(client);
        assert.equal(code, 1);
        assert.match(stderr, /error: .*there is not enough disk space on the receiving side/);
        await worker.process.line(/the package did not arrive: the disk has no space/);
        await worker.process.line(/ready for the next client/);
        assert.deepEqual(await namesIn(join(scratch, "incoming")), []);
        assert.equal(await worker.process.stop(), 0);
        assert.deepEqual(await namesIn(scratch), ["incoming", "jobs"]);
      });
    }),
});

Deno.test({
  name: `the client's disk fills up when results come: it says so, and takes them to another later${skipped}`,
  ignore: !isRoot,
  fn: () =>
    withLab(async (test) => {
      const output = join(test.folder, "out");
      // There is room for one file and its folders.
      await withSmallDisk(output, "size=1m,nr_inodes=10", async () => {
        const worker = await channelWorker(test);
        const path = await packageIn(test.home);
        const { code, stderr, events } = await clientRun(await channelClient(test, worker, path));
        assert.equal(code, 1);
        assert.match(stderr, /error: the disk has no space .*\nhint: .*the worker keeps the results/);
        assert.deepEqual(await namesIn(output), []);
        const [begun] = events.filter((event) => event.event === "job");
        const elsewhere = join(test.folder, "elsewhere");
        const attached = await test.lab.runClient("", ["attach", begun!.job_id, "--output-dir", elsewhere]);
        assert.equal(attached.code, 0, attached.stderr);
        await modelIn(join(elsewhere, "models"));
      });
    }),
});
