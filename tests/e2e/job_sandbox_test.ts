import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { JOB_ENVIRONMENT } from "../../config/schema.ts";
import { type ClientRun, exampleTrainer, fromSource, storageSection } from "../../scripts/local_lab.ts";
import { bwrapRuns, SKIPPED, waitUntilGone, waitUntilThere } from "../bubblewrap.ts";
import { JOB_MARK } from "../../worker/worker_job.ts";
import { clientConfig, modelIn, packageIn, type TestLab, withLab } from "./lab.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BWRAP = 'sandbox = "bwrap"';
/** What a shell and bubblewrap make by themselves. */
const OF_THE_SHELL = ["PWD", "OLDPWD", "SHLVL", "_"];

/** A test of the real bubblewrap. */
function sandboxed(name: string, test: (lab: TestLab) => Promise<void>): void {
  Deno.test({ name: name + SKIPPED, ignore: !bwrapRuns, fn: () => withLab(test) });
}

/** A worker configuration whose training is a shell script. */
function shellJob({ workerMount }: TestLab, script: string, worker: string): string {
  const command = JSON.stringify(["sh", "-c", script]);
  return `${
    storageSection("vast", workerMount)
  }\n[worker]\n${worker}\n[worker.jobs.train]\ncommand = ${command}\n`;
}

async function denoDir(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

/** Trains a package that lies on the storage. */
async function train(
  test: TestLab,
  session: string,
  env: Record<string, string> = {},
): Promise<ClientRun> {
  const path = await packageIn(join(test.clientMount, "alice"));
  return await test.lab.runClient(clientConfig(test), ["train", path, "--session-string", session], { env });
}

function logged({ events }: ClientRun): string {
  return events.flatMap((event) => event.event === "log" ? [event.text] : []).join("\n");
}

sandboxed("a job under bubblewrap trains in place as without it", async (test) => {
  const cache = await denoDir();
  const worker = `[worker]\n${BWRAP}\nsandbox_read = ${JSON.stringify([ROOT, cache])}\n`;
  const { session, process } = await test.lab.worker(
    `${storageSection("vast", test.workerMount)}\n${exampleTrainer().replace("[worker]\n", worker)}`,
    ["--scratch", join(test.folder, "scratch")],
    { env: { DENO_DIR: cache } },
  );
  const run = await train(test, session);
  assert.equal(run.code, 0, `${run.stderr}\n${logged(run)}\n${process.output}`);
  assert.equal(run.summary?.method, "in place");
  await modelIn(join(test.clientMount, "alice/models"));
});

for (const [where, worker, needed] of [["", "", true], [" under bubblewrap", BWRAP, bwrapRuns]] as const) {
  Deno.test({
    name: `a job${where} sees the variables that are listed, and no other${needed ? "" : SKIPPED}`,
    ignore: !needed,
    fn: () =>
      withLab(async (test) => {
        const secret = { SLEAP_RTC_ROOM_SECRET: "what only this room knows" };
        const { session } = await test.lab.worker(
          shellJob(
            test,
            "env | sed s/^/variable:/",
            `${worker}\njob_environment = ["LISTED", "LD_PRELOAD"]\n`,
          ),
          [],
          { env: { LISTED: "seen", UNLISTED: "secret", LD_PRELOAD: "", ...secret } },
        );
        const said = logged(await train(test, session, secret));
        const names = [...said.matchAll(/^variable:(\w+)=/gm)].map(([, name]) => name!);
        const allowed = [...JOB_ENVIRONMENT, "LISTED", "PYTHONUNBUFFERED", JOB_MARK, ...OF_THE_SHELL];
        assert.deepEqual(names.filter((name) => !allowed.includes(name)), []);
        assert.match(said, /^variable:LISTED=seen$/m);
        assert.match(said, /^variable:PATH=/m);
        assert.doesNotMatch(said, /secret|what only this room knows/);
      }),
  });
}

sandboxed("a worker that is killed leaves no job under bubblewrap behind", async (test) => {
  const mark = `9${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const { session, process } = await test.lab.worker(
    shellJob(test, `setsid sleep ${mark} & echo begun; sleep ${mark}`, BWRAP),
    ["--scratch", join(test.folder, "scratch")],
    // What it leaves behind is gone with the test's folder.
    { env: { TMPDIR: test.home } },
  );
  const path = await packageIn(join(test.clientMount, "alice"));
  const client = await test.lab.client(clientConfig(test), ["train", path, "--session-string", session]);
  await client.line(/"log".*begun/);
  await waitUntilThere(mark);
  process.kill("SIGKILL");
  await waitUntilGone(mark);
});

Deno.test("a worker that should use bubblewrap and cannot find it does not start", () =>
  withLab(async ({ lab, folder, home }) => {
    const config = await lab.writeConfig(`[worker]\n${BWRAP}\n`);
    const args = [...fromSource("worker/main.ts"), "--config", config, "--scratch", join(folder, "scratch")];
    const process = lab.spawn(args, { env: { ...lab.environment, PATH: home } });
    assert.equal(await process.exited(), 2);
    assert.match(
      process.output,
      /error: \[worker\] sandbox is "bwrap", but bubblewrap is not installed\nhint: /,
    );
  }));
