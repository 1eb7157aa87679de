/** Looks at a package's script: what of it a worker would run. */
import type { PackageType } from "../../protocol/message.ts";
import { readTrackScript, readTrainScript, type ScriptLine } from "../../protocol/package_script.ts";
import { inFolder, type PackagePlan } from "../../storage/package_plan.ts";
import type { PackageContents } from "./contents.ts";
import type { Finding } from "./finding.ts";

/** Lines of a script that are told of. */
const MAX_LINES = 10;
const EXPECTED: Readonly<Record<PackageType, string>> = {
  train: "`sleap-nn train --config-name NAME`",
  track: "`sleap-nn track ARGUMENTS`",
};

/** A run, and where a person finds it. */
export interface PlannedRun {
  run: ScriptLine;
  /** The script; undefined for a configuration that runs by itself. */
  script: string | undefined;
  line: number | undefined;
}

/** The runs of a plan. What no worker would run goes to `findings`. */
export async function checkScript(
  contents: PackageContents,
  plan: PackagePlan,
  findings: Finding[],
): Promise<PlannedRun[]> {
  if (plan.script === undefined) {
    const runs = plan.lines.map((run) => ({ run, script: undefined, line: undefined }));
    findings.push({ level: "ok", file: plan.folder || "the package", text: runsText(plan.lines) });
    return runs;
  }
  const file = inFolder(plan.folder, plan.script);
  const read = plan.kind === "train" ? readTrainScript : readTrackScript;
  const rows = read(await contents.readText(file) ?? "");
  const ignored = rows.filter(({ ignored }) => ignored !== undefined);
  for (const { line, text, ignored: why } of ignored.slice(0, MAX_LINES)) {
    const shown = text.trim().slice(0, 80);
    findings.push({ level: "warning", file, line, text: `no worker runs this line (${why}): ${shown}` });
  }
  if (ignored.length > MAX_LINES) {
    const text = `${ignored.length - MAX_LINES} further lines that no worker runs`;
    findings.push({ level: "warning", file, text });
  }
  if (plan.lines.length > 0) findings.push({ level: "ok", file, text: runsText(plan.lines) });
  else {findings.push({
      level: "failure",
      file,
      text: `nothing to run: expected a line ${EXPECTED[plan.kind]}`,
    });}
  return rows.flatMap(({ line, run }) => run ? [{ run, script: file, line }] : []);
}

function runsText(lines: readonly ScriptLine[]): string {
  const names = lines.flatMap((line) => line.kind === "train" ? [line.runName] : []);
  const count = lines.length === 1 ? "1 run" : `${lines.length} runs`;
  return names.length === 0 ? count : `${count}: ${names.join(", ")}`;
}

/** Findings about a package that has scripts of both kinds: they are not told apart on shared storage. */
export async function checkOtherScript(
  contents: PackageContents,
  { kind, folder, script }: PackagePlan,
  findings: Finding[],
): Promise<void> {
  const other = inFolder(folder, "track-script.sh");
  if (kind === "track" || script === undefined || await contents.find(other) !== "file") return;
  findings.push({
    level: "warning",
    file: other,
    text: "there is a train-script.sh as well: from shared storage workers run this one",
    hint: "remove the script that is not meant",
  });
}
