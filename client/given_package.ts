/** What the command line gives as a package: a ZIP, a folder, or labels with configurations. */
import { resolve } from "node:path";
import { errorText } from "../config/user_error.ts";
import type { PackageType } from "../protocol/message.ts";
import { checkLabels } from "./bare_labels.ts";
import { GivenPackageError } from "./job_error.ts";

/** The script that makes a folder a package. */
const SCRIPTS: Readonly<Record<PackageType, string>> = { train: "train-script.sh", track: "track-script.sh" };

/** Where a package lies, absolute. Throws {@link GivenPackageError} for what can be none at first sight. */
export async function locatePackage(path: string): Promise<{ path: string; isFolder: boolean }> {
  const info = await Deno.stat(path).catch((error: unknown) => {
    throw new GivenPackageError(`cannot read the package ${path}: ${errorText(error)}`, { cause: error });
  });
  if (!info.isDirectory) await checkArchive(path);
  return { path: resolve(path), isFolder: info.isDirectory };
}

/** The package's absolute path, and whether it is a folder. Throws {@link GivenPackageError} for what is no package. */
export async function checkPackage(
  path: string,
  kind: PackageType,
): Promise<{ packagePath: string; script: string | undefined }> {
  const { path: packagePath, isFolder } = await locatePackage(path);
  if (!isFolder) return { packagePath, script: undefined };
  const script = await findScript(packagePath, kind);
  if (script !== undefined) return { packagePath, script };
  throw new GivenPackageError(
    `${path} is not a package: expected ${SCRIPTS[kind]} in this folder, which is not there`,
    { hint: 'export one from SLEAP ("Export Training Job Package…"), and unpack it or give the .zip file' },
  );
}

/** The file that says what a folder's package asks for: its script, else the first configuration beside labels. */
async function findScript(folder: string, kind: PackageType): Promise<string | undefined> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  const names = entries.map(({ name }) => name).sort();
  if (names.includes(SCRIPTS[kind])) return SCRIPTS[kind];
  if (kind === "track" || !names.some((name) => /\.slp$/i.test(name))) return undefined;
  return names.find((name) => /\.ya?ml$/i.test(name));
}

/** Whether bare labels are to be trained, with configurations of their own. Throws {@link GivenPackageError}. */
export async function areLabels(
  path: string,
  kind: PackageType,
  configs: readonly string[],
): Promise<boolean> {
  const isLabels = kind === "train" && /\.slp$/i.test(path);
  if (!isLabels && configs.length > 0) {
    throw new GivenPackageError(`${path} is not a .slp file, and a package brings its own configurations`, {
      hint: `leave out ${configs.join(" ")}`,
    });
  }
  if (!isLabels) return false;
  await checkLabels(path);
  if (configs.length > 0) return true;
  throw new GivenPackageError(`${path} are labels only: expected the configurations to train as well`, {
    hint: `sleap-rtc-client train ${path} centroid.yaml centered_instance.yaml`,
  });
}

/** Throws {@link GivenPackageError} unless it is a ZIP file. */
async function checkArchive(path: string): Promise<void> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { read: true });
  } catch (error) {
    throw new GivenPackageError(`cannot read the package ${path}: ${errorText(error)}`, { cause: error });
  }
  using opened = file;
  const { size } = await opened.stat();
  const head = new Uint8Array(2);
  await opened.read(head);
  if (/\.zip$/i.test(path) && head[0] === 0x50 && head[1] === 0x4b) return;
  throw new GivenPackageError(
    `${path} is not a package: expected a .zip file or a folder, found a file of ${size} bytes that is not a ZIP`,
    { hint: 'export one from SLEAP ("Export Training Job Package…")' },
  );
}
