import assert from "node:assert/strict";
import { join } from "node:path";
import { type WorkerInfo, workerInfo } from "../../client/choose_worker.ts";
import { dryRun, namedFiles, packageFiles, type Subject, type WorkerPlan } from "../../client/dry_run.ts";
import { StorageConfig } from "../../storage/backend.ts";
import { stablePartial } from "../../storage/partial.ts";
import { withTempDir } from "../examples/trainer_run.ts";

const MIB = 2 ** 20;

function worker(peerId: string, backends: string[], properties: Record<string, unknown> = {}): WorkerInfo {
  const facts = { storage_backends: backends, gpu_memory_mb: 8, status: "available", ...properties };
  return workerInfo({ peer_id: peerId, metadata: { properties: facts } });
}

interface Bench {
  dir: string;
  plan: (fields: Partial<Subject>, ...workers: WorkerInfo[]) => Promise<WorkerPlan[]>;
}

/** Plans for `vast/alice/in.zip` and `home/out.zip`, of 4 MiB each; backends `vast` and `scratch` are there. */
function withPlans(test: (bench: Bench) => Promise<void>): Promise<void> {
  return withTempDir(async (made) => {
    const dir = await Deno.realPath(made);
    for (const folder of ["vast/alice", "scratch", "home"]) {
      await Deno.mkdir(join(dir, folder), { recursive: true });
    }
    for (const file of ["vast/alice/in.zip", "home/out.zip"]) {
      await Deno.writeFile(join(dir, file), new Uint8Array(4 * MIB));
    }
    const storage = new StorageConfig(
      ["vast", "scratch"].map((name) => ({ name, basePath: join(dir, name) })),
    );
    const plan: Bench["plan"] = async (fields, ...workers) => {
      const { packagePath = join(dir, "home/out.zip"), isFolder = false } = fields;
      return await dryRun({
        kind: "train",
        packagePath,
        isFolder,
        files: await packageFiles(packagePath, isFolder),
        storage,
        legacyRoot: undefined,
        preferredBackend: undefined,
        userSubdir: undefined,
        transfer: "auto",
        needs: {},
        ...fields,
      }, workers);
    };
    await test({ dir, plan });
  });
}

function outline({ worker, method, bytes, files, then }: WorkerPlan): unknown[] {
  return [worker, method, bytes, files.map(({ fate }) => fate).join(), then.join()];
}

Deno.test("dry run: each worker has its own way, the quickest comes first", () =>
  withPlans(async ({ dir, plan }) => {
    const packagePath = join(dir, "vast/alice/in.zip");
    const workers = [worker("far", []), worker("mid", ["scratch"]), worker("near", ["vast", "scratch"])];
    const plans = await plan({ packagePath }, ...workers);
    assert.deepEqual(plans.map(outline), [
      ["near", "in place", 0, "shared", "copy,rtc"],
      ["mid", "copy", 4 * MIB, "copy", "rtc"],
      ["far", "rtc", 4 * MIB, "send", ""],
    ]);
    const seconds = plans.map((each) => each.seconds!);
    assert.ok(seconds[0] === 0 && seconds[1]! > 0 && seconds[2]! > seconds[1]!);
    for (const { why, files } of plans) assert.ok(why !== "" && files.every((each) => each.why !== ""));
  }));

Deno.test("dry run: a worker that is busy comes after those that are free, one that will not do last, with the reason", () =>
  withPlans(async ({ plan }) => {
    const small = worker("small", ["vast"], { gpu_memory_mb: 4 });
    const busy = worker("busy", ["vast"], { status: "busy" });
    const plans = await plan({ needs: { gpuMemoryMb: 8 } }, small, busy, worker("free", []));
    assert.deepEqual(plans.map((each) => [each.worker, each.suitable, each.status]), [
      ["free", true, "available"],
      ["busy", true, "busy"],
      ["small", false, "available"],
    ]);
    assert.equal(plans[2]!.why, "4 of 8 MiB GPU memory");
    assert.deepEqual([plans[2]!.method, plans[2]!.seconds, plans[2]!.files], [null, null, []]);
  }));

Deno.test("dry run: a way that is asked for and cannot be had makes a worker unsuitable", () =>
  withPlans(async ({ plan }) => {
    const [only] = await plan({ transfer: "in-place" }, worker("w", ["vast"]));
    assert.equal(only?.suitable, false);
    assert.match(only!.why, /in place is not possible/);
  }));

Deno.test("dry run: what an interrupted copy left counts as there, and where copies go is the owner's folder", () =>
  withPlans(async ({ dir, plan }) => {
    const packagePath = join(dir, "vast/alice/in.zip");
    const jobs = join(dir, "scratch/alice/jobs");
    await Deno.mkdir(jobs, { recursive: true });
    const partial = stablePartial(jobs, "in.zip", await Deno.stat(packagePath));
    await Deno.writeFile(partial, new Uint8Array(3 * MIB));
    const [only] = await plan({ packagePath }, worker("w", ["scratch"]));
    assert.deepEqual(only!.files.map(({ fate, bytes, moves }) => [fate, bytes, moves]), [[
      "cached",
      4 * MIB,
      MIB,
    ]]);
    assert.equal(only!.bytes, MIB);
    assert.deepEqual([...Deno.readDirSync(jobs)].length, 1);
  }));

Deno.test("dry run: a folder is sent file by file, without earlier results; what it names lies on shared storage, or is missing", () =>
  withPlans(async ({ dir, plan }) => {
    const packagePath = join(dir, "home/package");
    await Deno.mkdir(join(packagePath, "models/old"), { recursive: true });
    for (const name of ["a.yaml", "labels.slp", "models/old/best.ckpt"]) {
      await Deno.writeTextFile(join(packagePath, name), "12345");
    }
    const videos = ["vast/alice/in.zip", "home/out.zip", "home/gone.mp4"].map((name) => join(dir, name));
    const files = [...await packageFiles(packagePath, true), ...await namedFiles(videos, true)];
    const [near, far] = await plan(
      { packagePath, isFolder: true, files },
      worker("near", ["vast"]),
      worker("far", []),
    );
    const fates = (each: WorkerPlan): unknown[] =>
      each.files.map(({ file, fate, moves }) => [file, fate, moves]);
    assert.deepEqual(fates(near!), [
      ["a.yaml", "send", 5],
      ["labels.slp", "send", 5],
      [videos[0], "shared", 0],
      [videos[1], "missing", 0],
      [videos[2], "missing", 0],
    ]);
    assert.deepEqual(far!.files.map(({ fate }) => fate), ["send", "send", "missing", "missing", "missing"]);
    assert.equal(near!.bytes, 10);
  }));
