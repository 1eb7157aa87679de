/** What a training package asks for. */
import { join } from "node:path";
import type { PackageType } from "../protocol/message.ts";
import { FileReader } from "../storage/archive.ts";
import { openInside, PathValidationError } from "../storage/containment.ts";
import {
  MAX_SCRIPT_BYTES,
  PackageError,
  parseTrackScript,
  parseTrainScript,
  type ScriptLine,
  trainLine,
} from "./script.ts";

/** What a package asks for. */
export interface PackagePlan {
  kind: PackageType;
  /** Absolute folder in which the runs take place. */
  folder: string;
  lines: readonly ScriptLine[];
}

/**
 * Finds the package's folder (the top folder named like the file, a flat package, or the only top folder) and reads
 * its script. `kind` decides when given; otherwise inference wins when both scripts exist (PROTOCOL.md section 13.1).
 * Without any script, sleap-nn configurations beside labels are trained, each in a run. Throws {@link PackageError}.
 */
export async function readPlan(root: string, stem: string, kind?: PackageType): Promise<PackagePlan> {
  const kinds: PackageType[] = kind ? [kind] : ["track", "train"];
  const folders = await topFolders(root);
  const candidates = folders.includes(stem) ? [stem, ""] : folders.length === 1 ? ["", folders[0]!] : [""];
  for (const candidate of candidates) {
    for (const each of kinds) {
      const script = await readText(
        root,
        candidate === "" ? `${each}-script.sh` : `${candidate}/${each}-script.sh`,
      );
      if (script === undefined) continue;
      const lines = each === "train" ? parseTrainScript(script) : parseTrackScript(script);
      return { kind: each, folder: candidate === "" ? root : join(root, candidate), lines };
    }
  }
  for (const candidate of kind === "track" ? [] : candidates) {
    const lines = await configuredRuns(root, candidate);
    if (lines.length > 0) return { kind: "train", folder: join(root, candidate), lines };
  }
  const wanted = kinds.map((each) => `${each}-script.sh`).toReversed().join(" or ");
  throw new PackageError(`No ${wanted} found in the package`);
}

async function topFolders(root: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(root)) if (entry.isDirectory) names.push(entry.name);
  return names;
}

/** Keys at the beginning of a line that tell a training configuration from other YAML files. */
const CONFIG_KEYS: readonly RegExp[] = ["data_config", "model_config", "trainer_config"].map((key) =>
  new RegExp(`^["']?${key}["']?\\s*:`, "m")
);

/** A run for each sleap-nn configuration directly in a folder that holds labels, by name; none without labels. */
async function configuredRuns(root: string, folder: string): Promise<ScriptLine[]> {
  const entries = await Array.fromAsync(Deno.readDir(join(root, folder)));
  const names = entries.filter(({ isFile }) => isFile).map(({ name }) => name).sort();
  if (!names.some((name) => /\.slp$/i.test(name))) return [];
  const lines: ScriptLine[] = [];
  for (const name of names.filter((name) => /\.ya?ml$/i.test(name))) {
    const text = await readText(root, join(folder, name));
    if (text !== undefined && CONFIG_KEYS.every((key) => key.test(text))) {
      lines.push(trainLine(name, "the package"));
    }
  }
  return lines;
}

async function readText(root: string, relative: string): Promise<string | undefined> {
  try {
    const { file, info } = await openInside(root, relative);
    using script = file;
    if (info.size > MAX_SCRIPT_BYTES) {
      throw new PackageError(`${relative} has ${info.size} bytes; that is no script or configuration`);
    }
    return new TextDecoder().decode(await new FileReader(script, info.size).readUint8Array(0, info.size));
  } catch (error) {
    if (error instanceof PathValidationError && error.refusal === "missing") return undefined;
    throw error;
  }
}
