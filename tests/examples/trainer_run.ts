/** Helpers of the example tests: unpacked packages in temporary folders, and runs of the trainer in them. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Uint8ArrayReader, Uint8ArrayWriter, ZipReader } from "@zip-js/zip-js";
import { makePackage, type PackageOptions } from "../../examples/make_package.ts";

/** How a run ended, and what it printed. */
export interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

const TRAINER = fileURLToPath(new URL("../../examples/trainer/main.ts", import.meta.url));

/** Name of the configuration in the package. */
export const CONFIG = "minimal_instance.centroid.yaml";
/** Name of the labels file in the package. */
export const LABELS = "minimal_instance.pkg.slp";
/** Path of the model in the package folder, for the run name `fly`. */
export const MODEL = "models/fly/best_model.json";

/** Calls `use` with a temporary folder, which is gone afterwards. */
export async function withTempDir<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await Deno.makeTempDir();
  try {
    return await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** The files of a ZIP by name, directories left out. */
export async function readZip(path: string): Promise<Map<string, Uint8Array>> {
  const zip = new ZipReader(new Uint8ArrayReader(await Deno.readFile(path)), { useWebWorkers: false });
  const files = new Map<string, Uint8Array>();
  for (const entry of await zip.getEntries()) {
    if (!entry.directory) files.set(entry.filename, await entry.getData(new Uint8ArrayWriter()));
  }
  await zip.close();
  return files;
}

/** Calls `use` with the folder of an unpacked package. */
export function withPackage<T>(
  use: (folder: string) => Promise<T>,
  options: PackageOptions = {},
): Promise<T> {
  return withTempDir(async (dir) => {
    await makePackage(join(dir, "job.zip"), options);
    for (const [name, bytes] of await readZip(join(dir, "job.zip"))) {
      await Deno.mkdir(dirname(join(dir, name)), { recursive: true });
      await Deno.writeFile(join(dir, name), bytes);
    }
    return await use(join(dir, "job"));
  });
}

/** Runs the trainer in `folder` with no more permissions than it is documented to need. */
export async function runTrainer(folder: string, args: string[]): Promise<Run> {
  const permissions = ["--no-prompt", "--allow-read", "--allow-write=."];
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...permissions, TRAINER, ...args],
    cwd: folder,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code: output.code, stdout: decoder.decode(output.stdout), stderr: decoder.decode(output.stderr) };
}

/** Runs the trainer as a worker does, with further overrides. */
export function train(folder: string, ...overrides: string[]): Promise<Run> {
  return runTrainer(folder, [
    "train",
    ...["--config-name", CONFIG, "--config-dir", "."],
    "trainer_config.ckpt_dir=models",
    "trainer_config.run_name=fly",
    "trainer_config.zmq.controller_port=9000",
    "trainer_config.zmq.publish_port=9001",
    "trainer_config.train_data_loader.num_workers=0",
    "trainer_config.val_data_loader.num_workers=0",
    ...overrides,
  ]);
}

/** Replaces a float64 that occurs exactly once in the labels file. */
export async function replaceInLabels(folder: string, from: number, to: number): Promise<void> {
  const path = join(folder, LABELS);
  const bytes = await Deno.readFile(path);
  const view = new DataView(bytes.buffer);
  const places = Array.from({ length: bytes.length - 7 }, (_, i) => i).filter((i) =>
    view.getFloat64(i, true) === from
  );
  if (places.length !== 1) throw new Error(`${from} occurs ${places.length} times in ${path}`);
  view.setFloat64(places[0] ?? 0, to, true);
  await Deno.writeFile(path, bytes);
}
