import assert from "node:assert/strict";
import { join } from "node:path";
import { z } from "zod";
import { addConfigCommands } from "../../client/config_command.ts";
import { ERROR_CODES } from "../../config/error_code.ts";
import { createProgram, runProgram } from "../../config/program.ts";
import {
  jobAnswerSchema,
  jobReportSchema,
  jobStateSchema,
  jobSubmitSchema,
  jobWithdrawSchema,
} from "../../protocol/queue.ts";
import { serverMessageSchema } from "../../protocol/signaling.ts";
import { surroundings } from "../config/fake_surroundings.ts";
import {
  ACTED_OUT,
  AS_THEY_ARE,
  type Block,
  blocksIn,
  blocksOf,
  type Call,
  calledBy,
  commandsOf,
  HERE,
  LEFT_OUT,
  nameOf,
  pages,
  ROOT,
} from "./blocks.ts";

/** Languages of blocks, each with a test here or in nginx_test.ts; texts without one are drawings and what programs print. */
const LANGUAGES = ["", "json", "mermaid", "nginx", "sh", "toml"];

/** What the signaling server and its peers say; an example is one of these. */
const MESSAGES = [serverMessageSchema, jobSubmitSchema, jobWithdrawSchema, jobAnswerSchema, jobReportSchema];

const placeOf = ({ page, line }: Block): string => `${page}:${line}`;

Deno.test("every block is in a language that is checked", async () => {
  const all = (await Promise.all((await pages()).map(blocksOf))).flat();
  assert.ok(all.length > 30);
  for (const block of all) assert.ok(LANGUAGES.includes(block.language), placeOf(block));
});

Deno.test("every configuration in the documentation has no mistake", async () => {
  for (const block of await blocksIn("toml")) {
    const said: string[] = [];
    const { log, error } = console;
    Object.assign(console, { log: () => {}, error: (text: string) => said.push(text) });
    try {
      const program = createProgram("sleap-rtc-client", "", "");
      const env = { HOME: "/home/ada", SCRATCH: "/scratch", USER: "ada" };
      addConfigCommands(
        program,
        () => surroundings({ files: { "/lab/doc.toml": block.text }, env, folders: ["/lab"] }),
      );
      assert.equal(
        await runProgram(program, ["config", "check", "doc.toml"]),
        0,
        `${placeOf(block)}\n${said}`,
      );
    } finally {
      Object.assign(console, { log, error });
    }
  }
});

Deno.test("every command in the documentation is one of the shell's", async () => {
  for (const block of await blocksIn("sh")) {
    const shell = new Deno.Command("bash", { args: ["-n"], stdin: "piped", stdout: "piped", stderr: "piped" })
      .spawn();
    const writer = shell.stdin.getWriter();
    await writer.write(new TextEncoder().encode(block.text));
    await writer.close();
    const { success, stderr } = await shell.output();
    assert.ok(success, `${placeOf(block)}: ${new TextDecoder().decode(stderr)}`);
  }
});

Deno.test("every command in the documentation is there, and its flags are", async () => {
  const { tasks } = z.object({ tasks: z.record(z.string(), z.unknown()) })
    .parse(JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json"))));
  const benchmarks = new Set([...Deno.readDirSync(join(ROOT, "scripts/bench"))].map(({ name }) => name));
  const calls: { call: Call; place: string }[] = [];
  for (const block of await blocksIn("sh")) {
    for (const words of commandsOf(block.text)) {
      const called = calledBy(words);
      const place = `${placeOf(block)}: ${words.join(" ")}`;
      if ("program" in called) calls.push({ call: called, place });
      else if ("other" in called) {
        assert.ok(AS_THEY_ARE.includes(called.other) || Object.hasOwn(LEFT_OUT, called.other), place);
      } else {
        assert.ok(Object.hasOwn(tasks, called.task), place);
        if (called.task === "bench") assert.ok(benchmarks.has(`${called.args[0]}.ts`), place);
      }
    }
  }
  assert.ok(calls.length > 30);
  const mistakes = await dryParse(calls.map(({ call }) => call));
  const wrong = calls.flatMap(({ place }, index) =>
    mistakes[index] === null ? [] : [`${place}\n  ${mistakes[index]}`]
  );
  assert.deepEqual(wrong, []);
});

Deno.test("what is said of commands that no test runs is said of commands that there are", async () => {
  const [called, chapters] = [new Set<string>(), new Set<string>()];
  for (const { page, chapter, text } of await blocksIn("sh")) {
    chapters.add(`${page}: ${chapter}`);
    for (const words of commandsOf(text)) called.add(nameOf(calledBy(words)));
  }
  for (const name of [...AS_THEY_ARE, ...Object.keys(LEFT_OUT)]) assert.ok(called.has(name), name);
  for (const chapter of Object.keys(ACTED_OUT)) assert.ok(chapters.has(chapter), chapter);
});

Deno.test("a command that the programs do not understand would be found", async () => {
  const mistakes = await dryParse([
    { program: "client", args: ["train", "x.zip", "--no-such-flag"] },
    { program: "client", args: ["storage", "nonsense"] },
    { program: "worker", args: ["--room-id"] },
    { program: "signaling", args: ["--http-port", "many"] },
    { program: "client", args: ["train"] },
    { program: "client", args: ["jobs", "--help"] },
  ]);
  assert.deepEqual(mistakes.map((mistake) => mistake === null), [false, false, false, false, false, true]);
});

Deno.test("a shell block is read as its commands", () => {
  assert.deepEqual(commandsOf('eval "$(sleap-rtc-client jobs --json)"\n'), [
    ["sleap-rtc-client", "jobs", "--json"],
  ]);
  const text =
    "# a comment\nA=1 deno task x -- \"a b\" \\\n  'c'  # why\nsudo -E sleap-rtc-worker --x && cat < f > g | sort\n";
  const words = [
    ["deno", "task", "x", "--", "a b", "c"],
    ["sudo", "-E", "sleap-rtc-worker", "--x"],
    ["cat"],
    ["sort"],
  ];
  assert.deepEqual(commandsOf(text), words);
  assert.deepEqual(words.map(calledBy), [
    { task: "x", args: ["a b", "c"] },
    { program: "worker", args: ["--x"] },
    { other: "cat" },
    { other: "sort" },
  ]);
  assert.deepEqual(calledBy(["npx", "-y", "deno@2.9.6", "task", "client", "--", "jobs"]), {
    program: "client",
    args: ["jobs"],
  });
});

Deno.test("every JSON in the documentation is JSON, and a message its schema's", async () => {
  const errorSchema = z.strictObject({
    event: z.literal("error"),
    code: z.string(),
    message: z.string(),
    hint: z.string().nullable(),
    exit_code: z.int(),
  }).refine(({ code, exit_code }) =>
    [...ERROR_CODES.values()].some((row) => row.code === code && row.exit === exit_code)
  );
  for (const block of await blocksIn("json")) {
    const value: unknown = JSON.parse(block.text);
    const { type, event } = z.looseObject({ type: z.unknown(), event: z.unknown() }).partial().parse(value);
    const isMessage = MESSAGES.some((schema) => schema.safeParse(value).success);
    if (type !== undefined) assert.ok(isMessage, placeOf(block));
    if (event !== undefined) assert.ok(errorSchema.safeParse(value).success, placeOf(block));
  }
});

Deno.test("the drawing of a queued job's states has those of the messages, and all its lines lead somewhere", async () => {
  const states = new Set<string>();
  for (const { text, ...block } of await blocksIn("mermaid")) {
    const [heading, ...lines] = text.trim().split("\n");
    assert.equal(heading, "stateDiagram-v2");
    for (const line of lines) {
      const [, from, to] = /^ +(\w+|\[\*\]) --> (\w+|\[\*\])(?:: .+)?$/.exec(line) ?? [];
      assert.ok(from !== undefined && to !== undefined, `${block.page}: ${line}`);
      for (const state of [from, to]) if (state !== "[*]") states.add(state);
    }
  }
  // The client is told `queued` for it.
  states.delete("offered");
  assert.deepEqual(states, new Set(jobStateSchema.shape.state.options));
});

/** What is wrong with each command line, null for nothing, as the real programs see it. */
async function dryParse(calls: readonly Call[]): Promise<(string | null)[]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(HERE, "dry_parse.ts")],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(calls)));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return z.array(z.string().nullable()).parse(JSON.parse(new TextDecoder().decode(stdout)));
}
