/** A package made of labels and training configurations, as SLEAP exports one (PROTOCOL.md section 13). */
import { basename, dirname, join, resolve } from "node:path";
import type { Document } from "yaml";
import { errorText } from "../config/user_error.ts";
import { GivenPackageError } from "./job_error.ts";

/** First bytes of an HDF5 file: `\x89HDF\r\n\x1a\n`. */
const HDF5: readonly number[] = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];
/** What a script's line can carry, and what can name a run (PROTOCOL.md section 13.2). */
const CONFIG_NAME = /^[\p{L}\p{N}][\p{L}\p{N}_.+=@-]*\.ya?ml$/u;
const SCRIPT = "train-script.sh";
/** Keys of a configuration that may name further files, which would stay behind. */
const OTHER_FILES: readonly string[] = ["val_labels_path", "test_file_path"];

/** A package that is there for one job. */
export interface MadePackage {
  /** Absolute. */
  folder: string;
  script: string;
  /** Removes it with all that the job has left in it, when the results are home. */
  removeAll(): Promise<void>;
  /** Removes what was made. Gives the folder when something else is in it, which stays: finished runs, for one. */
  remove(): Promise<string | undefined>;
}

/**
 * Makes a package of a labels file and the configurations to train, in a new folder beside the labels, where it takes
 * no room, else in `elsewhere`, an existing folder. Throws {@link GivenPackageError} for what are no configurations of these
 * labels alone, Deno's file errors.
 */
export async function makePackage(
  labels: string,
  configs: readonly string[],
  elsewhere: string,
): Promise<MadePackage> {
  const files = new Map<string, string>();
  for (const config of configs) {
    const name = basename(config);
    if (!CONFIG_NAME.test(name)) {
      throw new GivenPackageError(
        `${config} cannot name a training run: expected letters, digits and _.+=@- and .yaml`,
      );
    }
    if (files.has(name)) throw new GivenPackageError(`two configurations are called ${name}: rename one`);
    files.set(name, await readConfig(config, basename(labels)));
  }
  const lines = [...files.keys()].map((name) => `sleap-nn train --config-dir . --config-name ${name}\n`);
  files.set(SCRIPT, `#!/bin/sh\n${lines.join("")}`);
  const folder = await makeFolder(labels, elsewhere);
  const made: MadePackage = {
    folder,
    script: SCRIPT,
    removeAll: () => Deno.remove(folder, { recursive: true }),
    remove: () => remove(folder, [...files.keys(), basename(labels)]),
  };
  try {
    for (const [name, text] of files) await Deno.writeTextFile(join(folder, name), text, { createNew: true });
    await link(await Deno.realPath(labels), join(folder, basename(labels)));
    return made;
  } catch (error) {
    await made.remove();
    throw error;
  }
}

/** Throws {@link GivenPackageError} unless a file is labels. */
export async function checkLabels(path: string): Promise<void> {
  const head = new Uint8Array(HDF5.length);
  try {
    using file = await Deno.open(path, { read: true });
    await file.read(head);
  } catch (error) {
    throw new GivenPackageError(`cannot read the labels ${path}: ${errorText(error)}`, { cause: error });
  }
  if (/\.slp$/i.test(path) && HDF5.every((byte, at) => head[at] === byte)) return;
  throw new GivenPackageError(
    `${path} is no labels file: expected a .slp file, which begins as HDF5 files do`,
  );
}

/** A configuration's text, with these labels instead of its own. */
async function readConfig(path: string, labels: string): Promise<string> {
  const text = await Deno.readTextFile(path).catch((error: unknown) => {
    throw new GivenPackageError(`cannot read the configuration ${path}: ${errorText(error)}`, {
      cause: error,
    });
  });
  // No other command needs it.
  const { parseDocument } = await import("./yaml.ts");
  const config = parseDocument(text);
  const [fault] = config.errors;
  if (fault) throw new GivenPackageError(`${path} is not YAML: ${fault.message}`);
  await checkConfig(path, config);
  config.setIn(["data_config", "train_labels_path"], [labels]);
  return String(config);
}

async function checkConfig(path: string, config: Document.Parsed): Promise<void> {
  const { isMap } = await import("./yaml.ts");
  for (const key of ["data_config", "model_config", "trainer_config"]) {
    if (isMap(config.contents) && isMap(config.get(key))) continue;
    throw new GivenPackageError(`${path} is no training configuration of sleap-nn: it has no ${key}`);
  }
  for (const key of OTHER_FILES) {
    const named: unknown = config.toJS().data_config[key];
    if (named === undefined || named === null || (Array.isArray(named) && named.length === 0)) continue;
    throw new GivenPackageError(
      `${path}: data_config.${key} names ${JSON.stringify(named)}, which would not travel`,
      {
        hint: "leave it out, or export a package from SLEAP",
      },
    );
  }
}

/** Beside the labels a link to them is possible, and a worker that sees them sees it. */
async function makeFolder(labels: string, elsewhere: string): Promise<string> {
  const beside = dirname(resolve(labels));
  const name = `.sleap-rtc-package-${crypto.randomUUID().slice(0, 8)}`;
  const make = async (parent: string): Promise<string> => {
    // Not a temporary folder, which only its owner may read: the worker may be another user.
    await Deno.mkdir(join(parent, name));
    return join(parent, name);
  };
  return await make(beside).catch((error: unknown) => {
    if (resolve(elsewhere) === beside) throw error;
    return make(elsewhere);
  });
}

async function link(source: string, target: string): Promise<void> {
  try {
    await Deno.link(source, target);
  } catch {
    // Another file system, or one without links.
    await Deno.copyFile(source, target);
  }
}

async function remove(folder: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) await Deno.remove(join(folder, name)).catch(() => {});
  // Where the package lies on common storage the runs write their results into it.
  return await Deno.remove(folder).then(() => undefined, () => folder);
}
