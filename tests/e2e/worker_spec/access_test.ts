/** Direct File Access; Job Completion Notification; Performance Monitoring. */
import assert from "node:assert/strict";
import { hasProgram } from "../has_program.ts";
import { join } from "node:path";
import { canMount, withFuse } from "../fuse.ts";
import { namesIn } from "../lab.ts";
import { begin, emptied, GOOD_RUN, JOB, packageOf, put, rootTest, runJob, scenario } from "./lab.ts";
import { storageSection } from "../../../scripts/local_lab.ts";

Deno.test("Direct File Access: Read input file directly", () =>
  scenario(async ({ client, base }) => {
    await put(join(base, "alice/pkg.zip"));
    // Not one byte of a file goes over the channel, either way.
    const said = await runJob(client, "pkg.zip", "out");
    assert.ok(said.includes("data of the package\n"), said.join("\n"));
    assert.deepEqual(said.filter((text) => / bytes$/.test(text)), []);
    assert.equal(
      await Deno.readTextFile(join(base, "alice/out/models/centroid/best.ckpt")),
      "data of the package\n",
    );
  }));

Deno.test("Direct File Access: Process file in place", () =>
  scenario(async ({ client, base, scratch }) => {
    const run = `pwd && ls && ${GOOD_RUN}`;
    await put(join(base, "alice/pkg.zip"), await packageOf({ centroid: run }));
    const said = (await runJob(client, "pkg.zip", "out")).join("");
    assert.match(said, new RegExp(`${scratch}/sleap-rtc-worker-[^/]+/job-[^/]+/package/pkg\n`));
    assert.match(said, /centroid\.sh\n.*data\.txt\n.*train-script\.sh\n/s);
    // The storage has the package and the results, and nothing that was unpacked.
    assert.deepEqual(await namesIn(join(base, "alice")), ["out", "pkg.zip"]);
    assert.deepEqual(await namesIn(join(base, "alice/out")), ["models"]);
    await emptied(scratch);
  }));

/** What strace saw flushed before the worker said that the job was complete. */
async function flushedBefore(trace: string, message: string): Promise<string[]> {
  const lines = (await Deno.readTextFile(trace)).split("\n");
  const said = lines.findIndex((line) => line.includes(message));
  assert.ok(said > 0, `${message} is not in the trace`);
  return lines.slice(0, said).flatMap((line) => /f(?:data)?sync\(\d+<([^>]*)>/.exec(line)?.[1] ?? []);
}

const canTrace = await hasProgram("strace");
Deno.test({
  name: `Direct File Access: Write results to shared output${canTrace ? "" : " (skipped: needs strace)"}`,
  ignore: !canTrace,
  fn: async () => {
    const trace = await Deno.makeTempFile({ prefix: "sleap-rtc-trace-" });
    const calls = ["fsync", "fdatasync", "write"].join(",");
    // With -D the worker stays our child and gets our signals.
    const prefix = ["strace", "-D", "-f", "-y", "-s", "400", "-o", trace, "-e", `trace=${calls}`];
    try {
      await scenario(async ({ client, base, worker }) => {
        await put(join(base, "alice/pkg.zip"));
        await runJob(client, "pkg.zip", "project/out");
        const out = join(base, "alice/project/out");
        assert.deepEqual(await namesIn(join(out, "models/centroid")), ["best.ckpt"]);
        await worker.process.line(/job job_1a2b3c4d: complete/);
        const flushed = await flushedBefore(trace, `job ${JOB}: complete`);
        // The file, and every folder that has a new entry.
        assert.ok(
          flushed.some((path) => /\/models\/\.partial-[^/]*\/best\.ckpt$/.test(path)),
          flushed.join("\n"),
        );
        for (const folder of [join(out, "models"), out, join(base, "alice/project"), join(base, "alice")]) {
          assert.ok(flushed.includes(folder), `${folder} is not in:\n${flushed.join("\n")}`);
        }
      }, { prefix: () => prefix });
    } finally {
      await Deno.remove(trace);
    }
  },
});

Deno.test("Job Completion Notification: Send completion with relative output path", () =>
  scenario(async ({ client, base }) => {
    await put(join(base, "alice/project/pkg.zip"));
    const said = await runJob(client, "project/pkg.zip", "project/out");
    // Relative to the user's folder; nothing of the worker's disk is told.
    assert.match(said.at(-1)!, new RegExp(`^JOB_COMPLETE::${JOB}::project/out(::|$)`));
    assert.deepEqual(said.filter((text) => text.includes(base)), []);
  }));

Deno.test("Job Completion Notification: Include result metadata", () =>
  scenario(async ({ client, base }) => {
    const big = 'mkdir -p "models/$1/logs" && head -c 2500000 /dev/zero > "models/$1/best.ckpt" && ' +
      'echo 12345 > "models/$1/logs/loss.csv"\n';
    await put(join(base, "alice/pkg.zip"), await packageOf({ centroid: big, instance: GOOD_RUN }));
    const said = await runJob(client, "pkg.zip", ".");
    // Three files; 2,500,000 + 6 + 20 bytes in units of 10^6.
    assert.equal(said.at(-1), `JOB_COMPLETE::${JOB}::.::3::2.5`);
  }));

Deno.test("Performance Monitoring: Log file access time", () =>
  scenario(async ({ client, base, worker }) => {
    const data = crypto.getRandomValues(new Uint8Array(30_000)).toHex();
    await put(join(base, "alice/pkg.zip"), await packageOf({ centroid: GOOD_RUN }, `${data.repeat(40)}\n`));
    await runJob(client, "pkg.zip", "out");
    await worker.process.line(/read and unpacked pkg \(2\.4 MB\) in \d+\.\d\d s/);
  }));

rootTest(
  "Performance Monitoring: Log validation time",
  () =>
    scenario(async ({ client, base, folder, worker }) => {
      await put(join(base, "alice/pkg.zip"));
      await withFuse(base, join(folder, "slow"), [], async (bindfs) => {
        await begin(client);
        assert.equal(await client.ask("SHARED_INPUT_PATH::pkg.zip"), "PATH_VALIDATED::input");
        assert.match(await worker.process.line(/checking the input path took \d+\.\d ms/), /"level":"info"/);
        // A mount that does not answer for a while.
        bindfs.kill("SIGSTOP");
        await client.say("SHARED_OUTPUT_PATH::out");
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        bindfs.kill("SIGCONT");
        assert.equal(await client.next(), "PATH_VALIDATED::output");
        const slow = await worker.process.line(/checking the output path took \d{4,}\.\d ms/);
        assert.match(slow, /"level":"warning"/);
      });
    }, { storage: ({ folder }) => storageSection("vast", join(folder, "slow")) }),
  canMount,
  "root, bindfs and FUSE",
);
