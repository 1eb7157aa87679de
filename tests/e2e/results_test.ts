import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun, fromSource, type LabProcess, type WorkerHandle } from "../../scripts/local_lab.ts";
import { listFiles } from "../../storage/tree.ts";
import { clientConfig, namesIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";
import { MIB } from "./transfer.ts";

/** What a command about results says on stdout, one object a line. */
type Line = Record<string, unknown>;

async function start(test: TestLab, ...args: string[]): Promise<LabProcess> {
  const config = await test.lab.writeConfig(clientConfig(test));
  const words = [...fromSource("client/main.ts"), "results", ...args, "--config", config, "--json"];
  return test.lab.spawn(words, { env: test.lab.environment });
}

/** Runs `results …`; lines of the given event only. */
async function results(
  test: TestLab,
  event: string,
  ...args: string[]
): Promise<{ code: number; lines: Line[]; stderr: string }> {
  const client = await start(test, ...args);
  const code = await client.exited();
  const lines = client.stdout.map((line): Line => JSON.parse(line)).filter((line) => line["event"] === event);
  return { code, lines, stderr: client.stderr.join("\n") };
}

/** A worker whose runs make these files, by a shell script; `$1` is the run's name. */
function shellWorker(test: TestLab, script: string, toml = ""): Promise<WorkerHandle> {
  const command = ["/bin/sh", "-c", `mkdir -p models/$1; ${script}`, "sh", "{run_name}"];
  return test.lab.worker(
    `${toml}\n[worker.jobs.train]\ncommand = ${JSON.stringify(command)}\n`,
    ["--scratch", join(test.folder, "scratch")],
  );
}

/** A job that has ended, without its client, on a worker that keeps the results; its id. */
async function keptJob(test: TestLab, worker: WorkerHandle): Promise<string> {
  const args = ["train", await packageIn(test.home), "--session-string", worker.session, "--detach"];
  const left = await clientRun(await test.lab.client("", args));
  assert.equal(left.code, 0, left.stderr);
  const { job_id: job } = left.events.find((event) => event.event === "job")!;
  const followed = await test.lab.runClient("", ["logs", job, "--follow"]);
  assert.equal(followed.code, 0, followed.stderr);
  return job;
}

Deno.test("results that a worker keeps are listed, fetched, verified, and never overwritten", () =>
  withLab(async (test) => {
    const worker = await shellWorker(
      test,
      "echo weights > models/$1/best.ckpt; echo log > models/$1/log.txt",
    );
    const job = await keptJob(test, worker);
    const listed = await results(test, "file", "list", job);
    assert.equal(listed.code, 0, listed.stderr);
    assert.deepEqual(listed.lines.map(({ where }) => where), ["worker", "worker"]);
    const name = String(listed.lines[0]!["name"]);
    assert.match(name, /^models\/[^/]+\/best\.ckpt$/);
    assert.equal((await results(test, "checked", "verify", job)).code, 1, "they are not here");

    const into = join(test.folder, "into");
    await Deno.mkdir(join(into, name, ".."), { recursive: true });
    await Deno.writeTextFile(join(into, name), "mine");
    const refused = await results(test, "fetched", "fetch", job, "--into", into);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /there are other files already: .*best\.ckpt/);
    assert.match(refused.stderr, /^code: FILE_EXISTS$/m);
    assert.equal(await Deno.readTextFile(join(into, name)), "mine");

    const fetched = await results(test, "fetched", "fetch", job, "--into", into, "--force");
    assert.equal(fetched.code, 0, fetched.stderr);
    assert.equal(await Deno.readTextFile(join(into, name)), "weights\n");
    assert.deepEqual(await namesIn(into), ["models"], "nothing else is left");
    const verified = await results(test, "checked", "verify", job);
    assert.equal(verified.code, 0, verified.stderr);
    assert.deepEqual(verified.lines.map(({ state }) => state), ["ok", "ok"]);

    await Deno.writeTextFile(join(into, name), "WEIGHTS\n");
    const spoiled = await results(test, "checked", "verify", job);
    assert.equal(spoiled.code, 1);
    assert.deepEqual(spoiled.lines.map(({ state }) => state), ["differs", "ok"]);
    const gone = await results(test, "fetched", "fetch", job, "--into", into, "--force");
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /the worker keeps these results no longer[^]*^code: NO_RESULTS$/m);
    assert.equal(await Deno.readTextFile(join(into, name)), "WEIGHTS\n");
  }));

Deno.test("results on shared storage are copied, those that are there are not, and a spoiled one is not taken", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const path = await packageIn(join(test.clientMount, "alice"));
    const args = ["train", path, "--session-string", worker.session];
    const trained = await test.lab.runClient(clientConfig(test), args);
    assert.equal(trained.code, 0, trained.stderr);
    const job = trained.summary!.job_id;
    const { lines } = await results(test, "file", "list", job);
    assert.ok(lines.length > 0);
    for (const { name, where, storage } of lines) {
      assert.deepEqual([where, storage], ["storage", { backend: "vast", path: `alice/${name}` }]);
    }
    assert.equal((await results(test, "checked", "verify", job)).code, 0);
    const config = await test.lab.writeConfig(clientConfig(test));
    const command = [...fromSource("client/main.ts"), "results", "list", job, "--config", config];
    const text = test.lab.spawn(command, { env: test.lab.environment });
    assert.equal(await text.exited(), 0, text.output);
    assert.match(text.output, /training_log\.csv +[\d.]+ \w+ +storage vast +alice\/models\//);
    // The worker is not needed.
    await worker.process.stop();
    const into = join(test.folder, "into");
    const first = await results(test, "fetched", "fetch", job, "--into", into);
    assert.equal(first.code, 0, first.stderr);
    assert.equal((first.lines[0]!["files"] as unknown[]).length, lines.length);
    const again = await results(test, "fetched", "fetch", job, "--into", into);
    assert.deepEqual([again.code, again.lines[0]!["files"], again.lines[0]!["there"]], [0, [], lines.length]);

    const name = String(lines[0]!["name"]);
    await Deno.writeTextFile(join(test.storage, "alice", name), "other");
    await Deno.remove(join(into, name));
    const spoiled = await results(test, "fetched", "fetch", job, "--into", into);
    // Only the worker could have it still, and is not there.
    assert.equal(spoiled.code, 3, spoiled.stderr);
    await assert.rejects(Deno.stat(join(into, name)), Deno.errors.NotFound);
  }));

/** Sizes of all files below a folder. */
async function sizesBelow(folder: string): Promise<number[]> {
  return (await listFiles(folder, "inside")).map(({ size }) => size);
}

Deno.test("--fetch copies the results of a job in place, whose end says where on shared storage they are", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const path = await packageIn(join(test.clientMount, "alice"));
    const into = join(test.folder, "into");
    const train = (...args: string[]): ReturnType<typeof test.lab.runClient> =>
      test.lab.runClient(clientConfig(test), ["train", path, "--session-string", worker.session, ...args]);
    const { code, stderr, summary, events } = await train("--fetch", into);
    assert.equal(code, 0, stderr);
    assert.equal(events.at(-1)?.event, "summary");
    const sizes = await sizesBelow(join(test.storage, "alice/models"));
    assert.deepEqual(summary?.results_storage, { backend: "vast", path: "alice/models" });
    assert.deepEqual([summary.results_files, summary.results_bytes], [
      sizes.length,
      sizes.reduce((sum, size) => sum + size, 0),
    ]);
    const fetched = events.find((event) => event.event === "fetched")!;
    assert.deepEqual([fetched.into, fetched.files.length, fetched.there], [into, sizes.length, 0]);
    assert.deepEqual((await sizesBelow(into)).toSorted(), sizes.toSorted());
    assert.deepEqual(await namesIn(into), ["models"]);
  }));

Deno.test("--fetch of results at home: attach takes it, another file stops it after the summary, --detach forbids it", () =>
  withLab(async (test) => {
    const worker = await shellWorker(test, "echo weights > models/$1/best.ckpt");
    const job = await keptJob(test, worker);
    const into = join(test.folder, "into");
    const { lines } = await results(test, "file", "list", job);
    const target = join(into, String(lines[0]!["name"]));
    await Deno.mkdir(join(target, ".."), { recursive: true });
    await Deno.writeTextFile(target, "mine");
    const refused = await test.lab.runClient("", ["attach", job, "--fetch", into]);
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, new RegExp(`--force .*results fetch ${job} --into[^]*code: FILE_EXISTS`));
    assert.equal(await Deno.readTextFile(target), "mine");
    assert.deepEqual([refused.summary?.ok, refused.summary?.results_storage], [true, null]);
    assert.deepEqual([refused.summary?.results_files, refused.summary?.results_bytes], [1, 8]);
    const taken = await test.lab.runClient("", ["attach", job, "--fetch", into, "--force"]);
    assert.equal(taken.code, 0, taken.stderr);
    assert.equal(await Deno.readTextFile(target), "weights\n");

    const nowhere = join(test.folder, "nowhere");
    const args = ["train", await packageIn(test.home), "--session-string", worker.session];
    const left = await test.lab.runClient("", [...args, "--detach", "--fetch", nowhere]);
    assert.deepEqual([left.code, left.events.map(({ event }): string => event)], [2, ["error"]], left.stderr);
    const alone = await test.lab.runClient("", [...args, "--force"]);
    assert.deepEqual([alone.code, alone.events.map(({ event }): string => event)], [2, ["error"]]);
    await assert.rejects(Deno.stat(nowhere), Deno.errors.NotFound);
  }));

Deno.test("results that were being fetched when the client was killed are gone on with", () =>
  withLab(async (test) => {
    const size = 192 * MIB;
    const worker = await shellWorker(test, `head -c ${size} /dev/urandom > models/$1/best.ckpt`);
    const job = await keptJob(test, worker);
    const into = join(test.folder, "into");
    const killed = await start(test, "fetch", job, "--into", into);
    await killed.line(/"what":"receiving results"/);
    killed.kill("SIGKILL");
    await killed.exited();
    const { code, lines, stderr } = await results(test, "progress", "fetch", job, "--into", into);
    assert.equal(code, 0, stderr);
    assert.ok(Number(lines.find(({ what }) => what === "receiving results")?.["done"]) > 0);
    assert.equal((await results(test, "checked", "verify", job)).code, 0);
    assert.deepEqual(await namesIn(into), ["models"]);
  }));

Deno.test("a job whose worker came back in another room is found there", () =>
  withLab(async (test) => {
    const script = "echo weights > models/$1/best.ckpt";
    const first = await shellWorker(test, script);
    const job = await keptJob(test, first);
    await first.process.stop();
    const { session } = await shellWorker(test, script);
    const found = await test.lab.client("", ["jobs", "--session-string", session]);
    assert.equal(await found.exited(), 0, found.output);
    const [listed] = found.stdout.map((line) => JSON.parse(line));
    assert.deepEqual([listed.event, listed.id, listed.worker_says?.state, listed.worker_says?.results], [
      "job",
      job,
      "complete",
      true,
    ]);
    const into = join(test.folder, "into");
    const fetched = await results(test, "fetched", "fetch", job, "--into", into, "--session-string", session);
    assert.equal(fetched.code, 0, fetched.stderr);
  }));

Deno.test("a job that was cancelled is listed as cancelled, also after it was come back to", () =>
  withLab(async (test) => {
    const worker = await shellWorker(test, "echo begun; exec sleep 600");
    const args = ["train", await packageIn(test.home), "--session-string", worker.session, "--detach"];
    const left = await clientRun(await test.lab.client("", args));
    const { job_id: job } = left.events.find((event) => event.event === "job")!;
    assert.equal((await test.lab.runClient("", ["cancel", job])).code, 0);
    assert.equal((await test.lab.runClient("", ["attach", job])).code, 1);
    const jobs = await test.lab.client("", ["jobs"]);
    await jobs.exited();
    const [listed] = jobs.stdout.map((line): Line => JSON.parse(line));
    assert.equal(listed!["end"], "cancelled");
    const nothing = await results(test, "file", "list", job);
    assert.deepEqual([nothing.code, /^code: .*$/m.exec(nothing.stderr)?.[0]], [1, "code: NO_RESULTS"]);
  }));
