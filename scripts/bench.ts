/** `deno task bench NAME [--json] [--quick]`: one benchmark; the last line is one JSON object. */
import { benchCopy } from "./bench/copy.ts";
import type { BenchOptions } from "./bench/measure.ts";
import { benchProof } from "./bench/proof.ts";
import { benchResolve } from "./bench/resolve.ts";
import { benchRtc, RTC_OPTIONS } from "./bench/rtc.ts";
import { benchS3 } from "./bench/s3.ts";
import { benchSignaling } from "./bench/signaling.ts";
import { benchStart } from "./bench/start.ts";
import { benchSubmit } from "./bench/submit.ts";
import { benchUnzip } from "./bench/unzip.ts";

/** Returns figures by name; those of several things are objects. */
type Bench = (say: (text: string) => void, options: BenchOptions) => Promise<object>;

const BENCHMARKS: Readonly<Record<string, Bench>> = {
  copy: benchCopy,
  proof: benchProof,
  resolve: benchResolve,
  rtc: benchRtc,
  s3: benchS3,
  signaling: benchSignaling,
  start: benchStart,
  submit: benchSubmit,
  unzip: benchUnzip,
};
/** Options with a value, by benchmark. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = { rtc: RTC_OPTIONS };

function refuse(found: string): never {
  console.error(
    `error: unknown ${found}\nhint: deno task bench ${
      Object.keys(BENCHMARKS).join("|")
    } [--json] [--quick]; ` +
      `rtc also takes ${RTC_OPTIONS.map((option) => `--${option}`).join(", ")}, each with a value`,
  );
  Deno.exit(2);
}

const [name = "", ...flags] = Deno.args;
const bench = BENCHMARKS[name] ?? refuse(`benchmark "${name}"`);
let [json, quick] = [false, false];
const given = new Map<string, string>();
for (let at = 0; at < flags.length; at++) {
  const flag = flags[at]!;
  const value = flags[at + 1];
  if (flag === "--json") json = true;
  else if (flag === "--quick") quick = true;
  else if (OPTIONS[name]?.includes(flag.slice(2)) && value !== undefined) {
    given.set(flag.slice(2), flags[++at]!);
  } else refuse(`flag "${flag}"`);
}
const figures = await bench((text) => {
  if (!json) console.log(text);
}, { quick, given });
if (!json) {
  for (const [key, value] of Object.entries(figures)) {
    console.log(`${key}: ${typeof value === "object" ? JSON.stringify(value) : value}`);
  }
}
console.log(JSON.stringify(figures));
