import assert from "node:assert/strict";
import { join } from "node:path";
import { fromSource, LabProcess, storageSection } from "../../scripts/local_lab.ts";
import { PROGRAMS } from "../../scripts/programs.ts";
import { bwrapRuns, SKIPPED } from "../bubblewrap.ts";
import { withTempDir } from "../storage/temp.ts";
import { runDoctor } from "./doctor_run.ts";
import { namesIn, withLab } from "./lab.ts";

/** An address at which nobody listens. */
const NOWHERE = {
  SLEAP_RTC_SIGNALING_HTTP: "http://127.0.0.1:9",
  SLEAP_RTC_SIGNALING_WS: "ws://127.0.0.1:9",
};

/** A folder with programs that are shell scripts, in front of PATH. */
async function programs(dir: string, scripts: Record<string, string>): Promise<Record<string, string>> {
  const bin = join(dir, "bin");
  await Deno.mkdir(bin, { recursive: true });
  for (const [name, script] of Object.entries(scripts)) {
    await Deno.writeTextFile(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  return { PATH: `${bin}:${Deno.env.get("PATH")}` };
}

const SMI = 'case "$1" in *memory.free*) echo "NVIDIA A40, 46068, 535.104.05, 45000";; *) echo 0;; esac';

Deno.test({
  name: "worker doctor: a machine that can be a worker, and nothing is left on it",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withLab(async ({ lab, folder, storage }) => {
      const trainer = 'test "$1" = --version && test -z "$UNLISTED" && echo "sleap-nn 0.1.2"';
      const env = await programs(folder, { "sleap-nn": trainer, "nvidia-smi": SMI });
      const config = await lab.writeConfig(storageSection("vast", storage));
      const scratch = join(folder, "new/scratch");
      await Deno.mkdir(join(folder, "new"));
      const run = await runDoctor("worker", config, ["--scratch", scratch], {
        env: { ...lab.environment, ...env, UNLISTED: "seen", TMPDIR: folder },
        cwd: folder,
      });
      assert.equal(run.summary.failures, 0, run.output);
      assert.equal(run.code, 0);
      assert.match(run.find(/^training$/).detail, /bin\/sleap-nn, sleap-nn 0\.1\.2$/);
      assert.match(run.find(/^inference$/).detail, /bin\/sleap-nn, sleap-nn 0\.1\.2$/);
      assert.equal(
        run.find(/^GPU$/).detail,
        "NVIDIA A40, 45.0 GiB of which 43.9 GiB free, driver 535.104.05",
      );
      assert.match(run.find(/^scratch folder$/).detail, /new\/scratch: can be written to, .* free/);
      assert.match(run.find(/^jobs folder$/).detail, /new\/scratch\/jobs$/);
      assert.equal(run.find(/^storage backend vast$/, /written and flushed/).hint, undefined);
      assert.match(run.find(/^WebSocket$/).detail, /registered in/);
      const metrics = await (await fetch(`${lab.httpUrl}/metrics?format=prometheus`)).text();
      assert.match(metrics, /rooms 0$/m, "the room that was made is gone");
      assert.deepEqual(await namesIn(join(folder, "new")), []);
      assert.deepEqual(await namesIn(storage), []);
    }),
});

Deno.test({
  name: "worker doctor: what is missing is said, with what to do",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withTempDir(async (dir) => {
      const env = await programs(dir, { broken: "echo oops >&2; exit 1", wrapper: "echo 1.0" });
      const config = join(dir, "config.toml");
      const jobs =
        '[worker.jobs.train]\ncommand = ["broken", "{config}"]\n[worker.jobs.track]\ncommand = ["wrapper"]\n';
      await Deno.writeTextFile(config, storageSection("vast", dir) + jobs);
      const file = join(dir, "file");
      await Deno.writeTextFile(file, "");
      const args = ["--scratch", file, "--allow-write", join(dir, "elsewhere")];
      const run = await runDoctor("worker", config, args, { env: { ...NOWHERE, ...env }, cwd: dir });
      assert.equal(run.code, 1);
      const training = run.find(/^training$/, /does not tell its version$/);
      assert.equal(training.status, "warning");
      const inference = run.find(/^inference$/, /wrapper, 1\.0; its command has no \{arguments\}$/);
      assert.equal(inference.status, "warning");
      const scratch = run.find(/^scratch folder$/);
      assert.equal(scratch.status, "failure");
      assert.match(scratch.detail, /^cannot use the scratch folder .*file: /);
      assert.match(scratch.hint ?? "", /^give --scratch/);
      assert.match(run.find(/^storage access$/).detail, /may not use vast/);
      const none = await Deno.readTextFile(config).then((toml) => toml.replace("broken", "not-installed"));
      await Deno.writeTextFile(config, none);
      const missing = await runDoctor("worker", config, [], { env: { ...NOWHERE, ...env }, cwd: dir });
      const found = missing.find(/^training$/);
      assert.equal(found.status, "failure");
      assert.match(found.detail, /^"not-installed" is not installed$/);
      assert.match(found.hint ?? "", /install it, or activate its environment/);
    }),
});

Deno.test({
  name: `worker doctor: the sandbox around jobs is tried, and what keeps it from working is said${SKIPPED}`,
  ignore: !bwrapRuns,
  fn: () =>
    withTempDir(async (dir) => {
      const config = join(dir, "config.toml");
      await Deno.writeTextFile(config, '[worker]\nsandbox = "bwrap"\n');
      const [scratch, temporary] = [join(dir, "scratch"), join(dir, "tmp")];
      await Deno.mkdir(temporary);
      const args = ["--scratch", scratch];
      const env = { ...NOWHERE, TMPDIR: temporary };
      const well = await runDoctor("worker", config, args, { env, cwd: dir });
      assert.equal(well.find(/^job sandbox$/).status, "ok", well.output);
      const broken = await programs(dir, { bwrap: "echo no namespaces here >&2; exit 1" });
      const ill = await runDoctor("worker", config, args, { env: { ...env, ...broken }, cwd: dir });
      const found = ill.find(/^job sandbox$/);
      assert.equal(found.status, "failure");
      assert.match(found.detail, /bubblewrap cannot run jobs here: no namespaces here/);
      assert.deepEqual(await namesIn(temporary), []);
      await assert.rejects(Deno.stat(scratch), Deno.errors.NotFound);
    }),
});

Deno.test("worker: a command that there is not is a mistake of the command line", async () => {
  const process = new LabProcess([...fromSource("worker/main.ts"), "docter"]);
  assert.equal(await process.exited(), 2, process.output);
});

for (const { name, entry, permissions } of PROGRAMS.filter(({ hasAddon }) => hasAddon)) {
  Deno.test(`doctor: what ${name} asks for is what it is given`, () =>
    withTempDir(async (dir) => {
      const config = join(dir, "config.toml");
      await Deno.writeTextFile(config, "");
      const program = entry.startsWith("client") ? "client" : "worker";
      const run = await runDoctor(program, config, [], { env: NOWHERE, cwd: dir });
      assert.equal(run.find(/^permissions$/).detail, `all: ${permissions.join(" ")}`);
    }));
}
