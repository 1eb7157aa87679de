import assert from "node:assert/strict";
import { join } from "node:path";
import { addStorageCommands, parseAge } from "../../client/storage_command.ts";
import { createProgram, runProgram } from "../../config/program.ts";
import { ConfigError } from "../../config/user_error.ts";
import { holdJobFolder, isHeld, MARKER } from "../../storage/job_marker.ts";
import { listTree, makeTree, withTempDir } from "../storage/temp.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const DAY_MS = 86_400_000;
const unix = Deno.build.os !== "windows";

interface Run {
  code: number;
  stdout: string;
  stderr: string;
  /** The lines of stdout as JSON. */
  json: Record<string, unknown>[];
}

interface Lab {
  /** True base path of the backend `vast`. */
  vast: string;
  /** Runs `storage …`. */
  storage: (...args: string[]) => Promise<Run>;
  /** Sets all times in a folder, and its own, back by so many days. */
  age: (path: string, days: number) => Promise<void>;
}

function withLab(use: (lab: Lab) => Promise<void>, extra = ""): Promise<void> {
  return withTempDir(async (dir) => {
    const [vast, file] = [join(dir, "vast"), join(dir, "lab.toml")];
    await Deno.mkdir(vast);
    await Deno.writeTextFile(
      file,
      `${extra}\n[storage.vast]\nbase_path = ${JSON.stringify(vast)}\ntype = "nfs"\n`,
    );
    const storage = (...args: string[]): Promise<Run> => run([...args, "--config", file]);
    await use({ vast, storage, age: (path, days) => setBack(join(vast, path), days) });
  });
}

async function run(args: readonly string[]): Promise<Run> {
  const program = createProgram("sleap-rtc-client", "does things", "  none");
  let [stdout, stderr] = ["", ""];
  program.configureOutput({
    writeOut: (text) => void (stdout += text),
    writeErr: (text) => void (stderr += text),
  });
  addStorageCommands(program);
  const [log, error] = [console.log, console.error];
  console.log = (text: string): void => void (stdout += `${text}\n`);
  console.error = (text: string): void => void (stderr += `${text}\n`);
  try {
    const code = await runProgram(program, ["storage", ...args]);
    const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
    return { code, stdout, stderr, json: lines.map((line) => JSON.parse(line)) };
  } finally {
    [console.log, console.error] = [log, error];
  }
}

async function setBack(path: string, days: number): Promise<void> {
  const time = new Date(Date.now() - days * DAY_MS);
  const { isDirectory } = await Deno.lstat(path);
  if (isDirectory) { for await (const { name } of Deno.readDir(path)) await setBack(join(path, name), days); }
  await Deno.utime(path, time, time);
}

for (
  const [text, hours] of [["14d", 336], ["36h", 36], ["2w", 336], ["90m", 1.5], ["1d", 24]] as const
) {
  Deno.test(`an age: ${text}`, () => assert.equal(parseAge(text), hours * 3_600_000));
}

for (const text of ["", "14", "d", "0d", "-1d", "1.5d", "14 d", "14y", "1d2h", "1e3d", "99999999d"]) {
  Deno.test(`not an age: "${text}"`, () => assert.throws(() => parseAge(text), ConfigError));
}

Deno.test("ls shows the backends, with what is missing", () =>
  withLab(async ({ storage, vast }) => {
    const { code, json } = await storage("ls", "--json");
    assert.equal(code, 0);
    assert.deepEqual(json.map(({ event, backend, there }) => [event, backend, there]), [
      ["backend", "gone", false],
      ["backend", "vast", true],
    ]);
    assert.ok(Number(json[1]?.["free"]) > 0);
    const { stdout } = await storage("ls");
    assert.match(stdout, /^backend +path +type +there +free\n-/);
    assert.match(stdout, new RegExp(`\nvast +${vast} +nfs +yes +\\d`));
    assert.match(stdout, /\ngone +\/nowhere\/at\/all +local +no\n/);
  }, '[storage.gone]\nbase_path = "/nowhere/at/all"\n'));

Deno.test("ls shows a folder of a backend, and nothing outside", () =>
  withLab(async ({ storage, vast }) => {
    await makeTree(vast, { "alice/b.zip": "12345", "alice/a/": "", "alice/up": { link: "../.." } });
    const { json } = await storage("ls", "vast/alice/", "--json");
    assert.deepEqual(json.map(({ event, name, kind, size }) => [event, name, kind, size]), [
      ["entry", "a", "folder", null],
      ["entry", "b.zip", "file", 5],
      ["entry", "up", "other", null],
    ]);
    assert.match(
      (await storage("ls", "vast/alice/b.zip")).stdout,
      /\nb\.zip +5 B +\d{4}-\d\d-\d\d \d\d:\d\d\n/,
    );
    assert.match((await storage("ls", "vast")).stdout, /\nalice\/ /);
    for (const path of ["vast/..", "vast/../vast", "vast/alice/up", "vast/nothing", "other"]) {
      const { code, stderr, stdout } = await storage("ls", path);
      assert.deepEqual([code, stdout], [1, ""], path);
      assert.match(stderr, /^error: /);
    }
  }));

Deno.test("without backends every command says so", async () => {
  await withTempDir(async (dir) => {
    const file = join(dir, "empty.toml");
    await Deno.writeTextFile(file, "");
    for (const args of [["ls"], ["du"], ["verify"], ["clean", "--older-than", "1d"]]) {
      const { code, stderr } = await run([...args, "--config", file]);
      assert.equal(code, 1);
      assert.match(stderr, /error: no storage backend is configured\nhint: /);
    }
  });
});

Deno.test("du shows what jobs have left, in jobs/ and in each user's", () =>
  withLab(async ({ storage, vast, age }) => {
    await makeTree(vast, {
      "jobs/job_1/models/best.ckpt": "12345",
      "alice/jobs/job_2/a": "1",
      "alice/jobs/mine/b": "22",
      "bob/other/job_3/a": "1",
    });
    await age("alice/jobs/job_2", 3);
    const held = await holdJobFolder(join(vast, "jobs/job_1"));
    const { json } = await storage("du", "--json");
    await held.release();
    assert.deepEqual(
      json.map(({ path, kind, files, running }) => [path, kind, files, running]),
      [
        ["jobs/job_1", "job", 2, true],
        ["alice/jobs/job_2", "job", 1, false],
        ["alice/jobs/mine", "other", 1, false],
      ],
    );
    const { stdout } = await storage("du", "vast");
    assert.match(stdout, /\nvast +alice\/jobs\/job_2 +1 +1 B +3 d\n/);
    assert.match(stdout, /\n8 B in all\n$/);
  }));

Deno.test("verify is content with a good backend and leaves nothing in it", () =>
  withLab(async ({ storage, vast, age }) => {
    await makeTree(vast, { "alice/": "", "jobs/.partial-a": "12345" });
    await age("jobs/.partial-a", 1);
    const before = await listTree(vast);
    const { code, json, stdout } = await storage("verify", "--json");
    assert.equal(code, 0, stdout);
    assert.deepEqual(json.map(({ event, check, ok }) => [event, check, ok]), [
      ["check", "there", true],
      ["check", "write and read", true],
      ["check", "free space", true],
      ["check", "leftovers", true],
    ]);
    assert.ok(Number(json[1]?.["write_ms"]) > 0);
    assert.deepEqual([json[3]?.["partial_files"], json[3]?.["partial_bytes"]], [1, 5]);
    assert.deepEqual(await listTree(vast), before);
  }, '[client]\nuser_subdir = "alice"\n'));

Deno.test("verify tells what is wrong alone when asked to be quiet, and where the settings come from when not", () =>
  withLab(async ({ storage, vast }) => {
    const well = await storage("verify", "--quiet");
    assert.deepEqual([well.code, well.stdout, well.stderr], [0, "", ""]);
    const told = await storage("verify", "--verbose");
    assert.match(told.stdout, /^ok {4}vast: there: /);
    assert.match(told.stderr, / debug: settings: .*storage\.vast\.base_path \(file .*lab\.toml:\d+\)/);
    await Deno.remove(vast);
    assert.match((await storage("verify", "--quiet")).stdout, /^FAIL {2}vast: there: .+\n$/);
  }));

Deno.test("verify ends with 1 when a backend is missing", () =>
  withLab(async ({ storage, vast }) => {
    await Deno.remove(vast);
    const { code, stdout } = await storage("verify", "vast");
    assert.equal(code, 1);
    assert.match(stdout, /^FAIL {2}vast: there: .+\n$/);
  }));

Deno.test({
  name: "verify ends with 1 when a backend cannot be written to (needs root for a read-only mount)",
  ignore: Deno.build.os !== "linux" || Deno.uid() !== 0,
  fn: () =>
    withLab(async ({ storage, vast }) => {
      const mount = ["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", vast];
      assert.ok((await new Deno.Command("mount", { args: mount }).output()).success);
      try {
        const { code, stdout } = await storage("verify", "vast");
        assert.equal(code, 1);
        assert.match(stdout, /FAIL {2}vast: write and read: /);
        assert.match(stdout, /FAIL {2}vast: free space: /);
      } finally {
        assert.ok((await new Deno.Command("umount", { args: [vast] }).output()).success);
      }
    }),
});

/** Everything that `clean` has to tell apart; all of it 20 days old but what is called young. */
async function makeJobs({ vast, age }: Lab): Promise<void> {
  await makeTree(vast, {
    "jobs/job_old/models/a": "12345",
    "jobs/job_empty/": "",
    "alice/jobs/job_old/a": "1",
    "alice/jobs/job_held/a": "1",
    "alice/jobs/job_held/.partial-x": "1",
    "alice/jobs/job_dead/a": "1",
    [`alice/jobs/job_dead/${MARKER}`]: "",
    "alice/jobs/job_young/a": "1",
    "alice/jobs/job_young/.partial-old": "1",
    "alice/jobs/mine/a": "1",
    "alice/jobs/note.txt": "1",
    "alice/jobs/.partial-old": "1",
    "alice/jobs/.partial-young": "1",
    "alice/elsewhere/job_old/a": "1",
    "a/b/jobs/job_old/a": "1",
    "job_old/a": "1",
  });
  await age(".", 20);
  await age("alice/jobs/job_young/a", 13.9);
  await age("alice/jobs/.partial-young", 13.9);
}

const GOES = [
  "alice/jobs/.partial-old",
  "alice/jobs/job_dead",
  "alice/jobs/job_old",
  "alice/jobs/job_young/.partial-old",
  "jobs/job_empty",
  "jobs/job_old",
];

Deno.test("clean removes what is old, and nothing that is in use, young, or a person's", () =>
  withLab(async (lab) => {
    await makeJobs(lab);
    const held = await holdJobFolder(join(lab.vast, "alice/jobs/job_held"));
    const before = await listTree(lab.vast);
    const { code, json } = await lab.storage("clean", "--older-than", "14d", "--json");
    assert.equal(code, 0);
    assert.deepEqual(json.map(({ path }) => path).sort(), GOES);
    assert.ok(json.every(({ event, action }) => event === "leftover" && action === "removed"));
    const expected = Object.entries(before).filter(([path]) =>
      !GOES.some((gone) => path === gone || path.startsWith(`${gone}/`))
    );
    assert.deepEqual(await listTree(lab.vast), Object.fromEntries(expected));
    await held.release();
  }));

Deno.test("a dry run says the same and removes nothing", () =>
  withLab(async (lab) => {
    await makeJobs(lab);
    const held = await holdJobFolder(join(lab.vast, "alice/jobs/job_held"));
    const before = await listTree(lab.vast);
    const { json } = await lab.storage("clean", "--older-than", "14d", "--dry-run", "--json");
    assert.deepEqual(json.map(({ path }) => path).sort(), GOES);
    assert.ok(json.every(({ action }) => action === "would go"));
    const { stdout } = await lab.storage("clean", "--older-than", "14d", "--dry-run", "vast");
    assert.match(stdout, /\n\d+ B would be freed\n$/);
    assert.deepEqual(await listTree(lab.vast), before);
    await held.release();
  }));

Deno.test({
  name: "clean follows no link out of the backend, nor into it",
  ignore: !unix,
  fn: () =>
    withLab(async ({ storage, vast }) => {
      const outside = join(vast, "../outside");
      await makeTree(outside, { "jobs/job_old/a": "1" });
      await makeTree(vast, {
        "alice/keep/job_old/a": "1",
        "alice/jobs": { link: "keep" },
        "jobs": { link: "../outside/jobs" },
        "bob": { link: "../outside" },
        "carl/jobs/job_old/out": { link: "../../../../outside/jobs/job_old" },
      });
      const old = new Date(Date.now() - 20 * DAY_MS);
      for (const path of ["carl/jobs/job_old", "alice/keep/job_old/a", "../outside/jobs/job_old/a"]) {
        await Deno.utime(join(vast, path), old, old);
      }
      await storage("clean", "--older-than", "14d");
      assert.deepEqual(await listTree(outside), { "jobs/": "", "jobs/job_old/": "", "jobs/job_old/a": "1" });
      assert.equal((await listTree(vast))["alice/keep/job_old/a"], "1");
    }),
});

Deno.test("clean wants an age that it understands", () =>
  withLab(async ({ storage }) => {
    assert.equal((await storage("clean")).code, 2);
    const { code, stderr } = await storage("clean", "--older-than", "soon");
    assert.equal(code, 2);
    assert.match(stderr, /expected an age such as 14d, 36h or 2w, found "soon"/);
    assert.match((await storage("clean", "--older-than", "1d")).stdout, /nothing is that old/);
  }));

Deno.test("a folder is held until its holder lets go, or has been silent for ten minutes", () =>
  withTempDir(async (dir) => {
    assert.equal(await isHeld(dir, Date.now()), false);
    assert.equal(await isHeld(join(dir, "gone"), Date.now()), false);
    const held = await holdJobFolder(dir);
    assert.equal(await isHeld(dir, Date.now()), true);
    assert.equal(await isHeld(dir, Date.now() + 599_000), true);
    assert.equal(await isHeld(dir, Date.now() + 601_000), false);
    await held.release();
    await held.release();
    assert.equal(await isHeld(dir, Date.now()), false);
    assert.deepEqual(await listTree(dir), {});
  }));

Deno.test("the last of two holders takes the mark away", () =>
  withTempDir(async (dir) => {
    const [first, second] = [await holdJobFolder(dir), await holdJobFolder(dir)];
    await first.release();
    assert.equal(await isHeld(dir, Date.now()), true);
    await second.release();
    assert.equal(await isHeld(dir, Date.now()), false);
  }));

Deno.test("a mark is kept young, and put back when it is gone", () =>
  withTempDir(async (dir) => {
    const marker = join(dir, MARKER);
    const held = await holdJobFolder(dir, { refreshMs: 1 });
    await setBack(marker, 1);
    const deadline = Date.now() + 5_000;
    while (!await isHeld(dir, Date.now())) assert.ok(Date.now() < deadline);
    await Deno.remove(marker);
    while (!await isHeld(dir, Date.now())) assert.ok(Date.now() < deadline);
    await held.release();
    assert.deepEqual(await listTree(dir), {});
  }));

Deno.test({
  name: "a link planted as a mark is not written through",
  ignore: !unix,
  fn: () =>
    withTempDir(async (dir) => {
      await makeTree(dir, { "victim": "kept", [`job/${MARKER}`]: { link: "../victim" } });
      const held = await holdJobFolder(join(dir, "job"));
      assert.equal(await Deno.readTextFile(join(dir, "victim")), "kept");
      await held.release();
      assert.deepEqual(await listTree(dir), { "victim": "kept", "job/": "" });
    }),
});

Deno.test("a folder whose job is over and gone can be let go of", () =>
  withTempDir(async (dir) => {
    await Deno.mkdir(join(dir, "job"));
    const held = await holdJobFolder(join(dir, "job"));
    await Deno.remove(join(dir, "job"), { recursive: true });
    await held.release();
    assert.deepEqual(await listTree(dir), {});
  }));
