/** `deno task bench NAME [--json]`: one benchmark; the last line is one JSON object. */
import { benchCopy } from "./bench/copy.ts";
import { benchProof } from "./bench/proof.ts";
import { benchResolve } from "./bench/resolve.ts";
import type { Figures } from "./bench/measure.ts";
import { benchS3 } from "./bench/s3.ts";

const BENCHMARKS: Readonly<Record<string, (say: (text: string) => void) => Promise<Figures>>> = {
  copy: benchCopy,
  proof: benchProof,
  resolve: benchResolve,
  s3: benchS3,
};

const [name = "", ...flags] = Deno.args;
const bench = BENCHMARKS[name];
const unknown = flags.filter((flag) => flag !== "--json");
if (!bench || unknown.length > 0) {
  const found = bench ? `flag "${unknown[0]}"` : `benchmark "${name}"`;
  console.error(
    `error: unknown ${found}\nhint: deno task bench ${Object.keys(BENCHMARKS).join("|")} [--json]`,
  );
  Deno.exit(2);
}
const json = flags.includes("--json");
const figures = await bench((text) => {
  if (!json) console.log(text);
});
if (!json) { for (const [key, value] of Object.entries(figures)) console.log(`${key}: ${value}`); }
console.log(JSON.stringify(figures));
