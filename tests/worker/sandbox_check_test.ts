import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { fromSource, LabProcess } from "../../scripts/local_lab.ts";
import type { Attempt } from "../../worker/probe.ts";
import { bwrapRuns, SKIPPED } from "../bubblewrap.ts";
import { withTempDir } from "../examples/trainer_run.ts";

const WIDENED = fileURLToPath(new URL("./widened_engine.ts", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What the engine could do with these kinds of permissions widened. */
async function tried(...kinds: string[]): Promise<Attempt[]> {
  const process = new LabProcess([Deno.execPath(), "run", "-A", WIDENED, ...kinds]);
  assert.equal(await process.exited(), 0, process.output);
  return JSON.parse(process.stdout.at(-1) ?? "");
}

/** Runs the worker's own check in an empty folder; `toml` is its configuration. */
async function check(
  toml: (folder: string) => string,
  args: readonly string[],
  program = fromSource("worker/main.ts"),
): Promise<{ code: number; stdout: string; stderr: string; folder: string }> {
  return await withTempDir(async (made) => {
    const folder = await Deno.realPath(made);
    const config = join(folder, "lab.toml");
    await Deno.writeTextFile(config, toml(folder));
    const scratch = join(folder, "scratch");
    const command = [...program, "--check-sandbox", "--config", config, "--scratch", scratch, ...args]
      .map((word) => word.replaceAll("{folder}", folder));
    const process = new LabProcess(command, { cwd: folder });
    const code = await process.exited();
    return { code, stdout: process.stdout.join("\n"), stderr: process.stderr.join("\n"), folder };
  });
}

const twoBackends = (folder: string): string =>
  ["one", "two"].map((name) => `[storage.${name}]\nbase_path = "${folder}/${name}"\n`).join("");

Deno.test("the sandbox holds: the engine can do nothing of what it must not", async () => {
  const { code, stdout } = await check(() => "", []);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^ok {4}refused {3}read \/etc\/passwd$/m);
  for (
    const what of ["connect", "fetch", "listen", "start /bin/sh", "read an environment", "load", "signal"]
  ) {
    assert.match(stdout, new RegExp(`^ok {4}refused {3}${what}`, "m"));
  }
  assert.match(stdout, /^ok {4}possible {2}write a file in the scratch folder$/m);
  assert.match(stdout, /\nThe sandbox holds\.$/);
});

// A check that always said yes would be worth nothing.
for (
  const [kind, what] of [
    ["read", ["read /etc/passwd", "list /"]],
    ["write", ["write a file in /"]],
    ["net", [
      "connect to another host",
      "fetch from another host",
      "listen to other machines",
      "listen on a port of its choice",
    ]],
    ["run", ["start /bin/sh", "signal another process"]],
    ["env", ["read an environment variable", "read the whole environment"]],
    ["sys", ["read the host name"]],
    ["ffi", ["load another native library"]],
  ] as const
) {
  Deno.test(`an engine with all ${kind} permissions is found out, and only that`, async () => {
    const wrong = (await tried(kind)).filter(({ expected, found }) => expected !== found);
    assert.deepEqual(wrong.map((each) => each.what), what);
  });
}

Deno.test("no attempt is one that always fails: without a sandbox each is found possible", async () => {
  const found = await tried("read", "write", "net", "run", "env", "sys", "ffi");
  assert.ok(found.length > 12);
  for (const { what, found: outcome } of found) assert.equal(outcome, "possible", what);
});

Deno.test("a sandbox that does not hold ends the check with 1 and says where", async () => {
  // What the configuration opens is open: all of the disk is the storage.
  const { code, stdout } = await check(() => '[storage.all]\nbase_path = "/"\n', ["--json"]);
  assert.equal(code, 1);
  const { event, holds, attempts } = JSON.parse(stdout);
  assert.deepEqual([event, holds], ["sandbox", false]);
  const open = attempts.filter(({ expected, found }: Attempt) => expected !== found)
    .map(({ what }: Attempt) => what);
  assert.ok(open.includes("read /etc/passwd") && open.includes("write a file in /"), open.join());
  assert.ok(!open.includes("connect to another host"), open.join());
});

Deno.test("at start the worker tells in a table what the engine may do", async () => {
  const { stderr, folder } = await check(twoBackends, []);
  const [head = "", ...rows] = stderr.slice(stderr.indexOf("what the engine may do")).split("\n");
  assert.equal(head, "what the engine may do:");
  assert.deepEqual(rows.map((row) => row.slice(2, 9)), [
    "read   ",
    "write  ",
    "net    ",
    "run    ",
    "ffi    ",
    "env    ",
    "sys    ",
  ]);
  for (const row of rows.slice(0, 2)) assert.match(row, new RegExp(`${folder}/one, ${folder}/two, `));
  assert.match(rows[2]!, / {2}net {4}127\.0\.0\.1:8001, 127\.0\.0\.1:8080, 127\.0\.0\.1:0$/);
  assert.equal(rows[5], "  env    nothing");
});

Deno.test("with --json the table is one line", async () => {
  const { stderr, folder } = await check(twoBackends, ["--json"]);
  const lines = stderr.split("\n").map((line) => JSON.parse(line));
  const { data } = lines.find(({ text }) => text === "what the engine may do");
  assert.deepEqual(data.write.slice(0, 2), [`${folder}/one`, `${folder}/two`]);
  assert.deepEqual([data.env, data.sys], [[], ["statfs"]]);
});

Deno.test("a backend outside --allow-read and --allow-write is left out, and the flag that would allow it is named", async () => {
  const { stderr, folder } = await check(twoBackends, [
    "--allow-read={folder}/one,{folder}/two",
    "--allow-write={folder}/one",
  ]);
  const two = `${folder}/two`;
  assert.match(
    stderr,
    new RegExp(`backend two: .*may not use ${two}; left out, --allow-write=${two} would allow it`),
  );
  assert.match(stderr, new RegExp(`^ {2}read {3}${folder}/one, `, "m"));
  assert.doesNotMatch(stderr.slice(stderr.indexOf("what the engine")), new RegExp(two));
});

Deno.test("a worker that deno run has narrowed hands on no more than it has, and says what would allow more", async () => {
  const program = [
    Deno.execPath(),
    "run",
    "--no-prompt",
    `--allow-read=${ROOT},{folder}/one,{folder}/scratch,{folder}/lab.toml,/usr/bin/ldd,/proc/self/fd`,
    "--allow-write={folder}/one,{folder}/scratch",
    "--allow-net=127.0.0.1:8001",
    "--allow-env",
    "--allow-sys",
    "--allow-ffi",
    join(ROOT, "worker/main.ts"),
  ];
  const { code, stdout, stderr, folder } = await check(twoBackends, [], program);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /The sandbox holds/);
  const two = `${folder}/two`;
  assert.match(stderr, new RegExp(`--allow-read=${two} --allow-write=${two} would allow it`));
  assert.match(stderr, / --allow-net=127\.0\.0\.1:8080,127\.0\.0\.1:0 is missing/);
  assert.match(stderr, /^ {2}net {4}127\.0\.0\.1:8001$/m);
});

Deno.test({
  name: `with sandbox = "bwrap" the engine may start that sandbox only, and the proof holds${SKIPPED}`,
  ignore: !bwrapRuns,
  fn: async () => {
    const toml = '[worker]\nsandbox = "bwrap"\njobs.train.command = ["sh"]\n';
    const { code, stdout, stderr } = await check(() => toml, []);
    assert.equal(code, 0, stdout);
    const program = /^ {2}run {4}(\/\S*\/sleap-rtc-sandbox-[\w-]+\/job)$/m.exec(stderr)?.[1];
    assert.ok(program, stderr);
    await assert.rejects(Deno.stat(dirname(program)), Deno.errors.NotFound);
    assert.match(stdout, /^ok {4}refused {3}start \/bin\/sh$/m);
  },
});
