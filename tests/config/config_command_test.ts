import assert from "node:assert/strict";
import { join } from "node:path";
import { addConfigCommands } from "../../client/config_command.ts";
import { createProgram, runProgram } from "../../config/program.ts";
import { FILE, type Machine, surroundings } from "./fake_surroundings.ts";

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the program on this machine. */
async function run(args: readonly string[], machine: Machine = {}): Promise<Ended> {
  let [stdout, stderr] = ["", ""];
  const program = createProgram("prog", "does things", "  prog")
    .configureOutput({ writeOut: (text) => stdout += text, writeErr: (text) => stderr += text });
  addConfigCommands(program, () => surroundings(machine));
  const { log, error } = console;
  console.log = (text: string) => stdout += `${text}\n`;
  console.error = (text: string) => stderr += `${text}\n`;
  try {
    return { code: await runProgram(program, args), stdout, stderr };
  } finally {
    Object.assign(console, { log, error });
  }
}

/** Runs `config …` in a working directory with these files. */
async function inFolder(
  files: Record<string, string>,
  env: Record<string, string>,
  body: (run: (...args: string[]) => Promise<Ended>, files: Record<string, string>) => Promise<void>,
): Promise<void> {
  const there = Object.fromEntries(Object.entries(files).map(([name, text]) => [join("/lab", name), text]));
  await body((...args) => run(["config", ...args], { files: there, env, folders: ["/lab"] }), there);
}

const LAB = '[storage.vast]\nbase_path = "/mnt/vast"\n';

Deno.test("check FILE says that there are no mistakes, in one line", async () => {
  await inFolder({ "lab.toml": LAB }, {}, async (run) => {
    assert.deepEqual(await run("check", "lab.toml"), {
      code: 0,
      stdout: "lab.toml: no mistakes\n",
      stderr: "",
    });
  });
});

Deno.test("check FILE tells all mistakes and ends with 2", async () => {
  const toml = "[storage.vast]\nbase_pth = '/a'\n[client]\noutput_dir = '$NO_SUCH_VARIABLE'\n";
  await inFolder({ "lab.toml": toml }, { SLEAP_RTC_ENV: "lab" }, async (run) => {
    const { code, stdout, stderr } = await run("check", "lab.toml");
    assert.deepEqual([code, stdout], [2, ""]);
    const file = "/lab/lab.toml";
    const [, told = ""] = /^([^]*)\ncode: CONFIG_INVALID\n$/.exec(stderr) ?? [];
    assert.deepEqual(told.split("\n").map((line) => line.split(": ").slice(0, -1).join(": ")), [
      `error: ${file}`,
      `${file}:1:1: storage.vast.base_path`,
      `${file}:2:1: storage.vast.base_pth`,
      `${file}:4:1: client.output_dir`,
    ]);
  });
});

Deno.test("check of a file that is not there ends with 2", async () => {
  await inFolder({}, {}, async (run) => {
    const { code, stderr } = await run("check", "gone.toml");
    assert.equal(code, 2);
    assert.match(stderr, /cannot read the configuration file .*gone\.toml/);
  });
});

Deno.test("check without a file says which file counts, or that there is none", async () => {
  await inFolder({ "sleap-rtc.toml": LAB }, {}, async (run) => {
    assert.equal((await run("check")).stdout, `${FILE}: no mistakes\n`);
  });
  await inFolder({}, { SHARED_STORAGE_ROOT: "/no/such/folder" }, async (run) => {
    const { code, stdout, stderr } = await run("check");
    assert.equal(code, 0);
    assert.match(
      stdout,
      /^no configuration file \(neither .*sleap-rtc\.toml nor .*config\.toml\): no mistakes\n$/,
    );
    assert.match(stderr, /^note: SHARED_STORAGE_ROOT is \/no\/such\/folder/);
  });
});

Deno.test("check without a file checks the variables as well", async () => {
  await inFolder({ "sleap-rtc.toml": LAB }, { SLEAP_RTC_SIGNALING_WS: "x" }, async (run) => {
    const { code, stderr } = await run("check");
    assert.equal(code, 2);
    assert.match(stderr, /^error: SLEAP_RTC_SIGNALING_WS is "x"/);
  });
});

Deno.test("show aligns keys, values and where they came from", async () => {
  await inFolder({ "sleap-rtc.toml": LAB }, {}, async (run) => {
    const { code, stdout, stderr } = await run("show", "--shared-storage-root", "/lab");
    assert.equal(code, 0);
    const lines = stdout.trimEnd().split("\n");
    const column = lines[0]?.indexOf(" = ");
    for (const line of lines) assert.equal(line.indexOf(" = "), column, line);
    assert.match(stdout, /^storage\.vast\.base_path += "\/mnt\/vast" +# file sleap-rtc\.toml:2$/m);
    assert.match(stdout, /^shared_storage_root += ".*" +# --shared-storage-root$/m);
    assert.match(stdout, /^client\.user_subdir += \(not set\) +# default$/m);
    assert.match(stderr, /^note: storage backends come from /);
  });
});

Deno.test("show --json is one object with every value", async () => {
  await inFolder({ "lab.toml": LAB }, {}, async (run) => {
    const { stdout, stderr } = await run("show", "--json", "--config", "lab.toml");
    assert.equal(stderr, "");
    assert.equal(stdout.split("\n").length, 2);
    const { event, settings, notices } = JSON.parse(stdout);
    assert.equal(event, "settings");
    assert.deepEqual(notices, []);
    const found = (key: string): unknown => settings.find((each: { key: string }) => each.key === key);
    assert.deepEqual(found("storage.vast.base_path"), {
      key: "storage.vast.base_path",
      value: "/mnt/vast",
      source: "file lab.toml:2",
    });
    assert.deepEqual(found("client.user_subdir"), {
      key: "client.user_subdir",
      value: null,
      source: "default",
    });
  });
});

Deno.test("show tells no password", async () => {
  await inFolder({}, { SLEAP_RTC_SIGNALING_WS: "wss://ada:hunter2@x.example" }, async (run) => {
    for (const args of [["show"], ["show", "--json"]]) {
      const { stdout, stderr } = await run(...args);
      assert.match(stdout, /x\.example/);
      assert.doesNotMatch(stdout + stderr, /hunter2/);
    }
  });
});

Deno.test("show and check tell no room secret", async () => {
  const toml = '[default]\nroom_secret = "tell nobody of this"\n';
  await inFolder({ "sleap-rtc.toml": toml }, {}, async (run) => {
    for (const args of [["show"], ["show", "--json"], ["check"]]) {
      const { code, stdout, stderr } = await run(...args);
      assert.equal(code, 0);
      assert.doesNotMatch(stdout + stderr, /tell nobody/);
    }
    assert.match(
      (await run("show")).stdout,
      /^default\.room_secret += "\(set\)" +# file sleap-rtc\.toml:2$/m,
    );
  });
  await inFolder({}, {}, async (run) => {
    assert.match((await run("show")).stdout, /^default\.room_secret += \(not set\) +# default$/m);
  });
});

Deno.test("what migrate prints is a file that check finds nothing wrong with", async () => {
  await inFolder({}, { SHARED_STORAGE_ROOT: "/mnt/vast/ada" }, async (run, files) => {
    for (const args of [[], ["--user-dir"], ["--name", "vast", "--user-dir"]]) {
      const { code, stdout, stderr } = await run("migrate", ...args);
      assert.equal(code, 0);
      assert.match(stderr, /^(hint: .+\n)+$/);
      assert.match(stdout, /^\[storage\.(default|vast)\]\nbase_path = "\/mnt\/vast/);
      files["/lab/new.toml"] = stdout;
      assert.equal((await run("check", "new.toml")).stdout, "new.toml: no mistakes\n");
    }
  });
});

Deno.test("migrate without a root ends with 2 and prints nothing", async () => {
  await inFolder({}, {}, async (run) => {
    const { code, stdout, stderr } = await run("migrate");
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /SHARED_STORAGE_ROOT is not set\nhint: /);
  });
});

Deno.test("each command has help with examples, and refuses what it does not know", async () => {
  for (const command of [[], ["check"], ["show"], ["migrate"]]) {
    const { code, stdout } = await run(["config", ...command, "--help"]);
    assert.equal(code, 0);
    assert.match(stdout, /\nExamples:\n {2}/);
    assert.equal((await run(["config", ...command, "--nonsense"])).code, 2);
  }
  assert.equal((await run(["config", "nonsense"])).code, 2);
});
