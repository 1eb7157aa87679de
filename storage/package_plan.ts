/** What a package asks for: the same rules wherever it lies, and on both sides (PROTOCOL.md section 13). */
import type { PackageType } from "../protocol/message.ts";
import {
  PackageError,
  parseTrackScript,
  parseTrainScript,
  type ScriptLine,
  trainLine,
} from "../protocol/package_script.ts";

/** The files of a package, unpacked or not. Paths are relative, with `/`; the root is empty. */
export interface PackageFiles {
  /** What is directly in a folder; nothing where there is no such folder. Links are neither file nor folder. */
  list(folder: string): Promise<{ name: string; isFile: boolean; isDirectory: boolean }[]>;
  /**
   * A script or configuration; undefined when it is not there. Throws {@link PackageError} for one of more than
   * `MAX_SCRIPT_BYTES`, `PathValidationError`, Deno's file errors.
   */
  readText(path: string): Promise<string | undefined>;
}

/** What a package asks for. */
export interface PackagePlan {
  kind: PackageType;
  /** In which the runs take place; relative to the package, empty for its root. */
  folder: string;
  /** Name, in the folder, of the script that says so; undefined where configurations alone do. */
  script: string | undefined;
  lines: readonly ScriptLine[];
}

/**
 * Finds the package's folder (the top folder named like the file, a flat package, or the only top folder) and reads
 * its script. `kind` decides when given; otherwise inference wins when both scripts exist (PROTOCOL.md section 13.1).
 * Without any script, sleap-nn configurations beside labels are trained, each in a run. Throws {@link PackageError},
 * and as {@link PackageFiles}.
 */
export async function planPackage(
  files: PackageFiles,
  stem: string,
  kind?: PackageType,
): Promise<PackagePlan> {
  const kinds: PackageType[] = kind ? [kind] : ["track", "train"];
  const folders = (await files.list("")).filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
  const candidates = folders.includes(stem) ? [stem, ""] : folders.length === 1 ? ["", folders[0]!] : [""];
  for (const folder of candidates) {
    for (const each of kinds) {
      const script = `${each}-script.sh`;
      const text = await files.readText(inFolder(folder, script));
      if (text === undefined) continue;
      const lines = each === "train" ? parseTrainScript(text) : parseTrackScript(text);
      return { kind: each, folder, script, lines };
    }
  }
  for (const folder of kind === "track" ? [] : candidates) {
    const lines = await configuredRuns(files, folder);
    if (lines.length > 0) return { kind: "train", folder, script: undefined, lines };
  }
  const wanted = kinds.map((each) => `${each}-script.sh`).toReversed().join(" or ");
  throw new PackageError(`No ${wanted} found in the package`);
}

/** The path of something in a folder of a package. */
export function inFolder(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}

/** Keys at the beginning of a line that tell a training configuration from other YAML files. */
const CONFIG_KEYS: readonly RegExp[] = ["data_config", "model_config", "trainer_config"].map((key) =>
  new RegExp(`^["']?${key}["']?\\s*:`, "m")
);

/** A run for each sleap-nn configuration directly in a folder that holds labels, by name; none without labels. */
async function configuredRuns(files: PackageFiles, folder: string): Promise<ScriptLine[]> {
  const names = (await files.list(folder)).filter(({ isFile }) => isFile).map(({ name }) => name).sort();
  if (!names.some((name) => /\.slp$/i.test(name))) return [];
  const lines: ScriptLine[] = [];
  for (const name of names.filter((name) => /\.ya?ml$/i.test(name))) {
    const text = await files.readText(inFolder(folder, name));
    if (text !== undefined && CONFIG_KEYS.every((key) => key.test(text))) {
      lines.push(trainLine(name, "the package"));
    }
  }
  return lines;
}
