import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun, type LabProcess, type WorkerHandle } from "../../scripts/local_lab.ts";
import { modelIn, packageIn, type TestLab, withLab } from "./lab.ts";
import { bytesOnDisk, channelClient, channelWorker, MIB, said, until } from "./transfer.ts";

/** A transfer well under way, whose signaling server was killed and started again: the room is no more. */
async function withoutRoom(
  test: TestLab,
  worker: WorkerHandle,
): Promise<LabProcess> {
  const path = await packageIn(test.home, { paddingBytes: 200 * MIB });
  const client = await channelClient(test, worker, path);
  await until("a part of the package", async () => await bytesOnDisk(test) > 20 * MIB || undefined);
  await test.lab.restartSignaling();
  return client;
}

Deno.test("a room that is lost in a transfer: the job completes, and the worker makes a new room", () =>
  withLab(async (test) => {
    const worker = await channelWorker(test);
    const run = await clientRun(await withoutRoom(test, worker));
    assert.equal(run.code, 0, said(run, worker));
    await modelIn(join(test.folder, "out/models"));
    await worker.process.line(/making a new room/);
    assert.equal(await worker.process.stop(), 0, worker.process.output);
  }));

Deno.test("the same with a worker that was told its room: it ends, but after the job", () =>
  withLab(async (test) => {
    const first = await channelWorker(test);
    await first.process.stop();
    const worker = await channelWorker(test, first);
    const run = await clientRun(await withoutRoom(test, worker));
    assert.equal(run.code, 0, said(run, worker));
    await modelIn(join(test.folder, "out/models"));
    assert.equal(await worker.process.exited(), 3);
    assert.match(worker.process.output, /error: the signaling server refused to let this peer in/);
  }));

Deno.test("a worker killed when the room is lost as well: the client does not look for it in vain", () =>
  withLab(async (test) => {
    const worker = await channelWorker(test);
    const client = await withoutRoom(test, worker);
    worker.process.kill("SIGKILL");
    const run = await clientRun(client);
    assert.equal(run.code, 3, said(run, worker));
    assert.match(run.stderr, /error: the signaling server refused to let this peer in/);
  }));
