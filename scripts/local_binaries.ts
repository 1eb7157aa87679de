/** The binaries of this machine, for tests and benchmarks. */
import { fileURLToPath } from "node:url";
import type { Parts } from "./bundle.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The oldest Deno that is supported, which compiles them where `DENORT_BIN` names its runtime. */
export const COMPILER = "2.5.7";

/** A binary and what it is made of, in bytes; the rest is the runtime. */
export interface BuiltBinary {
  file: string;
  bytes: number;
  parts: Parts;
}

/**
 * Compiles the three programs into `folder`: by the Deno that the runtime of `DENORT_BIN` belongs to, else by this
 * one, which downloads its runtime. Throws with all output when that fails.
 */
export async function buildBinaries(folder: string): Promise<BuiltBinary[]> {
  const deno = Deno.env.has("DENORT_BIN") ? ["npx", "-y", `deno@${COMPILER}`] : [Deno.execPath()];
  const [program = "", ...before] = deno;
  const args = [...before, "run", "-A", "scripts/compile.ts", "--json", "--output", folder];
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd: ROOT }).output();
  const [text = "", errors = ""] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(`the binaries could not be built\n${text}\n${errors}`);
  return text.trim().split("\n").map((line): BuiltBinary => JSON.parse(line));
}
