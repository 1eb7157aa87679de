/**
 * Looks into a package before any of it is sent: seconds here instead of a failure on the worker after twenty minutes.
 * The worker trusts nothing of it and looks again.
 */
import { basename } from "node:path";
import { sizeText } from "../../config/progress.ts";
import { errorText, UserError } from "../../config/user_error.ts";
import type { PackageType } from "../../protocol/message.ts";
import { planPackage } from "../../storage/package_plan.ts";
import { NamedFiles } from "./check_files.ts";
import { checkLabels } from "./check_labels.ts";
import { checkOtherScript, checkScript } from "./check_script.ts";
import { openContents, type PackageContents } from "./contents.ts";
import type { Finding } from "./finding.ts";
import { lookFor, type NamedOuterFile, type Questions } from "./questions.ts";

/** A package to look into. */
export interface PackageToCheck {
  /** Absolute. */
  path: string;
  isFolder: boolean;
  /** What it is for; undefined to see from its scripts. */
  kind: PackageType | undefined;
}

/** What was found, and what a worker is to be asked. */
export interface CheckedPackage {
  findings: Finding[];
  questions: Questions;
}

/** Looks into a package. Throws only the abort reason: what cannot be read is a failure among the findings. */
export async function checkContents(
  { path, isFolder, kind }: PackageToCheck,
  signal: AbortSignal,
): Promise<CheckedPackage> {
  const name = basename(path);
  const findings: Finding[] = [];
  const questions: Questions = { files: [], unpackedBytes: undefined, packedBytes: 0 };
  try {
    questions.packedBytes = isFolder ? 0 : (await Deno.stat(path)).size;
    using contents = await openContents(path, isFolder, signal);
    questions.unpackedBytes = contents.unpackedBytes;
    if (!isFolder) {
      findings.push({ level: "ok", file: name, text: `${sizeText(contents.unpackedBytes ?? 0)} unpacked` });
    }
    await lookInto(contents, name.replace(/\.zip$/i, ""), kind, { findings, questions }, signal);
  } catch (error) {
    signal.throwIfAborted();
    const hint = error instanceof UserError ? error.hint : undefined;
    const failure: Finding = { level: "failure", file: name, text: errorText(error) };
    findings.push(hint === undefined ? failure : { ...failure, hint });
  }
  return { findings, questions };
}

async function lookInto(
  contents: PackageContents,
  stem: string,
  kind: PackageType | undefined,
  { findings, questions }: CheckedPackage,
  signal: AbortSignal,
): Promise<void> {
  const plan = await planPackage(contents, stem, kind);
  const runs = await checkScript(contents, plan, findings);
  await checkOtherScript(contents, plan, findings);
  const named = new NamedFiles(contents, plan.folder, findings);
  for (const run of runs) await named.add(run);
  await named.addJobsFile();
  const outer: NamedOuterFile[] = [...named.outer];
  for (const labels of named.labels.values()) {
    const found = await checkLabels(contents, plan.folder, labels, signal);
    findings.push(...found.findings);
    outer.push(...found.outer);
  }
  questions.files = await lookFor(outer, signal);
}
