import assert from "node:assert/strict";
import { join } from "node:path";
import type { ClientRun, WorkerHandle } from "../../scripts/local_lab.ts";
import { clientConfig, modelIn, namesIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";

async function train(
  test: TestLab,
  worker: WorkerHandle,
  path: string,
  config: string,
  output?: string,
): Promise<ClientRun> {
  const to = output === undefined ? [] : ["--output-dir", output];
  const run = await test.lab.runClient(config, ["train", path, "--session-string", worker.session, ...to]);
  assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
  return run;
}

Deno.test("each method trains the same model and brings it home; one client after the other", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const shared = await packageIn(join(test.clientMount, "alice/project"));
    const elsewhere = await packageIn(test.home);

    const inPlace = await train(test, worker, shared, clientConfig(test));
    assert.equal(inPlace.summary?.method, "in place");
    assert.equal(inPlace.summary.results, join(test.storage, "alice/project/models"));
    assert.ok(inPlace.summary.channel_bytes < 64 * 1024);
    const model = await modelIn(inPlace.summary.results);

    const copy = await train(test, worker, elsewhere, clientConfig(test), join(test.folder, "by-copy"));
    assert.equal(copy.summary?.method, "copy");
    assert.equal(await modelIn(join(test.folder, "by-copy/models")), model);
    assert.deepEqual(await namesIn(join(test.storage, "jobs")), [], "the copy is gone");

    const rtc = await train(test, worker, elsewhere, "", join(test.folder, "by-rtc"));
    assert.equal(rtc.summary?.method, "rtc");
    assert.ok(rtc.summary.channel_bytes >= (await Deno.stat(elsewhere)).size);
    assert.equal(await modelIn(join(test.folder, "by-rtc/models")), model);

    assert.deepEqual(await namesIn(test.home), ["pkg.zip"]);
    assert.deepEqual(await namesIn(join(test.folder, "by-rtc")), ["models"]);
  }));

Deno.test("results that are there are never overwritten", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const path = await packageIn(join(test.clientMount, "alice"));
    await train(test, worker, path, clientConfig(test));
    await train(test, worker, path, clientConfig(test));
    await train(test, worker, path, "");
    const models = join(test.storage, "alice/models");
    const run = "minimal_instance.centroid";
    assert.deepEqual(await namesIn(models), [run, `${run}-2`, `${run}-3`]);
  }));

Deno.test("in place with an output folder that the worker cannot see brings the results there", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const path = await packageIn(join(test.clientMount, "alice/project"));
    const output = join(test.home, "results");
    const { summary } = await train(test, worker, path, clientConfig(test), output);
    assert.equal(summary?.method, "in place");
    assert.equal(summary.results, join(output, "models"));
    await modelIn(join(output, "models"));
    assert.deepEqual(await namesIn(join(test.storage, "alice")), ["jobs", "project"]);
    assert.deepEqual(await namesIn(join(test.storage, "alice/jobs")), []);
    assert.deepEqual(await namesIn(join(test.storage, "alice/project")), ["pkg.zip"]);
  }));

Deno.test("a room and its token will do: the worker that shares the storage is chosen before the others", () =>
  withLab(async (test) => {
    const first = await startWorker(test, { backends: "" });
    const room = ["--room-id", first.roomId, "--token", first.token];
    const second = await startWorker(test, { args: room });
    const path = await packageIn(join(test.clientMount, "alice"));
    const run = await test.lab.runClient(clientConfig(test), ["train", path, "--auto-select", ...room]);
    assert.equal(run.code, 0, run.stderr);
    assert.equal(run.summary?.worker, second.peerId);
    assert.equal(run.summary?.method, "in place");
    const listed = await test.lab.runClient("", ["workers", ...room]);
    assert.equal(listed.code, 0);
    const ids = listed.events.map((worker) => Reflect.get(worker, "peer_id"));
    assert.deepEqual(ids.toSorted(), [first.peerId, second.peerId].toSorted());
    const named = await test.lab.runClient(clientConfig(test), [
      "train",
      path,
      "--worker-id",
      first.peerId,
      ...room,
    ]);
    assert.equal(named.summary?.worker, first.peerId);
    assert.equal(named.summary?.method, "rtc");
  }));

Deno.test("SHARED_STORAGE_ROOT on both sides is enough", () =>
  withLab(async (test) => {
    const { lab, folder, clientMount, workerMount } = test;
    const { exampleTrainer } = await import("../../scripts/local_lab.ts");
    const worker = await lab.worker(exampleTrainer(), [], { env: { SHARED_STORAGE_ROOT: workerMount } });
    const path = await packageIn(test.home);
    const run = await lab.runClient("", [
      "train",
      path,
      "--session-string",
      worker.session,
      "--output-dir",
      join(folder, "out"),
      "--shared-storage-root",
      clientMount,
    ]);
    assert.equal(run.code, 0, run.stderr);
    assert.equal(run.summary?.method, "copy");
    await modelIn(join(folder, "out/models"));
  }));

Deno.test("a run that fails is told, the exit code is not 0, and what was trained comes home", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const path = await packageIn(test.home, { config: { fail_at_epoch: 3 } });
    for (const config of [clientConfig(test), ""]) {
      const output = join(test.folder, config === "" ? "rtc" : "copy");
      const args = ["train", path, "--session-string", worker.session, "--output-dir", output];
      const run = await test.lab.runClient(config, args);
      assert.equal(run.code, 1);
      assert.equal(run.summary?.ok, false);
      assert.match(run.summary.error ?? "", /1 of 1 runs failed: minimal_instance\.centroid \(exit code 3\)/);
      await modelIn(join(output, "models"));
    }
  }));
