import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fromSource, type LabProcess } from "../../scripts/local_lab.ts";
import { containerStages, kubernetesObjects, readDeploy, unitArguments } from "../deploy/read.ts";
import { type TestLab, withLab } from "./lab.ts";

/** What the examples have for the storage, for the configuration, and for the worker's own files. */
const STORAGE = "/mnt/vast";
const CONFIG = "/etc/sleap-rtc/sleap-rtc.toml";
const SCRATCH = /^--scratch=.*/;

/** The arguments with which each example starts the worker. */
const EXAMPLES: Readonly<Record<string, () => Promise<string[]>>> = {
  "the container": async () => JSON.parse((await containerStages()).at(-1)?.last("CMD") ?? ""),
  "the Kubernetes job": async () => (await kubernetesObjects()).job.spec.template.spec.containers[0].args,
  "the systemd unit": unitArguments,
};

/** The example configuration with the test's storage, and that storage. */
async function writeConfig({ lab, storage }: TestLab): Promise<string> {
  return await lab.writeConfig((await readDeploy("sleap-rtc.toml")).replace(STORAGE, storage));
}

/** A worker that is in its room, and offers the storage that its flags allow. */
async function serves(worker: LabProcess, storage: string): Promise<void> {
  await worker.line(/This worker is ready/);
  await worker.line(/storage backend vast/);
  assert.ok(worker.output.includes(`storage backend vast [nfs]: ${storage}`), worker.output);
  assert.equal(await worker.stop(), 0, worker.output);
}

for (const [name, read] of Object.entries(EXAMPLES)) {
  Deno.test(`the worker starts as ${name} starts it`, () =>
    withLab(async (test) => {
      const config = await writeConfig(test);
      const args = (await read()).map((argument) =>
        argument.replace(STORAGE, test.storage).replace(CONFIG, config)
          .replace(SCRATCH, `--scratch=${join(test.folder, "scratch")}`)
      );
      for (const flag of ["read", "write"]) assert.ok(args.includes(`--allow-${flag}=${test.storage}`));
      const env = test.lab.environment;
      await serves(test.lab.spawn([...fromSource("worker/main.ts"), ...args], { env }), test.storage);
    }));
}

Deno.test("the SLURM script starts the worker in its own place, and the signal before the end stops it", () =>
  withLab(async (test) => {
    const program = join(test.folder, "sleap-rtc-worker");
    const command = fromSource("worker/main.ts").map((part) => `'${part}'`).join(" ");
    await Deno.writeTextFile(program, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
    const script = fileURLToPath(new URL("../../deploy/slurm.sbatch", import.meta.url));
    const env = {
      ...test.lab.environment,
      SLEAP_RTC_WORKER: program,
      SLEAP_RTC_STORAGE: test.storage,
      SLEAP_RTC_CONFIG: await writeConfig(test),
      SLURM_TMPDIR: test.folder,
    };
    await serves(test.lab.spawn(["bash", script], { env }), test.storage);
  }));
