import assert from "node:assert/strict";
import { join } from "node:path";
import { WINDOW_BYTES } from "../../protocol/link.ts";
import { randomSource } from "../../examples/trainer/random.ts";
import { clientRun, type LabProcess, type WorkerHandle } from "../../scripts/local_lab.ts";
import { modelIn, namesIn, packageIn, type TestLab, withLab } from "./lab.ts";
import { bytesOnDisk, channelClient, channelWorker, MIB, readPosition, said, until } from "./transfer.ts";

/** What a kill may make go again: a window, what the receiver had not written, and what was read ahead. */
const AGAIN = WINDOW_BYTES + MIB + MIB;

/** Points of a transfer, in bytes, in order. */
function randomPoints(count: number, size: number, seed: number): number[] {
  const random = randomSource(seed);
  return Array.from({ length: count }, () => Math.floor(0.95 * size * random() / 2 ** 32)).toSorted((a, b) =>
    a - b
  );
}

/** A transfer whose processes are killed and started again, with what it sent counted. */
class KilledTransfer {
  readonly #test: TestLab;
  readonly #path: string;
  worker: WorkerHandle;
  client: LabProcess;
  /** What the worker had when it was sent to for the last time. */
  #found = 0;
  /** Bytes that were read to be sent, in all attempts. */
  sent = 0;
  /** The same that were sent again, kill by kill. */
  readonly again: number[] = [];

  private constructor(test: TestLab, path: string, worker: WorkerHandle, client: LabProcess) {
    this.#test = test;
    this.#path = path;
    this.worker = worker;
    this.client = client;
  }

  static async begin(test: TestLab, path: string): Promise<KilledTransfer> {
    const worker = await channelWorker(test);
    return new KilledTransfer(test, path, worker, await channelClient(test, worker, path));
  }

  /** Settles when so many bytes are on the worker's disk, some of them new. */
  async reaches(bytes: number): Promise<void> {
    await until(`${bytes} bytes`, async () => {
      const there = await bytesOnDisk(this.#test);
      return there >= bytes && there > this.#found ? true : undefined;
    });
  }

  async killClient(): Promise<void> {
    this.client.kill("SIGSTOP");
    const position = await readPosition(this.client, this.#path) ?? 0;
    this.client.kill("SIGKILL");
    await this.client.exited();
    const goodbyes = (): number => this.worker.process.stderr.filter((line) => /has left/.test(line)).length;
    const before = goodbyes();
    await until("the worker's farewell", () => Promise.resolve(goodbyes() > before || undefined));
    await this.#count(position);
    this.client = await channelClient(this.#test, this.worker, this.#path);
  }

  async killWorker(): Promise<void> {
    this.worker.process.kill("SIGKILL");
    await this.worker.process.exited();
    const next = channelWorker(this.#test, this.worker);
    // The client goes on reading until a window is full, and closes the package when it knows.
    let last = 0;
    await until("the end of the attempt", async () => {
      const position = await readPosition(this.client, this.#path);
      last = position ?? last;
      return position === undefined ? true : undefined;
    });
    await this.#count(last);
    this.worker = await next;
  }

  async #count(position: number): Promise<void> {
    const there = await bytesOnDisk(this.#test);
    this.sent += Math.max(0, position - this.#found);
    this.again.push(Math.max(0, position - there));
    this.#found = there;
  }

  /** The last attempt, to its end. */
  async end(size: number): Promise<void> {
    const run = await clientRun(this.client);
    this.sent += size - this.#found;
    assert.equal(run.code, 0, said(run, this.worker));
    assert.match(said(run, this.worker), /the worker has .* of it; the rest is sent/);
  }
}

/** The model that an undisturbed job makes of the same package, without its padding. */
async function plainModel(test: TestLab, worker: WorkerHandle): Promise<string> {
  const path = await packageIn(test.home, {}, "plain.zip");
  const output = join(test.folder, "plain");
  await Deno.mkdir(output);
  const run = await test.lab.runClient("", [
    "train",
    path,
    "--session-string",
    worker.session,
    "--output-dir",
    output,
  ]);
  assert.equal(run.code, 0, said(run, worker));
  return await modelIn(join(output, "models"));
}

Deno.test({
  name: "20 kills of client and worker in one transfer of 500 MiB: each time it goes on from what is there",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withLab(async (test) => {
      const [kills, seed] = [20, crypto.getRandomValues(new Uint32Array(1))[0]!];
      const path = await packageIn(test.home, { paddingBytes: 500 * MIB });
      const { size } = await Deno.stat(path);
      const began = performance.now();
      const transfer = await KilledTransfer.begin(test, path);
      for (const [number, point] of randomPoints(kills, size, seed).entries()) {
        await transfer.reaches(point);
        if (number % 2 === 0) await transfer.killClient();
        else await transfer.killWorker();
      }
      await transfer.end(size);
      const seconds = Math.round((performance.now() - began) / 1000);
      const again = transfer.again.map((bytes) => (bytes / MIB).toFixed(1)).join(" ");
      console.log(`seed ${seed}, ${seconds} s, sent again at each kill, in MiB: ${again}`);
      assert.ok(Math.max(...transfer.again) <= AGAIN, again);
      assert.ok(transfer.sent <= size + kills * AGAIN, `${transfer.sent} bytes were sent`);
      assert.equal(await modelIn(join(test.folder, "out/models")), await plainModel(test, transfer.worker));
      assert.deepEqual(await namesIn(join(test.folder, "scratch/incoming")), []);
    }),
});

/** Longer than a connection may be silent before it is replaced; with `SLEAP_RTC_LONG_TESTS` a whole minute. */
const FROZEN_MS = Deno.env.has("SLEAP_RTC_LONG_TESTS") ? 60_000 : 15_000;

/** A transfer of 200 MiB that is well under way; what was sent in the end is checked. */
async function midTransfer(
  disturb: (worker: WorkerHandle, client: LabProcess) => Promise<void>,
): Promise<void> {
  await withLab(async (test) => {
    const path = await packageIn(test.home, { paddingBytes: 200 * MIB });
    const { size } = await Deno.stat(path);
    const worker = await channelWorker(test);
    const client = await channelClient(test, worker, path);
    await until("a part of the package", async () => await bytesOnDisk(test) > 20 * MIB || undefined);
    await disturb(worker, client);
    const run = await clientRun(client);
    assert.equal(run.code, 0, said(run, worker));
    const { channel_bytes = 0, total_s } = run.summary ?? {};
    console.log(`${((channel_bytes - size) / MIB).toFixed(1)} MiB more than the package, ${total_s} s`);
    assert.ok(channel_bytes >= size && channel_bytes <= size + AGAIN, `${channel_bytes} bytes`);
    await modelIn(join(test.folder, "out/models"));
    assert.equal(await worker.process.stop(), 0, worker.process.output);
  });
}

async function freeze(process: LabProcess): Promise<void> {
  process.kill("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, FROZEN_MS));
  process.kill("SIGCONT");
}

Deno.test("a worker that stands still in a transfer: the connection is replaced, and the job completes", () =>
  midTransfer(async (worker, client) => {
    await freeze(worker.process);
    assert.match(client.output, /the connection to the worker is lost; trying again/);
    await client.line(/connected to the worker again/);
  }));

Deno.test("a client that stands still in a transfer: the connection is replaced, and the job completes", () =>
  midTransfer(async (worker, client) => {
    await freeze(client);
    assert.match(worker.process.output, /is lost; waiting for it/);
    await client.line(/connected to the worker again/);
  }));
