/** What an unpacked package asks for. */
import { join } from "node:path";
import type { PackageType } from "../protocol/message.ts";
import type { ScriptLine } from "../protocol/package_script.ts";
import { FolderFiles } from "../storage/package_folder.ts";
import { planPackage } from "../storage/package_plan.ts";

/** What a package asks for. */
export interface PackagePlan {
  kind: PackageType;
  /** Absolute folder in which the runs take place. */
  folder: string;
  lines: readonly ScriptLine[];
}

/** What the package below `root` asks for. Throws as {@link planPackage}. */
export async function readPlan(root: string, stem: string, kind?: PackageType): Promise<PackagePlan> {
  const plan = await planPackage(new FolderFiles(root), stem, kind);
  return { kind: plan.kind, folder: join(root, plan.folder), lines: plan.lines };
}
