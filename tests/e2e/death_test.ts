import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun, type WorkerHandle } from "../../scripts/local_lab.ts";
import {
  clientConfig,
  modelIn,
  namesIn,
  packageIn,
  runningJob,
  startWorker,
  type TestLab,
  withLab,
} from "./lab.ts";

/** Command lines of all processes, so that one left behind is seen. */
async function processesWith(text: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("ps", { args: ["-eo", "pid,args"] }).output();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line.includes(text));
}

async function trainsQuickly(test: TestLab, worker: WorkerHandle): Promise<void> {
  const path = await packageIn(join(test.clientMount, "bob"));
  const run = await test.lab.runClient(clientConfig(test), [
    "train",
    path,
    "--session-string",
    worker.session,
  ]);
  assert.equal(run.code, 0, run.stderr);
  await modelIn(join(test.storage, "bob/models"));
}

Deno.test("a worker killed during the job: the client says so and its exit code is not 0", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const client = await runningJob(test, worker);
    worker.process.kill("SIGKILL");
    const { code, stderr } = await clientRun(client);
    assert.equal(code, 4);
    const said = /error: the connection to the worker was lost during the job\nhint: .*\ncode: WORKER_LOST/;
    assert.match(stderr, said);
    // A killed worker cannot end its job: the test does, so that nothing is left.
    for (const line of await processesWith(test.folder)) {
      const pid = Number(line.trim().split(" ")[0]);
      if (line.includes("trainer")) Deno.kill(pid, "SIGKILL");
    }
  }));

Deno.test("Ctrl-C at the client ends the job at once, with the shell's exit code", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const client = await runningJob(test, worker);
    client.kill("SIGINT");
    const { code } = await clientRun(client);
    assert.equal(code, 130);
    await worker.process.line(/ready for the next client/, 10_000);
    assert.deepEqual(await namesIn(join(test.storage, "alice")), ["slow.zip"]);
    await trainsQuickly(test, worker);
  }));

Deno.test("Ctrl-C at the worker ends its job and leaves neither file nor process", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const client = await runningJob(test, worker);
    assert.ok((await processesWith("trainer_config.run_name=minimal_instance")).length > 0);
    worker.process.kill("SIGINT");
    assert.equal(await worker.process.exited(), 0);
    const run = await clientRun(client);
    assert.equal(run.code, 1);
    assert.equal(run.summary?.error, "the worker was stopped");
    assert.deepEqual(await namesIn(join(test.folder, "scratch")), ["incoming", "jobs"]);
    const own = (await processesWith("trainer/main.ts")).filter((line) => line.includes(test.folder));
    assert.deepEqual(own, []);
  }));

Deno.test("a second client waits for the first and is served after it", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const first = await runningJob(test, worker);
    const path = await packageIn(join(test.clientMount, "bob"));
    const args = ["train", path, "--session-string", worker.session];
    const second = await test.lab.client(clientConfig(test), args);
    await second.line(/"event":"queued"/);
    first.kill("SIGINT");
    const run = await clientRun(second);
    assert.equal(run.code, 0, run.stderr);
    await first.exited();
  }));
