/** Reports of a trainer that speaks ZeroMQ, and words to it, through a real worker. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pythonWithZmq } from "../worker/trainer.ts";
import { clientConfig, namesIn } from "./lab.ts";
import { begin, choosePaths, packageOf, put, type Scenario, scenario } from "./worker_spec/lab.ts";

const python = await pythonWithZmq();
const TRAINER = fileURLToPath(new URL("../python/trainer.py", import.meta.url));
/** Far more than there is time for: it is told to stop. */
const ENDLESS = 1_000_000;

function zmqTest(name: string, body: (scenario: Scenario) => Promise<void>): void {
  const ignore = python === undefined;
  const fn = (): Promise<void> => scenario(body);
  Deno.test({ name: ignore ? `${name} (skipped: needs python3-zmq)` : name, ignore, fn });
}

/** A run of so many epochs. */
function run(epochs: number): string {
  return `exec ${python} '${TRAINER}' "$1" "$2" "$3" ${epochs}\n`;
}

/** Starts a job of a client with a window for reports, or without one. */
async function start({ client }: Scenario, hasMonitor: boolean): Promise<void> {
  await begin(client);
  await client.say(`FILE_META::pkg.zip:1:${hasMonitor ? "True" : "False"}`);
  await choosePaths(client, "pkg.zip", "out");
  await client.say("SHARED_STORAGE_JOB::start");
}

zmqTest(
  "a trainer's reports come as they are, and it can be told to stop: its results are kept",
  async (test) => {
    const { base, client } = test;
    await put(join(base, "alice/pkg.zip"), await packageOf({ a: run(ENDLESS), b: run(ENDLESS) }));
    await start(test, true);
    const said: string[] = [];
    for (const name of ["a", "b"]) {
      said.push(...await client.until(/^PROGRESS_REPORT::.*"epoch_end".*"epoch": \d+/));
      assert.deepEqual(
        Object.keys(JSON.parse(said.at(-1)!.slice("PROGRESS_REPORT::".length).replace("NaN", "0"))),
        [
          "what",
          "event",
          "logs",
          "epoch",
        ],
      );
      assert.match(said.at(-1)!, new RegExp(`"what": "${name}"`));
      await client.say('ZMQ_CTRL::{"command": "stop"}');
      said.push(...await client.until(/^TRAIN_JOB_(END|ERROR)/));
      assert.equal(said.at(-1), `TRAIN_JOB_END::${name}`);
      assert.ok(said.includes("told to stop\n"));
      // The last word comes before the end.
      assert.ok(said.some((text) => text.includes('"train_end"') && text.includes(`"what": "${name}"`)));
    }
    assert.match((await client.until(/^JOB_/)).at(-1)!, /^JOB_COMPLETE::job_1a2b3c4d::out::2::/);
    assert.deepEqual(await namesIn(join(base, "alice/out/models")), ["a", "b"]);
  },
);

zmqTest(
  "a Python client without a window gets no reports, and can stop the trainer all the same",
  async (test) => {
    const { base, client, worker } = test;
    await put(join(base, "alice/pkg.zip"), await packageOf({ a: run(ENDLESS) }));
    await client.say('ZMQ_CTRL::{"command": "stop"}');
    await worker.process.line(/"level":"warning".*no trainer runs that could be told anything/);
    await start(test, false);
    await client.until(/^TRAIN_JOB_START/);
    // It does not listen yet; it is told when it does.
    await client.say('ZMQ_CTRL::{"command": "stop"}');
    const said = await client.until(/^JOB_/);
    assert.match(said.at(-1)!, /^JOB_COMPLETE::/, worker.process.output);
    assert.ok(said.includes("told to stop\n"));
    assert.deepEqual(said.filter((text) => text.startsWith("PROGRESS_REPORT")), []);
  },
);

zmqTest("the client shows epoch and losses of a trainer that reports", async (test) => {
  const { client, clientMount, folder, lab, worker } = test;
  await client.leave();
  await worker.process.line(/ready for the next client/);
  const path = await put(join(clientMount, "alice/pkg.zip"), await packageOf({ centroid: run(60) }));
  const args = ["train", path, "--session-string", worker.session, "--output-dir", join(folder, "out")];
  // What the trainer of this test runs is no configuration.
  args.push("--no-preflight");
  const { code, events, stderr } = await lab.runClient(clientConfig(test), args);
  assert.equal(code, 0, stderr);
  const training = events.flatMap((event) => event.event === "training" ? [event] : []);
  const last = training.at(-1);
  assert.equal(last?.run, "centroid");
  assert.equal(last?.epoch, 59);
  assert.deepEqual(last?.metrics, { "train/loss": 1 / 60 });
});

zmqTest("a job that is to end early tells its trainer so, and begins no other run", async (test) => {
  const { base, client, worker } = test;
  await put(join(base, "alice/pkg.zip"), await packageOf({ a: run(ENDLESS), b: run(ENDLESS) }));
  await start(test, true);
  await client.until(/^PROGRESS_REPORT::.*"epoch_end"/);
  await client.say("JOB_STOP::job_1a2b3c4d");
  const said = await client.until(/^JOB_(COMPLETE|FAILED)/);
  assert.match(said.at(-1)!, /^JOB_COMPLETE::/, worker.process.output);
  assert.ok(said.includes("told to stop\n"), said.join());
  assert.deepEqual(said.filter((text) => text.startsWith("TRAIN_JOB_")), ["TRAIN_JOB_END::a"]);
  assert.deepEqual(await namesIn(join(base, "alice/out/models")), ["a"]);
});

Deno.test("output travels line by line, and what is written over with a carriage return in front", () =>
  scenario(async ({ base, client }) => {
    const output = String.raw`printf 'one\n\n10%%\r20%%\r\r\ndone\r\nFILE_META::a:1:b\nrest'`;
    await put(join(base, "alice/pkg.zip"), await packageOf({ a: `${output}\n` }));
    await begin(client);
    await choosePaths(client, "pkg.zip", "out");
    await client.say("SHARED_STORAGE_JOB::start");
    const said = await client.until(/^TRAIN_JOB_END/);
    // What could be taken for a message gets a blank in front.
    const expected = ["one\n", "\r10%", "\r20%", "\rdone", " FILE_META::a:1:b\n", "rest\n"];
    assert.deepEqual(said, ["TRAIN_JOB_START::a", ...expected, "TRAIN_JOB_END::a"]);
    await client.until(/^JOB_COMPLETE/);
  }));
