import assert from "node:assert/strict";
import { realSurroundings } from "../../config/load.ts";
import { JOB_ENVIRONMENT, TRACK_COMMAND, TRAIN_COMMAND } from "../../config/schema.ts";
import { ConfigError } from "../../config/user_error.ts";
import { backends, FILE, HOME_FILE, load, loadBare } from "./fake_surroundings.ts";

const PRODUCTION = `
[environments.production]
signaling_websocket = "wss://file.example"
signaling_http = "https://file.example"
`;

Deno.test("without any file there are defaults", () => {
  assert.deepEqual(loadBare({}), {
    file: undefined,
    environment: "development",
    signalingWebsocket: "ws://127.0.0.1:8080",
    signalingHttp: "http://127.0.0.1:8001",
    connectionTimeout: 30,
    roomSecret: undefined,
    iceServers: [],
    relayOnly: false,
    storage: [],
    sharedStorageRoot: undefined,
    worker: {
      scratch: undefined,
      maxJobs: undefined,
      labels: [],
      jobTimeLimit: undefined,
      jobEnvironment: JOB_ENVIRONMENT,
      sandbox: "none",
      sandboxNetwork: false,
      sandboxRead: [],
      trainCommand: TRAIN_COMMAND,
      trackCommand: TRACK_COMMAND,
    },
    client: {
      storageBackend: undefined,
      userSubdir: undefined,
      outputDir: undefined,
      requiredStorage: undefined,
      transfer: "auto",
      labels: [],
      wait: undefined,
    },
    notices: [],
  });
});

Deno.test("an empty file is as good as none", () => {
  assert.deepEqual(load(""), { ...loadBare({}), file: FILE });
  assert.deepEqual(load("# only a comment\r\n"), { ...loadBare({}), file: FILE });
});

Deno.test("every setting of the file arrives", () => {
  const config = load(`
[default]
connection_timeout = 2.5
[storage.vast]
base_path = "/mnt/vast"
type = "nfs"
description = "Institutional"
[storage.local]
base_path = "/data"
[worker]
scratch = "/scratch"
labels = ["a100", "lab-2"]
job_environment = ["HF_HOME"]
sandbox = "bwrap"
sandbox_network = true
sandbox_read = ["~/videos", "/data"]
[worker.jobs.train]
command = ["train", "{config}"]
[worker.jobs.track]
command = ["track"]
[client]
storage_backend = "vast"
user_subdir = "ada"
output_dir = "~/results"
required_storage = "vast"
transfer = "copy"
labels = ["a100"]
wait = 0
${PRODUCTION}`);
  assert.equal(config.connectionTimeout, 2.5);
  assert.deepEqual(config.storage, [
    { name: "local", basePath: "/data", type: "local", description: "", confineToUserSubdir: false },
    {
      name: "vast",
      basePath: "/mnt/vast",
      type: "nfs",
      description: "Institutional",
      confineToUserSubdir: false,
    },
  ]);
  assert.deepEqual(config.worker, {
    scratch: "/scratch",
    maxJobs: undefined,
    labels: ["a100", "lab-2"],
    jobTimeLimit: undefined,
    jobEnvironment: [...JOB_ENVIRONMENT, "HF_HOME"],
    sandbox: "bwrap",
    sandboxNetwork: true,
    sandboxRead: ["/home/ada/videos", "/data"],
    trainCommand: ["train", "{config}"],
    trackCommand: ["track"],
  });
  assert.deepEqual(config.client, {
    storageBackend: "vast",
    userSubdir: "ada",
    outputDir: "/home/ada/results",
    requiredStorage: "vast",
    transfer: "copy",
    labels: ["a100"],
    wait: 0,
  });
});

Deno.test("--config wins over the working directory, and that over the home folder", () => {
  const files = {
    [FILE]: "[default]\nconnection_timeout = 1",
    [HOME_FILE]: "[default]\nconnection_timeout = 2\n[storage.home]\nbase_path = '/h'",
    "/lab/other.toml": "[default]\nconnection_timeout = 3",
    "/etc/x.toml": "[default]\nconnection_timeout = 4",
  };
  const first = loadBare({ files });
  assert.deepEqual([first.file, first.connectionTimeout, first.storage], [FILE, 1, []], "no merging");
  const home = loadBare({ files: { [HOME_FILE]: files[HOME_FILE] ?? "" } });
  assert.deepEqual([home.file, home.connectionTimeout], [HOME_FILE, 2]);
  assert.equal(loadBare({ files }, { config: "other.toml" }).connectionTimeout, 3);
  assert.equal(loadBare({ files }, { config: "/etc/x.toml" }).connectionTimeout, 4);
});

Deno.test("a file that --config names must be there", () => {
  const run = (): unknown => loadBare({ files: { [FILE]: "" } }, { config: "gone.toml" });
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.equal(error.exitCode, 2);
    assert.match(error.message, /\/lab\/gone\.toml/);
    return true;
  });
});

Deno.test("a mistake in the first file is not hidden by the second", () => {
  const files = { [FILE]: "default = 3", [HOME_FILE]: "" };
  assert.throws(() => loadBare({ files }), /sleap-rtc\.toml:1:1: default: /);
});

Deno.test("the environment's addresses win over the file's, one by one", () => {
  const env = { SLEAP_RTC_SIGNALING_WS: "ws://env.example:1" };
  const config = load(PRODUCTION, { env });
  assert.equal(config.signalingWebsocket, "ws://env.example:1");
  assert.equal(config.signalingHttp, "https://file.example");
  const http = load(PRODUCTION, { env: { SLEAP_RTC_SIGNALING_HTTP: "http://env.example:2" } });
  assert.equal(http.signalingHttp, "http://env.example:2");
  const empty = load(PRODUCTION, { env: { SLEAP_RTC_SIGNALING_WS: "", SLEAP_RTC_SIGNALING_HTTP: "" } });
  assert.equal(empty.signalingWebsocket, "wss://file.example");
});

Deno.test("an address in the environment that is none is refused by its name", () => {
  for (const address of ["http://a", "server:8080", "wss//a", " ", "javascript:1"]) {
    const run = (): unknown => loadBare({ env: { SLEAP_RTC_SIGNALING_WS: address } });
    assert.throws(run, (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(
        error.message,
        /SLEAP_RTC_SIGNALING_WS .*expected a URL beginning with ws:\/\/ or wss:\/\//,
      );
      return true;
    });
  }
});

Deno.test("SLEAP_RTC_ENV chooses the environment", () => {
  const file = `${PRODUCTION}[environments.staging]\nsignaling_http = "http://staging.example"\n`;
  const staging = load(file, { env: { SLEAP_RTC_ENV: "staging" } });
  assert.equal(staging.environment, "staging");
  assert.equal(staging.signalingHttp, "http://staging.example");
  assert.equal(staging.signalingWebsocket, "ws://127.0.0.1:8080");
  assert.equal(load(file, { env: { SLEAP_RTC_ENV: "production" } }).signalingHttp, "https://file.example");
  assert.equal(load(file).environment, "development");
  assert.equal(load(PRODUCTION).environment, "production", "the only one there is");
  assert.equal(load(PRODUCTION, { env: { SLEAP_RTC_ENV: "" } }).environment, "production");
});

Deno.test("the three usual environments need no section when there is none at all", () => {
  for (const name of ["development", "staging", "production"]) {
    assert.equal(loadBare({ env: { SLEAP_RTC_ENV: name } }).environment, name);
  }
});

Deno.test("an environment that the file has not is refused, with those it has", () => {
  for (const name of ["prod", "constructor", "__proto__", "development"]) {
    const run = (): unknown => load(PRODUCTION, { env: { SLEAP_RTC_ENV: name } });
    assert.throws(run, (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.ok(error.message.includes(`"${name}"`) && error.message.includes(FILE));
      assert.equal(error.hint, "it has: production");
      return true;
    });
  }
  assert.throws(() => loadBare({ env: { SLEAP_RTC_ENV: "other" } }), ConfigError);
});

Deno.test("backends come sorted by name", () => {
  const config = load(
    ["z", "B", "a1", "a"].map((name) => `[storage.${name}]\nbase_path="/${name}"`).join("\n"),
  );
  assert.deepEqual(config.storage.map(({ name }) => name), ["B", "a", "a1", "z"]);
});

Deno.test("a file with a byte order mark and Windows line ends is read", () => {
  const config = load('\ufeff[storage.vast]\r\nbase_path = "/mnt/vast"\r\n');
  assert.deepEqual(backends(config), [["vast", "/mnt/vast"]]);
});

Deno.test("this machine's surroundings read files and know folders", async () => {
  const real = realSurroundings();
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/a`, "text");
    assert.equal(real.readText(`${dir}/a`), "text");
    assert.deepEqual([dir, `${dir}/a`, `${dir}/gone`].map(real.isDirectory), [true, false, false]);
    assert.equal(real.cwd, Deno.cwd());
    assert.throws(() => real.readText(`${dir}/gone`), Deno.errors.NotFound);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
