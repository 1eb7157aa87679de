/** Real binaries for tests: compiled by the oldest Deno that is supported, installed where nobody may write. */
import { join } from "node:path";
import { buildBinaries, COMPILER } from "../../scripts/local_binaries.ts";

/** Why there are no binaries to test; undefined where there can be. */
export const missing: string | undefined = Deno.env.has("DENORT_BIN")
  ? undefined
  : `DENORT_BIN names no runtime of Deno ${COMPILER}`;

/** User and group `nobody`. */
const NOBODY = 65_534;

/** Put in front of a command: runs it as `nobody` where this user may do that, else as this user. */
export const AS_NOBODY: readonly string[] = Deno.build.os === "linux" && Deno.uid() === 0
  ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"]
  : [];

/** Gives a folder to the user that {@link AS_NOBODY} makes of a process. */
export async function giveAway(folder: string): Promise<void> {
  if (AS_NOBODY.length > 0) await Deno.chown(folder, NOBODY, NOBODY);
}

/** Compiles the three programs into a folder below `folder` that nobody may write to; returns it. Throws with Deno's output. */
export async function installBinaries(folder: string): Promise<string> {
  const output = join(folder, "bin");
  await buildBinaries(output);
  await Deno.chmod(folder, 0o755);
  await Deno.chmod(output, 0o555);
  return output;
}

/** Lets a read-only folder be removed. */
export async function uninstall(folder: string): Promise<void> {
  await Deno.chmod(folder, 0o755);
  await Deno.remove(folder, { recursive: true });
}
