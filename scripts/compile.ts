/**
 * Builds the three binaries into `dist/`, for this machine or another: `deno task compile [--target TRIPLE]`.
 * All arguments go on to `deno compile`.
 */
import { fileURLToPath } from "node:url";
import { PROGRAMS } from "./programs.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

for (const { name, entry, permissions, include } of PROGRAMS) {
  const included = include.flatMap((path) => ["--include", path]);
  const args = [
    "compile",
    "--quiet",
    ...permissions,
    ...included,
    ...Deno.args,
    "--output",
    `dist/${name}`,
    entry,
  ];
  const { code } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).spawn().status;
  if (code !== 0) {
    console.error(`error: ${name} could not be compiled`);
    Deno.exit(code);
  }
  console.log(`dist/${name}`);
}
