/** What is said of a labels file, and where its images are. */
import { dirname } from "node:path/posix";
import { checkRelativePath } from "../../storage/containment.ts";
import { inFolder } from "../../storage/package_plan.ts";
import type { NamedLabels } from "./check_files.ts";
import type { PackageContents } from "./contents.ts";
import type { Finding } from "./finding.ts";
import { inspectLabels } from "./labels.ts";
import type { LabelsFacts, LabelsVideo } from "./labels_facts.ts";
import { isAbsolute, type NamedOuterFile } from "./questions.ts";

const EMBED = 'export the package from SLEAP with its images ("Export Training Job Package…")';

/** Looks into one labels file. Throws `UserError`, Deno's file errors, the abort reason. */
export async function checkLabels(
  contents: PackageContents,
  folder: string,
  labels: NamedLabels,
  signal: AbortSignal,
): Promise<{ findings: Finding[]; outer: NamedOuterFile[] }> {
  const { path: file } = labels;
  const source = await contents.labels(file);
  if (!source) {
    return {
      findings: [{ level: "failure", file, text: "expected a labels file, found a folder" }],
      outer: [],
    };
  }
  const report = await inspectLabels(source, signal);
  if ("fault" in report) return { findings: [{ level: "failure", file, text: report.fault }], outer: [] };
  if ("leftOut" in report) {
    const text = `not looked into: ${report.leftOut} (${source.size} bytes)`;
    return { findings: [{ level: "ok", file, text }], outer: [] };
  }
  const { facts } = report;
  const findings = [summary(file, facts), ...checkFrames(labels, facts), ...checkNodes(labels, facts)];
  const outer: NamedOuterFile[] = [];
  for (const [index, video] of facts.videos.entries()) {
    await checkVideo(contents, folder, file, video, index, { findings, outer });
  }
  return { findings, outer };
}

function summary(file: string, { frames, userFrames, videos, videoCount }: LabelsFacts): Finding {
  const embedded = videos.filter((video) => video.embedded !== undefined).length;
  const where = embedded === videos.length ? "images inside" : `images of ${embedded} inside`;
  const counts = [
    counted(frames, "labelled frame"),
    ...(userFrames === undefined || userFrames === frames ? [] : [`${userFrames} of them by a person`]),
    `${counted(videoCount, "video")}, ${where}`,
  ];
  return { level: "ok", file, text: counts.join(", ") };
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function checkFrames(
  { path: file, isTraining }: NamedLabels,
  { frames, userFrames }: LabelsFacts,
): Finding[] {
  if (!isTraining) return [];
  if (frames === 0) return [{ level: "failure", file, text: "there is no labelled frame to train with" }];
  if (userFrames !== 0) return [];
  return [{ level: "warning", file, text: "no frame was labelled by a person, all are predictions" }];
}

function checkNodes({ path, nodes }: NamedLabels, facts: LabelsFacts): Finding[] {
  return nodes.filter(({ name }) => !facts.nodes.includes(name)).map(({ name, file, line }) => ({
    level: "warning",
    file,
    line,
    text: `the skeleton in ${path} has no node "${name}": it has ${facts.nodes.join(", ")}`,
  }));
}

async function checkVideo(
  contents: PackageContents,
  folder: string,
  labels: string,
  { embedded, files }: LabelsVideo,
  index: number,
  { findings, outer }: { findings: Finding[]; outer: NamedOuterFile[] },
): Promise<void> {
  if (embedded === 0) {
    const text = `the images of video ${index} are said to be inside, and are not`;
    findings.push({ level: "failure", file: labels, text, hint: EMBED });
  }
  for (const path of files) {
    if (isAbsolute(path)) outer.push({ path, namedIn: labels });
    else if (!await isInPackage(contents, [dirname(labels), folder], path)) {
      const text = `its video ${path} is not in the package, and its images are not inside`;
      findings.push({ level: "failure", file: labels, text, hint: EMBED });
    }
  }
}

/** Readers look beside the labels, and where they run. */
async function isInPackage(
  contents: PackageContents,
  folders: readonly string[],
  name: string,
): Promise<boolean> {
  for (const folder of folders) {
    try {
      const path = inFolder(folder === "." ? "" : folder, checkRelativePath(name).join("/"));
      if (await contents.find(path)) return true;
    } catch {
      return false;
    }
  }
  return false;
}
