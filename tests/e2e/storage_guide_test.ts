/** The set-ups of docs/storage.md, acted out as they stand there; only places of this machine take theirs. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun, exampleTrainer, fromSource } from "../../scripts/local_lab.ts";
import { blocksOf, calledBy, commandsOf, ROOT, type Words } from "../docs/blocks.ts";
import { modelIn, packageIn, type TestLab, withLab } from "./lab.ts";

/** The blocks below a heading: two configurations, and how worker and client are started. */
interface SetUp {
  worker: string;
  client: string;
  start: string;
  submit: string;
  /** What the client is to say. */
  method: string;
}

async function setUp(heading: string): Promise<SetUp> {
  const page = await Deno.readTextFile(join(ROOT, "docs/storage.md"));
  const lines = page.split("\n");
  const first = lines.indexOf(`### ${heading}`);
  const last = lines.findIndex((line, index) => index > first && /^##/.test(line));
  assert.ok(first >= 0 && last > first, heading);
  const blocks = (await blocksOf("docs/storage.md")).filter(({ line }) => line > first && line < last);
  assert.deepEqual(blocks.map(({ language }) => language), ["toml", "toml", "sh", "sh"], heading);
  const [worker = "", client = "", start = "", submit = ""] = blocks.map(({ text }) => text);
  const [, method = ""] = /`method: ([a-z ]+)`/.exec(lines.slice(first, last).join("\n")) ?? [];
  return { worker, client, start, submit, method };
}

/** Each place of the guide in a text by that of the test. */
function moved(text: string, places: Readonly<Record<string, string>>): string {
  return Object.entries(places).reduce((all, [from, to]) => all.replaceAll(from, to), text);
}

/** `NAME=VALUE` of `export` in a shell block. */
function exportsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^export (\w+)=(\S+)$/gm)].map(([, name, value]) => [name!, value!]),
  );
}

/** The arguments that a shell block gives one of the programs. */
function argumentsFor(program: string, text: string): Words {
  const calls = commandsOf(text).map(calledBy).flatMap((call) => "program" in call ? [call] : []);
  assert.deepEqual(calls.map((call) => call.program), [program]);
  return calls[0]!.args;
}

/** Starts the worker as `start` says, submits as the guide says, and checks that the model came to `results`. */
async function actOut(
  test: TestLab,
  guide: SetUp,
  { start, places, results }: {
    start: (config: string) => { args: readonly string[]; env: Record<string, string> };
    places: Readonly<Record<string, string>>;
    results: string;
  },
): Promise<void> {
  // A section that the guide has already goes on with the trainer's keys.
  const [, key = "", jobs = ""] = /^\[worker\]\n(.*)\n([^]*)$/.exec(exampleTrainer()) ?? [];
  const own = moved(guide.worker, places);
  const toml = /^\[worker\]$/m.test(own) ? `${own}${key}\n${jobs}` : `${own}\n${exampleTrainer()}`;
  const config = await test.lab.writeConfig(toml);
  const { args, env } = start(config);
  const worker = test.lab.spawn(args, {
    env: { ...test.lab.environment, ...exportsOf(guide.start), ...env },
  });
  const [session = ""] = /sleap-session:[\w+/=-]+/.exec(await worker.line(/sleap-session:/)) ?? [];
  const submission = argumentsFor("client", guide.submit)
    .map((word) => moved(word, places).replace(/^sleap-session:.*/, session));
  const client = await test.lab.client(moved(guide.client, places), submission, {
    env: exportsOf(guide.submit),
  });
  const run = await clientRun(client);
  assert.equal(run.code, 0, `${run.stderr}\n${worker.output}`);
  assert.equal(run.summary?.method, guide.method);
  assert.ok((await modelIn(join(results, "models"))).length > 0);
}

Deno.test("SLURM with NFS: the package is trained where it lies", () =>
  withLab(async (test) => {
    const guide = await setUp("SLURM with NFS");
    const program = join(test.folder, "sleap-rtc-worker");
    const command = fromSource("worker/main.ts").map((part) => `'${part}'`).join(" ");
    await Deno.writeTextFile(program, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
    await packageIn(join(test.clientMount, "alice"), {}, "training.zip");
    const [words = []] = commandsOf(guide.start);
    const [, storage = ""] = /^--export=ALL,SLEAP_RTC_STORAGE=(.+)$/.exec(words[1] ?? "") ?? [];
    assert.deepEqual([words[0], storage, words[2]], ["sbatch", "/nfs/lab", "deploy/slurm.sbatch"]);
    await actOut(test, guide, {
      start: (config) => ({
        args: ["bash", join(ROOT, words[2]!)],
        env: {
          SLEAP_RTC_WORKER: program,
          SLEAP_RTC_STORAGE: test.workerMount,
          SLEAP_RTC_CONFIG: config,
          SLURM_TMPDIR: test.folder,
        },
      }),
      places: { "/nfs/lab": test.workerMount, "/mnt/lab": test.clientMount },
      results: join(test.storage, "alice"),
    });
  }));

Deno.test("Run:AI with VAST: the package is copied to the user's folder, and the copy goes", () =>
  withLab(async (test) => {
    const guide = await setUp("Run:AI with VAST");
    await Deno.mkdir(join(test.storage, "amick"));
    await packageIn(test.home, {}, "training.zip");
    const places = {
      "/home/jovyan/vast": test.workerMount,
      "/Volumes/talmo": test.clientMount,
      "/Users/amick/Desktop": test.home,
      "=/scratch": `=${join(test.folder, "scratch")}`,
    };
    await actOut(test, guide, {
      start: (config) => ({
        args: [
          ...fromSource("worker/main.ts"),
          ...argumentsFor("worker", guide.start).map((word) =>
            moved(word, { ...places, "/etc/sleap-rtc/sleap-rtc.toml": config })
          ),
        ],
        env: {},
      }),
      places,
      results: test.home,
    });
    assert.deepEqual(await Array.fromAsync(Deno.readDir(join(test.storage, "amick/jobs"))), []);
  }));

Deno.test("a laptop with cloud workers: the package goes over the data channel, between two that know the secret", () =>
  withLab(async (test) => {
    const guide = await setUp("A laptop with cloud workers");
    await packageIn(test.home, {}, "training.zip");
    assert.deepEqual(exportsOf(guide.start), exportsOf(guide.submit));
    const results = join(test.folder, "results");
    const scratch = join(test.folder, "scratch");
    await Deno.mkdir(scratch);
    await actOut(test, guide, {
      start: (config) => ({
        args: [...fromSource("worker/main.ts"), "--config", config, ...argumentsFor("worker", guide.start)],
        env: {},
      }),
      places: {
        "/workspace/sleap-rtc": scratch,
        "/Volumes/lab": test.clientMount,
        "/Users/alice": test.home,
        "~/sleap-results": results,
      },
      results,
    });
  }));
