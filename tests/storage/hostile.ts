/** Relative paths that no program may accept, made of building blocks. */

/** Texts that step upwards, or that some file system or decoder takes for such a step. */
const STEPS: readonly string[] = [
  "..",
  "...",
  ".. ",
  " ..",
  ". .",
  ".. .",
  "%2e%2e",
  "%2E%2e",
  ".%2e",
  "%2e.",
  "\u2025",
  "\u2024\u2024",
  "\uff0e\uff0e",
  ".\uff0e",
  "..\u200b",
  "\u202e..",
  "..\u00ad",
  "..\0",
  "..\n",
  "\ufeff..",
];

/** Where a step stands. */
const FRAMES: readonly ((step: string) => string)[] = [
  (step) => step,
  (step) => `${step}/x`,
  (step) => `a/${step}`,
  (step) => `a/${step}/${step}/b`,
  (step) => `./${step}/x`,
  (step) => `a//${step}//x`,
  (step) => `a/./${step}/`,
  (step) => `${step}/${step}/${step}/etc/passwd`,
  (step) => `x/y/z/${step}/${step}`,
];

/** Texts that are absolute somewhere. */
const ABSOLUTE: readonly string[] = [
  "/",
  "//",
  "/etc/passwd",
  "//server/share",
  "/./a",
  "/..",
  "\\",
  "\\\\server\\share",
  "\\\\?\\C:\\x",
  "\\\\.\\pipe\\x",
  "C:",
  "c:/x",
  "C:\\x",
  "z:x",
];

/** Characters that have no business in a name, with what they do. */
const CHARACTERS: readonly string[] = [
  "\0",
  "\u0001",
  "\n",
  "\r",
  "\t",
  "\u001b",
  "\u007f",
  "\u0085",
  "\u009b",
  "\u2028",
  "\u2029",
  "\u200b",
  "\u200e",
  "\u202e",
  "\u2066",
  "\u2060",
  "\ufeff",
  "\u00ad",
  "\ud800",
  "\udc00",
  "\\",
  "\uff0f",
  "\uff3c",
  "\u2100",
  "%2f",
  "%2F",
  "%5c",
  "%5C",
  "%00",
  "%2e",
];

const DEVICES: readonly string[] = [
  "con",
  "PRN",
  "Aux",
  "nul",
  "com1",
  "COM9",
  "com0",
  "lpt1",
  "LPT\u00b9",
  "conin$",
  "CONOUT$",
];

const LONG: readonly string[] = [
  "x".repeat(256),
  "é".repeat(128),
  `a/${"x".repeat(256)}/b`,
  "a/".repeat(2_048) + "b",
  "x/".repeat(100_000),
];

/** All of them; each is `outside` by its text alone. */
export const HOSTILE: readonly string[] = [
  ...new Set([
    ...STEPS.flatMap((step) => FRAMES.map((frame) => frame(step))),
    ...ABSOLUTE,
    ...CHARACTERS.flatMap((each) => [each, `a${each}b`, `${each}a`, `dir/a${each}`, `a/${each}/b`]),
    ...DEVICES.flatMap((name) => [name, `a/${name}`, `${name}/a`, `${name}.txt`, `a/${name}.tar.gz`]),
    ...CHARACTERS.flatMap((each) => STEPS.map((step) => `a${each}b/${step}/c`)),
    ...ABSOLUTE.flatMap((start) => ["a", "../a", "a/../b"].map((rest) => `${start}/${rest}`)),
    ...LONG,
  ]),
];

/** Relative paths that must work, with their components. */
export const HARMLESS: readonly [string, readonly string[]][] = [
  ["", []],
  [".", []],
  ["./", []],
  ["././.", []],
  ["a", ["a"]],
  ["a/", ["a"]],
  ["./a//b/./c/", ["a", "b", "c"]],
  ["a..b/..c/d..", ["a..b", "..c", "d.."]],
  [".hidden/...x", [".hidden", "...x"]],
  ["with blank/ leading/trailing ", ["with blank", " leading", "trailing "]],
  ["job_1a2b3c4d/models.v1", ["job_1a2b3c4d", "models.v1"]],
  ["naïve/日本/😀", ["naïve", "日本", "😀"]],
  ["e\u0301", ["e\u0301"]],
  ["~/x", ["~", "x"]],
  ["$HOME/x", ["$HOME", "x"]],
  ["100%/5%25", ["100%", "5%25"]],
  ["aa:b", ["aa:b"]],
  ["-rf/--", ["-rf", "--"]],
  ["*?<>|\"'`;&", ["*?<>|\"'`;&"]],
  ["console/communal/nully/auxiliary", ["console", "communal", "nully", "auxiliary"]],
  ["x".repeat(255), ["x".repeat(255)]],
  ["__proto__/constructor", ["__proto__", "constructor"]],
];
