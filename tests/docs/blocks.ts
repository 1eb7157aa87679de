/** The fenced blocks of the documentation, and the commands in them. */
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's folder. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Programs of others whose calls in the documentation run as they are. */
export const AS_THEY_ARE: readonly string[] = ["export", "curl", "deno", "git", "install", "openssl"];

/** What the documentation calls and no test runs from there, and why; a task by its whole call. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  gh: "needs an account and a repository of it",
  sbatch: "needs a cluster; tests/e2e/storage_guide_test.ts runs the script",
  turnserver: "has fixed ports; tests/e2e/turn_test.ts runs one with the same flags",
  "task check": "a step of .ci/run",
  "task demo": "a step of .ci/run",
  "task test": "is what runs this",
  "task compile": "tests/e2e/binaries_test.ts builds all three, and tries them",
  "task compile --target linux-x64": "downloads a runtime; the release workflow builds for each platform",
  "task compile --target all": "downloads five runtimes; a step of the release workflow",
  ...(Deno.env.has("DENORT_BIN") ? {} : {
    "task bench start --json": "downloads a runtime; with one in DENORT_BIN it is run",
    "task bench submit --json": "downloads a runtime; with one in DENORT_BIN it is run",
  }),
};

/** Chapters whose blocks a test of their own acts out, together. */
export const ACTED_OUT: Readonly<Record<string, string>> = {
  "docs/storage.md: Three set-ups": "tests/e2e/storage_guide_test.ts",
};

/** A fenced block. */
export interface Block {
  /** Of the page, from the project's folder. */
  page: string;
  /** Of its first line. */
  line: number;
  /** The chapter that it is in, without `## `; empty before the first. */
  chapter: string;
  /** Behind the fence; empty for none. */
  language: string;
  text: string;
}

/** Every page that people read. */
export async function pages(): Promise<string[]> {
  const found = ["README.md", "CHANGELOG.md"];
  for (const folder of ["docs", "docs/decisions", "examples"]) {
    for await (const { name } of Deno.readDir(join(ROOT, folder))) {
      if (name.endsWith(".md")) found.push(join(folder, name));
    }
  }
  return found.toSorted();
}

/** The blocks of a page in their order. Throws for one that does not end. */
export async function blocksOf(page: string): Promise<Block[]> {
  const lines = (await Deno.readTextFile(join(ROOT, page))).split("\n");
  const blocks: Block[] = [];
  let chapter = "";
  for (let at = 0; at < lines.length; at++) {
    chapter = /^## (.+)$/.exec(lines[at]!)?.[1] ?? chapter;
    const [, indent, language] = /^( *)```(\w*)$/.exec(lines[at]!) ?? [];
    if (indent === undefined || language === undefined) continue;
    const end = lines.findIndex((line, index) => index > at && line === `${indent}\`\`\``);
    if (end < 0) throw new Error(`${page}:${at + 1}: the block does not end`);
    const text = lines.slice(at + 1, end).map((line) => line.slice(indent.length)).join("\n") + "\n";
    blocks.push({ page, line: at + 2, chapter, language, text });
    at = end;
  }
  return blocks;
}

/** All blocks in one language. */
export async function blocksIn(language: string): Promise<Block[]> {
  const all = await Promise.all((await pages()).map(blocksOf));
  return all.flat().filter((block) => block.language === language);
}

/** A command line as words: quotes taken off, `NAME=VALUE` before the program and redirections left out. */
export type Words = readonly string[];

/** The commands of a shell block: one for each line, those of a pipe or behind `&&` on their own. */
export function commandsOf(text: string): Words[] {
  const commands: Words[] = [];
  // What `eval` runs is told by the command inside.
  const lines = text.replaceAll("\\\n", " ").replaceAll(/^eval "\$\((.*)\)"$/gm, "$1");
  for (const line of lines.split("\n")) {
    let words: string[] = [];
    const close = (): void => {
      const program = words.findIndex((word) => !/^\w+=/.test(word));
      if (program >= 0) commands.push(words.slice(program));
      words = [];
    };
    for (const [token] of line.matchAll(/#.*$|&&|[|&;]|\d*[<>]+ *\S+|(?:"[^"]*"|'[^']*'|[^\s"'|&;<>])+/g)) {
      // Not a comment where it stands in a word.
      if (token.startsWith("#")) break;
      if (/^(&&|[|&;])$/.test(token)) close();
      else if (!/^\d*[<>]/.test(token)) words.push(token.replace(/"([^"]*)"|'([^']*)'/g, "$1$2"));
    }
    close();
  }
  return commands;
}

/** One of the three programs with its arguments. */
export interface Call {
  /** `client`, `worker` or `signaling`. */
  program: string;
  args: Words;
}

/** What a command calls: one of our programs, another task of this project, or a program of somebody else. */
export type Called = Call | { task: string; args: Words } | { other: string };

/** How a command is meant. */
export function calledBy(words: Words): Called {
  const [program = "", ...rest] = words;
  const [, own] = /^sleap-rtc-(client|worker|signaling)$/.exec(basename(program)) ?? [];
  if (own !== undefined) return { program: own, args: rest };
  if (program === "sudo") {
    return calledBy(rest.slice(rest.findIndex((word) => !word.startsWith("-"))));
  }
  const isDeno = program === "deno" ||
    (program === "npx" && rest[0] === "-y" && /^deno@/.test(rest[1] ?? ""));
  const task = program === "npx" ? rest.slice(2) : rest;
  if (!isDeno || task[0] !== "task" || task[1] === undefined) return { other: program };
  const args = task.slice(task[2] === "--" ? 3 : 2);
  return /^(client|worker|signaling)$/.test(task[1]) ? { program: task[1], args } : { task: task[1], args };
}

/** As {@link LEFT_OUT} names it. */
export function nameOf(called: Called): string {
  if ("program" in called) return `sleap-rtc-${called.program}`;
  return "other" in called ? called.other : ["task", called.task, ...called.args].join(" ");
}

/** The folder of this file, for the child process that parses command lines. */
export const HERE = dirname(fileURLToPath(import.meta.url));
