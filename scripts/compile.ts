/**
 * Builds the three binaries, with their checksums, into `dist/`: for this machine, or for others.
 *
 *     deno task compile [--target PLATFORM|all]... [--output FOLDER] [--json]
 *
 * With `--json` each binary is one line: `{"file", "bytes", "parts": {ORIGIN: bytes}}`.
 */
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compileProgram } from "./binary.ts";
import { stopBundler } from "./bundle.ts";
import { PROGRAMS } from "./programs.ts";
import { findTarget, type Target, TARGETS } from "./targets.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

function parse(args: readonly string[]): { targets: (Target | undefined)[]; output: string; json: boolean } {
  const { values } = parseArgs({
    args: args[0] === "--" ? args.slice(1) : [...args],
    options: {
      target: { type: "string", multiple: true },
      output: { type: "string", default: join(ROOT, "dist") },
      json: { type: "boolean", default: false },
    },
  });
  const targets = values.target?.flatMap((name) => name === "all" ? TARGETS : [findTarget(name)]);
  return { targets: targets ?? [undefined], output: resolve(values.output), json: values.json };
}

/** `SHA256SUMS`, as `sha256sum --check` reads it. */
async function writeChecksums(folder: string, files: readonly string[]): Promise<void> {
  const lines = await Array.fromAsync(files, async (name) => {
    const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(join(folder, name)));
    return `${new Uint8Array(digest).toHex()}  ${name}\n`;
  });
  await Deno.writeTextFile(join(folder, "SHA256SUMS"), lines.join(""));
}

async function main(): Promise<void> {
  const { targets, output, json } = parse(Deno.args);
  if (targets.length > 1 && Deno.env.has("DENORT_BIN")) {
    throw new Error("DENORT_BIN names the runtime of one platform: unset it, or give one --target");
  }
  await Deno.mkdir(output, { recursive: true });
  const files: string[] = [];
  for (const target of targets) {
    for (const program of PROGRAMS) {
      // Those for this machine bear the plain name.
      const name = target ? `${program.name}-${target.platform}${target.suffix}` : program.name;
      const { file, parts } = await compileProgram(program, target, join(output, name));
      files.push(name);
      const { size: bytes } = await Deno.stat(file);
      console.log(json ? JSON.stringify({ file, bytes, parts }) : file);
    }
  }
  await writeChecksums(output, files);
}

try {
  await main();
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
} finally {
  await stopBundler();
}
