/** Makes one binary: the bundle of a program, its platform's native library, and Deno's runtime. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import manifest from "../deno.json" with { type: "json" };
import { ADDON_FILE } from "../rtc/addon.ts";
import { bundle, bundleName, type Parts } from "./bundle.ts";
import type { Program } from "./programs.ts";
import { findTarget, type Target } from "./targets.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** A binary, and the bytes of all that was put into it but the runtime. */
export interface Binary {
  /** Absolute. */
  file: string;
  parts: Parts;
}

/** Compiles a program for a target, or for this machine, into `file`. Throws an error with what Deno said. */
export async function compileProgram(
  program: Program,
  target: Target | undefined,
  file: string,
): Promise<Binary> {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "sleap-rtc-compile-" }));
  try {
    const entries = [program.entry, ...program.workers];
    const { parts } = await bundle(entries, folder, await commit());
    // Beside the bundle, so that the project's own settings and packages stay out.
    await Deno.writeTextFile(join(folder, "deno.json"), JSON.stringify({ unstable: manifest.unstable }));
    const included = program.workers.map(bundleName);
    if (program.hasAddon) {
      const addon = await fetchAddon(target ?? findTarget(Deno.build.target), folder);
      parts["native addon"] = (await Deno.stat(addon)).size;
      included.push(ADDON_FILE);
    }
    await deno([
      "compile",
      "--quiet",
      "--no-check",
      "--no-remote",
      "--no-npm",
      "--no-prompt",
      // It would lie in the shared temporary folder under a name that others can guess; and it gains nothing here.
      "--no-code-cache",
      ...program.v8Flags,
      ...program.permissions,
      ...included.flatMap((name) => ["--include", name]),
      ...(target ? ["--target", target.triple] : []),
      "--output",
      file,
      bundleName(program.entry),
    ], folder);
    return { file, parts };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The commit that is checked out, marked when files differ from it; `unknown` outside of a git clone. */
async function commit(): Promise<string> {
  const args = ["describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"];
  try {
    const { success, stdout } = await new Deno.Command("git", { args, cwd: ROOT, stderr: "null" }).output();
    return success ? new TextDecoder().decode(stdout).trim() : "unknown";
  } catch {
    return "unknown";
  }
}

/**
 * Puts a platform's native library into `folder`, and returns its path. Throws unless the registry's package is the
 * one that the lock file names.
 */
export async function fetchAddon({ addonPackage }: Target, folder: string): Promise<string> {
  const locked = await packagesOf(join(ROOT, "deno.lock"));
  const wanted = Object.keys(locked).find((key) => key.startsWith(`${addonPackage}@`));
  if (wanted === undefined) throw new Error(`deno.lock names no ${addonPackage}`);
  const install = join(folder, "addon");
  await Deno.mkdir(install);
  const settings = { nodeModulesDir: "auto", imports: { addon: `npm:${wanted}` } };
  await Deno.writeTextFile(join(install, "deno.json"), JSON.stringify(settings));
  await deno(["install", "--quiet"], install);
  const got = await packagesOf(join(install, "deno.lock"));
  if (got[wanted]?.integrity !== locked[wanted]?.integrity) {
    throw new Error(`${wanted}: the registry's package is not the one that deno.lock names`);
  }
  const path = join(folder, ADDON_FILE);
  await Deno.copyFile(join(install, "node_modules", addonPackage, ADDON_FILE), path);
  await Deno.remove(install, { recursive: true });
  return path;
}

/** The npm packages that a lock file names, by `NAME@VERSION`. */
async function packagesOf(lockFile: string): Promise<Record<string, { integrity: string }>> {
  const { npm }: { npm: Record<string, { integrity: string }> } = JSON.parse(
    await Deno.readTextFile(lockFile),
  );
  return npm;
}

async function deno(args: readonly string[], cwd: string): Promise<void> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args: [...args], cwd }).output();
  if (code !== 0) throw new Error(`deno ${args[0]} failed\n${new TextDecoder().decode(stderr).trim()}`);
}
