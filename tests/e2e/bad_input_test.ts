import assert from "node:assert/strict";
import { join } from "node:path";
import { packageIn, startWorker, type TestLab, withLab } from "./lab.ts";
import { fromSource } from "../../scripts/local_lab.ts";
import { formatSession } from "../../protocol/session_string.ts";

interface Outcome {
  code: number;
  stderr: string;
}

async function client(test: TestLab, args: string[], config = ""): Promise<Outcome> {
  const { code, stderr } = await test.lab.runClient(config, args);
  return { code, stderr };
}

Deno.test("bad input to the client gets one clear line and an exit code that is not 0", () =>
  withLab(async (test) => {
    const path = await packageIn(test.home);
    const worker = await startWorker(test, { backends: "" });
    const { roomId, token, session } = worker;
    const text = join(test.home, "notes.zip");
    await Deno.writeTextFile(text, "not a zip");
    const cases: [args: string[], expected: RegExp][] = [
      [["train", path, "--nope"], /^error: unknown option '--nope'\nhint: /],
      [["train"], /^error: missing required argument 'package'/],
      [["train", path], /^error: which worker\? give --session-string, or --room-id and --token\nhint: /],
      [["train", path, "--room-id", roomId], /^error: which worker\?/],
      [
        ["train", path, "--session-string", session, "--token", token],
        /^error: --session-string already names/,
      ],
      [["train", path, "--session-string", "nonsense"], /^error: not a session string: .*\nhint: /],
      [["train", path, "--session-string", session.slice(0, -9)], /^error: not a session string: /],
      [
        ["train", path, "--session-string", session, "--min-gpu-memory", "8GB"],
        /^error: .*whole number.*"8GB"/,
      ],
      [["train", path, "--room-id", roomId, "--token", "wrong!"], /^error: .*refused.*Invalid token\nhint: /],
      [
        ["train", path, "--room-id", "nowhere1", "--token", token],
        /^error: .*refused.*Room not found\nhint: /,
      ],
      [
        ["train", path, "--room-id", roomId, "--token", token, "--worker-id", "x"],
        /^error: no worker is "x"; there are: /,
      ],
      [
        ["train", path, "--room-id", roomId, "--token", token, "--min-gpu-memory", "1"],
        /^error: no worker has .* of GPU memory; there are: /,
      ],
      [
        ["train", join(test.home, "missing.zip"), "--session-string", session],
        /^error: cannot read the package/,
      ],
      [
        ["train", text, "--session-string", session],
        /^error: .*notes\.zip is not a package: expected a \.zip file/,
      ],
      [
        ["train", test.home, "--session-string", session],
        /^error: .* is not a package: expected train-script\.sh in this folder/,
      ],
      [
        ["train", path, "--session-string", session, "--storage-backend", "nas"],
        /error: storage backend "nas" is not/,
      ],
      [
        ["train", path, "--session-string", session, "--shared-storage-root", "/no/such"],
        /^error: --shared-storage-root/,
      ],
    ];
    for (const [args, expected] of cases) {
      const { code, stderr } = await client(test, args);
      assert.match(stderr, expected, `${args.join(" ")}\n${stderr}`);
      assert.notEqual(code, 0, args.join(" "));
      assert.match(stderr, /\ncode: [A-Z_]+$/);
      assert.ok(stderr.trim().split("\n").length <= 4, stderr);
    }
    const gone = formatSession({ roomId, token, peerId: "gone" });
    const config = "[default]\nconnection_timeout = 1\n";
    const { code, stderr } = await client(test, ["train", path, "--session-string", gone], config);
    assert.equal(code, 3);
    assert.match(stderr, /error: no worker is "gone"; there are: /);
  }));

Deno.test("every mistake of a configuration file is told with its place", () =>
  withLab(async (test) => {
    const path = await packageIn(test.home);
    const toml = '[storage.vast]\nbase_pth = "/x"\n\n[default]\nconnection_timeout = "soon"\n';
    const { code, stderr } = await client(test, ["train", path, "--session-string", "x"], toml);
    assert.equal(code, 2);
    assert.match(stderr, /:1:1: storage\.vast\.base_path: is missing/);
    assert.match(stderr, /:2:1: storage\.vast\.base_pth: unknown key; did you mean "base_path"\?/);
    assert.match(
      stderr,
      /:5:1: default\.connection_timeout: found "soon", expected a number of seconds above 0/,
    );
    const broken = await client(test, ["train", path, "--session-string", "x"], "[storage.vast\n");
    assert.equal(broken.code, 2);
    assert.match(broken.stderr, /\.toml:1:\d+: not valid TOML/);
  }));

Deno.test("bad input to the worker gets one clear line and an exit code that is not 0", () =>
  withLab(async (test) => {
    const { lab } = test;
    const config = await lab.writeConfig("");
    const cases: [args: string[], expected: RegExp][] = [
      [["--nope"], /error: unknown option '--nope'/],
      [["--room-id", "abc"], /error: --room-id and --token belong together/],
      [["--room-id", "abc", "--token", "def"], /error: .*refused.*Room not found/],
      [["--config", join(test.folder, "none.toml")], /error: cannot read the configuration file/],
    ];
    for (const [args, expected] of cases) {
      const all = [...fromSource("worker/main.ts"), "--config", config, ...args];
      const process = lab.spawn(all, { env: lab.environment });
      assert.notEqual(await process.exited(), 0);
      assert.match(process.stderr.join("\n"), expected);
    }
    const away = lab.spawn([...fromSource("worker/main.ts"), "--config", config], {
      env: { SLEAP_RTC_SIGNALING_HTTP: "http://127.0.0.1:9", SLEAP_RTC_SIGNALING_WS: "ws://127.0.0.1:9" },
    });
    assert.equal(await away.exited(), 3);
    const said = /error: cannot reach the signaling server .*\nhint: .*\ncode: SIGNALING_UNREACHABLE/;
    assert.match(away.stderr.join("\n"), said);
  }));
