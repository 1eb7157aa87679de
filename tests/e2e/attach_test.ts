import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type ClientRun,
  clientRun,
  exampleTrainer,
  type LabProcess,
  type WorkerHandle,
} from "../../scripts/local_lab.ts";
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
import { channelClient, channelWorker, until } from "./transfer.ts";

/** A package whose training can be met in the middle, and waited for. */
const SHORT = { config: { epoch_delay_s: 0.5 } };

/** The id of the job that a client has begun. */
async function jobOf(client: LabProcess): Promise<string> {
  return JSON.parse(await client.line(/"event":"job"/)).job_id;
}

function run(test: TestLab, ...args: string[]): Promise<ClientRun> {
  return test.lab.runClient(clientConfig(test), args);
}

/** What the worker says of a job, in the words of `jobs`. */
async function stateOf(test: TestLab, job: string): Promise<string | undefined> {
  const client = await test.lab.client(clientConfig(test), ["jobs"]);
  assert.equal(await client.exited(), 0, client.output);
  const [found] = client.stdout.map((line) => JSON.parse(line)).filter(({ id }) => id === job);
  return found?.worker_says?.state;
}

/** Lines of output that training wrote: of a job followed in two pieces, all of them, each once. */
function epochs({ events }: ClientRun): string[] {
  return events.flatMap((event) => event.event === "log" ? [event.text] : [])
    .filter((text) => /^Epoch \d+/.test(text)).map((text) => text.split(" ")[1]!);
}

/** A shell script in place of the trainer; `$1` is the run's name. */
function shellTrainer(script: string): string {
  return `[worker.jobs.train]\ncommand = ["/bin/sh", "-c", ${JSON.stringify(script)}, "sh", "{run_name}"]\n`;
}

function shellWorker(test: TestLab, script: string, args: string[] = [], more = ""): Promise<WorkerHandle> {
  const scratch = ["--scratch", join(test.folder, "scratch"), ...args];
  return test.lab.worker(`${more}\n${shellTrainer(script)}`, scratch);
}

async function isGone(pid: number): Promise<true | undefined> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`).catch(() => "State:\tZ");
  return /^State:\s+Z/m.test(status) ? true : undefined;
}

Deno.test("a client killed during the job comes back, sees the rest of the log, and takes the results home", () =>
  withLab(async (test) => {
    const worker = await channelWorker(test);
    const client = await channelClient(test, worker, await packageIn(test.home, SHORT));
    const job = await jobOf(client);
    await client.line(/Epoch 2\//);
    client.kill("SIGKILL");
    await client.exited();
    const attached = await run(test, "attach", job);
    assert.equal(attached.code, 0, attached.stderr);
    assert.equal(attached.summary?.job_id, job);
    await modelIn(join(test.folder, "out/models"));
    const all = await run(test, "logs", job);
    const numbers = epochs(all).map((each) => each.split("/")[0]);
    assert.deepEqual(numbers, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    assert.ok(epochs(attached).length <= epochs(all).length);
    const quietly = (await run(test, "logs", job, "--quiet")).events;
    assert.deepEqual(
      quietly,
      all.events.filter(({ event }) => event === "log"),
      "what was asked for is shown",
    );
    // The results are here: the worker keeps them no longer.
    const again = await run(test, "attach", job);
    assert.equal(again.code, 0, again.stderr);
    assert.equal(again.summary?.results, null);
  }));

Deno.test("a job that was left with --detach goes on, is listed, and its worker takes no other meanwhile", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const path = await packageIn(join(test.clientMount, "alice"), SHORT);
    const left = await run(test, "train", path, "--session-string", worker.session, "--detach");
    assert.equal(left.code, 0, left.stderr);
    assert.equal(left.summary, undefined);
    const { job_id: job } = left.events.find((event) => event.event === "job")!;
    assert.equal(await stateOf(test, job), "running");
    const other = await packageIn(join(test.clientMount, "bob"));
    const second = await test.lab.client(clientConfig(test), [
      "train",
      other,
      "--session-string",
      worker.session,
    ]);
    await second.line(/"event":"queued"/);
    second.kill("SIGINT");
    await second.exited();
    const attached = await run(test, "attach", job);
    assert.equal(attached.code, 0, attached.stderr);
    await modelIn(join(test.storage, "alice/models"));
    const events = (await run(test, "logs", job, "--follow")).events;
    assert.equal(events.filter((event) => event.event === "run_ended").length, 1);
  }));

Deno.test("stop ends a job early, and what it has made comes home", () =>
  withLab(async (test) => {
    // As trainers do at Ctrl-C: the model so far is written.
    const script = 'mkdir -p models/$1; trap "echo weights > models/$1/best.ckpt; exit 1" INT; echo begun; ' +
      "while :; do sleep 0.1; done";
    const worker = await shellWorker(test, script);
    const client = await channelClient(test, worker, await packageIn(test.home));
    const job = await jobOf(client);
    await client.line(/begun/);
    assert.equal((await run(test, "stop", job)).code, 0);
    const ended = await clientRun(client);
    assert.equal(ended.code, 0, ended.stderr);
    const runs = join(test.folder, "out/models");
    assert.deepEqual(await namesIn(join(runs, (await namesIn(runs))[0]!)), ["best.ckpt"]);
  }));

Deno.test("cancel ends all that a job has started, also what has left its process group", () =>
  withLab(async (test) => {
    const script =
      'setsid sh -c "echo pid \\$\\$; exec sleep 600" & sh -c "echo pid \\$\\$; exec sleep 600" & ' +
      'trap "" TERM; echo pid $$; wait; sleep 600';
    const worker = await shellWorker(test, script);
    const client = await channelClient(test, worker, await packageIn(test.home));
    const job = await jobOf(client);
    const pids = await until("three programs", () => {
      const found = [...client.output.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid));
      return Promise.resolve(found.length >= 3 ? found : undefined);
    });
    const cancelled = await run(test, "cancel", job);
    assert.equal(cancelled.code, 0, cancelled.stderr);
    const ended = await clientRun(client);
    assert.equal(ended.code, 1);
    assert.equal(ended.summary?.error, "it was cancelled");
    for (const pid of pids) await until(`the end of process ${pid}`, () => isGone(pid));
    await worker.process.line(/ready for the next client/);
    assert.equal(await stateOf(test, job), undefined, "its end is known here: nobody is asked");
  }));

Deno.test("a job that takes too long is ended, says so, and what it has made comes home", () =>
  withLab(async (test) => {
    const script = "mkdir -p models/$1; echo weights > models/$1/last.ckpt; sleep 600";
    const worker = await shellWorker(test, script, [], "[worker]\njob_time_limit = 2");
    const ended = await clientRun(await channelClient(test, worker, await packageIn(test.home)));
    assert.equal(ended.code, 1);
    assert.equal(ended.summary?.error, "the time limit of 2 s has passed");
    const runs = join(test.folder, "out/models");
    assert.deepEqual(await namesIn(join(runs, (await namesIn(runs))[0]!)), ["last.ckpt"]);
  }));

Deno.test("a polite kill lets the job of a worker end, and takes no other", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const client = await runningJob(test, worker, SHORT);
    worker.process.kill("SIGTERM");
    await worker.process.line(/waiting for 1 job\(s\) to end/);
    const ended = await clientRun(client);
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal(await worker.process.exited(), 0);
  }));

Deno.test("a second polite kill ends the job of a worker", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const client = await runningJob(test, worker);
    worker.process.kill("SIGTERM");
    await worker.process.line(/waiting for 1 job\(s\) to end/);
    worker.process.kill("SIGTERM");
    const ended = await clientRun(client);
    assert.equal(ended.summary?.error, "the worker was stopped");
    assert.equal(await worker.process.exited(), 0);
  }));

Deno.test("a job whose worker was killed is found at the next start, ended, cleaned up, and what it made is kept", () =>
  withLab(async (test) => {
    const script = "mkdir -p models/$1; echo weights > models/$1/best.ckpt; echo pid $$; exec sleep 600";
    const worker = await shellWorker(test, script);
    const client = await channelClient(test, worker, await packageIn(test.home));
    const job = await jobOf(client);
    const pid = Number(/pid (\d+)/.exec(await client.line(/pid \d+/))![1]);
    client.kill("SIGKILL");
    worker.process.kill("SIGKILL");
    await Promise.all([client.exited(), worker.process.exited()]);
    assert.equal(await isGone(pid), undefined, "nobody was there to end it");
    const next = await shellWorker(test, script, ["--room-id", worker.roomId, "--token", worker.token]);
    await next.process.line(new RegExp(`job ${job} was running when its worker ended`));
    await until("the end of its program", () => isGone(pid));
    const attached = await run(test, "attach", job);
    assert.equal(attached.code, 1);
    assert.equal(attached.summary?.error, "the worker ended during the job");
    const runs = join(test.folder, "out/models");
    assert.deepEqual(await namesIn(join(runs, (await namesIn(runs))[0]!)), ["best.ckpt"]);
    const scratches = (await namesIn(join(test.folder, "scratch"))).filter((name) => name.includes("worker"));
    assert.equal(scratches.length, 1, "what the killed worker had unpacked is gone");
    assert.equal(await stateOf(test, job), undefined);
  }));

Deno.test("two jobs run at once where the worker may", () =>
  withLab(async (test) => {
    const config = exampleTrainer().replace("[worker]", "[worker]\nmax_jobs = 2");
    const worker = await test.lab.worker(config, ["--scratch", join(test.folder, "scratch")]);
    const clients: LabProcess[] = [];
    for (const name of ["a.zip", "b.zip"]) {
      clients.push(await channelClient(test, worker, await packageIn(test.home, SHORT, name)));
    }
    await Promise.all(clients.map((client) => client.line(/Epoch 1\//)));
    for (const ended of await Promise.all(clients.map(clientRun))) assert.equal(ended.code, 0, ended.stderr);
  }));

Deno.test("a job that nobody knows is named, and so are those that are there", () =>
  withLab(async (test) => {
    const { code, stderr } = await run(test, "attach", "job_00000000");
    assert.equal(code, 2);
    assert.match(stderr, /error: this machine has submitted no job "job_00000000"/);
  }));
