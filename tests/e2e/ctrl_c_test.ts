import assert from "node:assert/strict";
import { join } from "node:path";
import { type ClientRun, fromSource, type WorkerHandle } from "../../scripts/local_lab.ts";
import { hasPty, Pty, PTY_NOTE } from "../client/pty.ts";
import { clientConfig, namesIn, packageIn, type TestLab, withLab } from "./lab.ts";
import { until } from "./transfer.ts";

const CTRL_C = "\x03";
const QUESTION = /\(d\)etach, \(s\)top early and keep what was trained, \(c\)ancel, or go on \[Enter\]\?/;
/** As trainers do at Ctrl-C: the model so far is written. */
const TRAINER = 'mkdir -p models/$1; trap "echo weights > models/$1/best.ckpt; exit 1" INT; echo begun; ' +
  "while :; do sleep 0.1; done";

/** A worker whose jobs run until they are asked to end. */
function endlessWorker(test: TestLab): Promise<WorkerHandle> {
  const command = ["/bin/sh", "-c", TRAINER, "sh", "{run_name}"];
  const toml = `[worker.jobs.train]\ncommand = ${JSON.stringify(command)}\n`;
  return test.lab.worker(toml, ["--scratch", join(test.folder, "scratch")]);
}

/** The client on a terminal; it is gone after `body`. */
async function onTerminal(
  test: TestLab,
  args: readonly string[],
  body: (client: Pty) => Promise<void>,
): Promise<void> {
  const config = await test.lab.writeConfig(clientConfig(test));
  const [command = "", ...rest] = args;
  const words = [...fromSource("client/main.ts"), command, "--config", config, ...rest];
  const client = new Pty(words.map((word) => `'${word}'`).join(" "), {
    columns: 110,
    env: { ...test.lab.environment, NO_COLOR: "1" },
  });
  try {
    await body(client);
  } finally {
    await client.kill();
  }
}

/** A client on a terminal that follows a job which runs. */
function withRunningJob(body: (client: Pty, test: TestLab, job: string) => Promise<void>): Promise<void> {
  return withLab(async (test) => {
    const worker = await endlessWorker(test);
    const path = await packageIn(test.home);
    const out = join(test.folder, "out");
    const args = ["train", path, "--session-string", worker.session, "--output-dir", out];
    await onTerminal(test, args, async (client) => {
      await client.until(/begun/);
      await body(client, test, /job (job_\w+):/.exec(client.text)![1]!);
    });
  });
}

function run(test: TestLab, ...args: string[]): Promise<ClientRun> {
  return test.lab.runClient(clientConfig(test), args);
}

async function stateOf(test: TestLab, job: string): Promise<string | undefined> {
  const client = await test.lab.client(clientConfig(test), ["jobs"]);
  assert.equal(await client.exited(), 0, client.output);
  const [found] = client.stdout.map((line) => JSON.parse(line)).filter(({ id }) => id === job);
  return found?.end ?? found?.worker_says?.state;
}

async function runsIn(test: TestLab): Promise<string[]> {
  const runs = join(test.folder, "out/models");
  return await namesIn(join(runs, (await namesIn(runs))[0]!));
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `Ctrl-C: ${name}${PTY_NOTE}`, ignore: !hasPty, fn });
}

test("the job goes on after Enter, and can be asked to end early and keep what was trained", () =>
  withRunningJob(async (client, lab) => {
    await client.type(CTRL_C);
    await client.until(QUESTION);
    await client.type("x\n");
    await until(
      "the end of the question",
      () => Promise.resolve(QUESTION.test(client.text) ? undefined : true),
    );
    await client.type(CTRL_C);
    await client.until(QUESTION);
    await client.type("s");
    assert.equal(await client.exited(), 0, client.text);
    assert.match(client.text, /asked to end early[^]*\ndone \(/);
    assert.deepEqual(await runsIn(lab), ["best.ckpt"]);
  }));

test("the job can be left, come back to and cancelled there", () =>
  withRunningJob(async (client, lab, job) => {
    await client.type(CTRL_C);
    await client.until(QUESTION);
    await client.type("d");
    assert.equal(await client.exited(), 0, client.text);
    assert.match(client.text, new RegExp(`come back with: sleap-rtc-client attach ${job}`));
    assert.equal(await stateOf(lab, job), "running");
    await onTerminal(lab, ["attach", job], async (again) => {
      await again.until(/: running/);
      await again.type(CTRL_C);
      await again.until(QUESTION);
      await again.type("c");
      assert.equal(await again.exited(), 1, again.text);
      assert.match(again.text, /failed: it was cancelled/);
    });
  }));

test("the job can be cancelled", () =>
  withRunningJob(async (client, lab, job) => {
    await client.type(CTRL_C);
    await client.until(QUESTION);
    await client.type("c");
    assert.equal(await client.exited(), 130, client.text);
    assert.equal(await stateOf(lab, job), "cancelled");
  }));

test("twice leaves at once, and says that the job goes on", () =>
  withRunningJob(async (client, lab, job) => {
    await client.type(CTRL_C);
    await client.until(QUESTION);
    await client.type(CTRL_C);
    assert.equal(await client.exited(), 130, client.text);
    assert.match(client.text, new RegExp(`left: the job goes on; come back with: .* attach ${job}`));
    assert.equal(await stateOf(lab, job), "running");
    assert.equal((await run(lab, "cancel", job)).code, 0);
    assert.deepEqual(await namesIn(join(lab.folder, "out")), [], "nothing is left in the output folder");
  }));

test("before the job has begun the submission is stopped", () =>
  withLab(async (test) => {
    const worker = await endlessWorker(test);
    worker.process.kill("SIGSTOP");
    try {
      const args = ["train", await packageIn(test.home), "--session-string", worker.session];
      await onTerminal(test, args, async (client) => {
        await client.until(/worker /);
        await client.type(CTRL_C);
        assert.equal(await client.exited(), 130, client.text);
        assert.match(client.text, /stopping/);
      });
    } finally {
      worker.process.kill("SIGCONT");
    }
  }));
