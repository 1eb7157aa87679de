import assert from "node:assert/strict";
import { parseConfig } from "../../config/load.ts";
import { ConfigFileError } from "../../config/mistake.ts";
import type { ConfigFlags } from "../../config/load.ts";
import { backends, load, loadBare } from "./fake_surroundings.ts";

type Machine = NonNullable<Parameters<typeof load>[1]>;

/** What is wrong with a file on a machine. */
function failure(toml: string, machine: Machine = {}, flags: ConfigFlags = {}): ConfigFileError {
  try {
    load(toml, machine, flags);
  } catch (error) {
    assert.ok(error instanceof ConfigFileError, String(error));
    return error;
  }
  assert.fail("no mistake");
}

function lines(toml: string, machine: Machine = {}, flags: ConfigFlags = {}): string[] {
  return failure(toml, machine, flags).message.split("\n");
}

Deno.test("mistakes of schema, machine, variables and flags come in one list", () => {
  const toml = `[default]
connection_timeot = 3
[environments.production]
signaling_http = "https://x"
[storage.a]
base_path = "$GONE/x"
[storage.b]
base_path = { darwin = "/d", linx = "/l" }
[storage.c]
base_path = { linux = "\${EMPTY}/c" }
[worker]
scratch = "~bob/scratch"
sandbox_read = ["/a", "$GONE/x"]
[client]
output_dir = "\${A-B}/x"
storage_backend = "aa"
`;
  const env = {
    EMPTY: "",
    SLEAP_RTC_ENV: "prod",
    SLEAP_RTC_SIGNALING_WS: "http://ada:secret@x",
    SLEAP_RTC_SIGNALING_HTTP: "nonsense",
  };
  const file = "/lab/sleap-rtc.toml";
  assert.deepEqual(lines(toml, { env }, { sharedStorageRoot: "/gone" }), [
    `${file}:2:1: default.connection_timeot: unknown key; did you mean "connection_timeout"?`,
    `${file}:3:1: SLEAP_RTC_ENV is "prod", but ${file} has no such environment; it has: production`,
    `${file}:6:1: storage.a.base_path: the path "$GONE/x" uses $GONE, which is not set`,
    `${file}:8:1: storage.b.base_path: has no path for this system, linux; add linux = "…" to it`,
    `${file}:8:30: storage.b.base_path.linx: unknown key; did you mean "linux"?`,
    `${file}:10:15: storage.c.base_path.linux: the path "\${EMPTY}/c" uses $EMPTY, which is empty`,
    `${file}:12:1: worker.scratch: the path "~bob/scratch" begins with "~bob"; "~" stands for your own home folder only`,
    `${file}:13:1: worker.sandbox_read.1: the path "$GONE/x" uses $GONE, which is not set`,
    `${file}:15:1: client.output_dir: the path "\${A-B}/x" holds "\${A-B}"; expected \${NAME}`,
    `${file}:16:1: client.storage_backend: found "aa", expected a backend of this file: a, b, c; did you mean "a"?`,
    'SLEAP_RTC_SIGNALING_WS is "http://***@x"; expected a URL beginning with ws:// or wss://',
    'SLEAP_RTC_SIGNALING_HTTP is "nonsense"; expected a URL beginning with http:// or https://',
    "--shared-storage-root: /gone is not a folder; is the storage mounted?",
  ]);
});

Deno.test("a file that is not TOML is no reason to blame SLEAP_RTC_ENV", () => {
  const found = lines("[environments.lab", { env: { SLEAP_RTC_ENV: "lab" } });
  assert.equal(found.length, 1);
  assert.match(found[0] ?? "", /^\/lab\/sleap-rtc\.toml:1:\d+: not valid TOML: /);
});

Deno.test("a single mistake has its hint apart", () => {
  const error = failure('[storage.a]\nbase_path = { linux = "/l" }', { os: "darwin" });
  assert.equal(
    error.message,
    "/lab/sleap-rtc.toml:2:1: storage.a.base_path: has no path for this system, darwin",
  );
  assert.equal(error.hint, 'add darwin = "…" to it');
  assert.equal(error.exitCode, 2);
});

Deno.test("without a file, mistakes of the environment name no file", () => {
  assert.throws(
    () => loadBare({ env: { SLEAP_RTC_SIGNALING_WS: "x", SLEAP_RTC_ENV: "lab" } }),
    (error: unknown) => {
      assert.ok(error instanceof ConfigFileError);
      assert.deepEqual(error.message.split("\n"), [
        'SLEAP_RTC_ENV is "lab", but there is no configuration file; ' +
        "add a section [environments.NAME], or unset the variable",
        'SLEAP_RTC_SIGNALING_WS is "x"; expected a URL beginning with ws:// or wss://',
      ]);
      return true;
    },
  );
});

Deno.test("only the path of this machine is expanded", () => {
  const toml = '[storage.a]\nbase_path = { darwin = "$GONE/x", linux = "$LAB/x" }';
  assert.deepEqual(backends(load(toml, { env: { LAB: "/lab" } })), [["a", "/lab/x"]]);
});

Deno.test("one mistake inside a path per system is placed at its key", () => {
  const found = lines('[storage.a]\nbase_path = { linux = 3, darwin = "/d" }');
  assert.equal(
    found[0],
    "/lab/sleap-rtc.toml:2:15: storage.a.base_path.linux: found 3, expected a value of type string",
  );
});

Deno.test("an address of S3 stays as it is written", () => {
  for (
    const path of [
      "s3://lab",
      "s3://lab/",
      "s3://my.lab-1/a/$USER/~/x",
      "s3://lab/a b/ü/",
    ]
  ) {
    assert.deepEqual(backends(load(`[storage.a]\nbase_path = ${JSON.stringify(path)}`)), [["a", path]]);
    const table = `[storage.a]\nbase_path = { linux = ${JSON.stringify(path)} }`;
    assert.deepEqual(backends(load(table)), [["a", path]]);
  }
});

Deno.test("an address that is none of S3 is refused", () => {
  const wrong = [
    "s3://",
    "s3:///x",
    "s3://a",
    "s3://UPPER/x",
    "s3://$LAB/x",
    "s3://key:secret@lab/x",
    "s3://lab//x",
    "s3://lab/a/../b",
    "s3://lab/..",
    "s3://lab/./x",
    "s3://lab/a\nb",
    "S3://lab",
    "gs://lab/x",
    "https://lab.example/x",
  ];
  for (const path of wrong) {
    const found = lines(`[storage.a]\nbase_path = ${JSON.stringify(path)}`, { env: { LAB: "lab" } });
    assert.equal(found.length, 1, path);
    assert.match(
      found[0] ?? "",
      /:2:1: storage\.a\.base_path: found ".*", expected a path, or s3:\/\/bucket/,
    );
    assert.doesNotMatch(found[0] ?? "", /secret/);
  }
  assert.match(lines('[worker]\nscratch = "s3://lab/x"')[0] ?? "", /expected a path of this machine/);
  const hidden = lines('[storage.a]\nbase_path = "$LAB"', { env: { LAB: "s3://lab" } });
  assert.match(hidden[0] ?? "", /"\$LAB" is not a path of this machine/);
  assert.match(lines("", {}, { sharedStorageRoot: "s3://lab" })[0] ?? "", /--shared-storage-root: /);
  const legacy = loadBare({ env: { SHARED_STORAGE_ROOT: "s3://lab" } });
  assert.deepEqual(legacy.storage, []);
  assert.match(legacy.notices.join(), /s3:\/\/lab, which is not a folder/);
});

Deno.test("a backend may keep jobs to their user's folder", () => {
  const toml = '[storage.a]\nbase_path = "/a"\nconfine_to_user_subdir = true\n[storage.b]\nbase_path = "/b"';
  assert.deepEqual(load(toml).storage.map((entry) => entry.confineToUserSubdir), [true, false]);
  const found = lines('[storage.a]\nbase_path = "/a"\nconfine_to_user_subdir = "yes"');
  assert.match(
    found[0] ?? "",
    /:3:1: storage\.a\.confine_to_user_subdir: found "yes", expected true or false$/,
  );
});

Deno.test("a timeout longer than timers can wait is refused", () => {
  assert.match(lines("[default]\nconnection_timeout = 1e9")[0] ?? "", /at most 86400/);
});

Deno.test("the preferred backend must be one of the file, where the file has any", () => {
  assert.equal(load('[client]\nstorage_backend = "default"').client.storageBackend, "default");
  const found = lines('[client]\nstorage_backend = "far"\n[storage.vast]\nbase_path = "/v"');
  assert.match(
    found[0] ?? "",
    /:2:1: client\.storage_backend: found "far", expected a backend of this file: vast$/,
  );
});

Deno.test("that none of several environments is chosen is told", () => {
  const toml = '[environments.a]\nsignaling_http = "http://a"\n[environments.b]\nsignaling_http = "http://b"';
  assert.match(load(toml).notices.join(), /none of the environments a, b/);
  assert.deepEqual(load(toml, { env: { SLEAP_RTC_ENV: "a" } }).notices, []);
  assert.deepEqual(load(toml, { env: { SLEAP_RTC_SIGNALING_WS: "ws://x" } }).notices, []);
});

Deno.test("names that objects have by themselves are names like others", () => {
  for (const name of ["constructor", "toString", "hasOwnProperty"]) {
    assert.deepEqual(backends(load(`[storage.${name}]\nbase_path = "/x"`)), [[name, "/x"]]);
    const chosen = load(`[environments.${name}]\nsignaling_http = "http://x"`, {
      env: { SLEAP_RTC_ENV: name },
    });
    assert.equal(chosen.signalingHttp, "http://x");
  }
});

Deno.test("a text alone is judged without the machine", () => {
  assert.equal(parseConfig('[storage.a]\nbase_path = "$GONE"', "f").storage["a"]?.base_path, "$GONE");
});
