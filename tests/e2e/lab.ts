import { join } from "node:path";
import { makePackage, type PackageOptions } from "../../examples/make_package.ts";
import {
  exampleTrainer,
  type LabProcess,
  LocalLab,
  type ProcessOptions,
  type Programs,
  storageSection,
  type WorkerHandle,
} from "../../scripts/local_lab.ts";

/** A lab with two views of one storage: the client's and the worker's mount point are links to it. */
export interface TestLab {
  lab: LocalLab;
  /** Absolute; removed after the test. */
  folder: string;
  /** The storage itself. */
  storage: string;
  clientMount: string;
  workerMount: string;
  /** A folder that is on no storage. */
  home: string;
}

/** Runs a test with a signaling server of its own; every process and file is gone afterwards. */
export async function withLab(
  test: (lab: TestLab) => Promise<void>,
  args: readonly string[] = [],
  options: ProcessOptions = {},
  programs?: Programs,
): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "sleap-rtc-test-" }));
  const [storage, home] = [join(folder, "storage"), join(folder, "home")];
  const [clientMount, workerMount] = [join(folder, "Volumes/lab"), join(folder, "jovyan/vast")];
  for (const path of [storage, home, join(folder, "Volumes"), join(folder, "jovyan")]) await Deno.mkdir(path);
  await Deno.symlink(storage, clientMount);
  await Deno.symlink(storage, workerMount);
  const lab = await LocalLab.start(folder, args, options, programs);
  try {
    await test({ lab, folder, storage, clientMount, workerMount, home });
  } finally {
    await lab.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

/** A worker with the example trainer and the backend `vast` at its own mount point; scratch below the test's folder. */
export function startWorker(
  { lab, folder, workerMount }: TestLab,
  { backends = storageSection("vast", workerMount), args = [], ...options }: ProcessOptions & {
    backends?: string;
    args?: string[];
  } = {},
): Promise<WorkerHandle> {
  return lab.worker(
    `${backends}\n${exampleTrainer()}`,
    ["--scratch", join(folder, "scratch"), ...args],
    options,
  );
}

/** The client's configuration: the backend `vast` at its mount point. */
export function clientConfig({ clientMount }: TestLab): string {
  return storageSection("vast", clientMount);
}

/** Makes a package in a folder that may have to be made; returns its path. */
export async function packageIn(
  folder: string,
  options: PackageOptions = {},
  name = "pkg.zip",
): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  const path = join(folder, name);
  await makePackage(path, options);
  return path;
}

/** A package whose training takes long enough to be interrupted: a pause after every epoch. */
export const SLOW: PackageOptions = { config: { epoch_delay_s: 2 } };

/** A client whose job, of a package on the storage, is running: its first epoch was seen. */
export async function runningJob(
  test: TestLab,
  worker: WorkerHandle,
  options: PackageOptions = SLOW,
): Promise<LabProcess> {
  const path = await packageIn(join(test.clientMount, "alice"), options, "slow.zip");
  const args = ["train", path, "--session-string", worker.session];
  const client = await test.lab.client(clientConfig(test), args);
  await client.line(/Epoch 1\//);
  return client;
}

/** The example trainer's model below a results folder. */
export function modelIn(results: string): Promise<string> {
  return Deno.readTextFile(join(results, "minimal_instance.centroid/best_model.json"));
}

/** Names in a folder, sorted. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).toSorted();
}
