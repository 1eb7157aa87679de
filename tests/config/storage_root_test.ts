import assert from "node:assert/strict";
import { KNOWN_MOUNTS } from "../../config/load.ts";
import { ConfigError } from "../../config/user_error.ts";
import { backends, FILE, load, loadBare } from "./fake_surroundings.ts";

const VAST = '[storage.vast]\nbase_path = "/mnt/vast"\n';

Deno.test("SHARED_STORAGE_ROOT without storage sections makes the backend default", () => {
  const config = load("", { env: { SHARED_STORAGE_ROOT: "/root/a" }, folders: ["/root/a"] });
  assert.deepEqual(backends(config), [["default", "/root/a"]]);
  assert.equal(config.sharedStorageRoot, "/root/a");
  assert.deepEqual(config.notices, []);
});

Deno.test("--shared-storage-root wins over SHARED_STORAGE_ROOT", () => {
  const machine = { env: { SHARED_STORAGE_ROOT: "/env" }, folders: ["/env", "/flag"] };
  const config = loadBare(machine, { sharedStorageRoot: "/flag" });
  assert.deepEqual(backends(config), [["default", "/flag"]]);
  assert.equal(config.sharedStorageRoot, "/flag");
});

Deno.test("with storage sections the root serves the legacy flow only, and a notice says so", () => {
  for (const flags of [{}, { sharedStorageRoot: "/root/a" }]) {
    const machine = { env: { SHARED_STORAGE_ROOT: "/root/a" }, folders: ["/root/a"] };
    const config = load(VAST, machine, flags);
    assert.deepEqual(backends(config), [["vast", "/mnt/vast"]]);
    assert.equal(config.sharedStorageRoot, "/root/a");
    assert.equal(config.notices.length, 1);
    assert.ok(config.notices[0]?.includes(FILE));
  }
});

Deno.test("a root of the flag that is no folder stops the program", () => {
  assert.throws(() => loadBare({}, { sharedStorageRoot: "/gone" }), (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /--shared-storage-root: \/gone is not a folder/);
    assert.ok(error.hint);
    return true;
  });
});

Deno.test("a root of the environment that is no folder turns shared storage off, with a notice", () => {
  const config = loadBare({ env: { SHARED_STORAGE_ROOT: "/gone" } });
  assert.deepEqual(config.storage, []);
  assert.equal(config.sharedStorageRoot, undefined);
  assert.match(config.notices.join(), /SHARED_STORAGE_ROOT is \/gone/);
});

Deno.test("a broken root of the environment is not replaced by a mount that nobody named", () => {
  const config = loadBare({ env: { SHARED_STORAGE_ROOT: "/gone" }, folders: ["/shared"] });
  assert.deepEqual(config.storage, []);
  assert.equal(config.sharedStorageRoot, undefined);
});

Deno.test("an empty SHARED_STORAGE_ROOT counts as unset", () => {
  const machine = { env: { SHARED_STORAGE_ROOT: "" }, folders: ["/lab"] };
  assert.deepEqual(loadBare(machine).storage, []);
});

Deno.test("an empty --shared-storage-root does not share the working directory", () => {
  const run = (): unknown => loadBare({ folders: ["/lab"] }, { sharedStorageRoot: "" });
  assert.throws(run, ConfigError);
});

Deno.test("each known mount is found, in this order, and a notice says so", () => {
  assert.deepEqual(KNOWN_MOUNTS, [
    "/home/jovyan/vast/amick",
    "/Volumes/talmo/amick",
    "/workspace/shared",
    "/data/shared",
    "/mnt/shared",
    "/shared",
  ]);
  for (const [index, mount] of KNOWN_MOUNTS.entries()) {
    const config = loadBare({ folders: KNOWN_MOUNTS.slice(index).toReversed() });
    assert.deepEqual(backends(config), [["default", mount]]);
    assert.equal(config.sharedStorageRoot, mount);
    assert.match(config.notices.join(), new RegExp(`detected ${mount} `));
  }
});

Deno.test("known mounts are not looked for when storage is configured", () => {
  const section = load(VAST, { folders: KNOWN_MOUNTS });
  assert.deepEqual(backends(section), [["vast", "/mnt/vast"]]);
  assert.equal(section.sharedStorageRoot, undefined);
  const root = loadBare({ env: { SHARED_STORAGE_ROOT: "/a" }, folders: ["/a", ...KNOWN_MOUNTS] });
  assert.deepEqual(backends(root), [["default", "/a"]]);
});

Deno.test("~ and variables are filled in, wherever a path is read", () => {
  const env = { LAB: "/lab", USER: "ada", SHARED_STORAGE_ROOT: "~/shared" };
  const config = load(
    `[storage.a]
base_path = "~/data"
[storage.b]
base_path = "$LAB/data"
[storage.c]
base_path = "/x/\${USER}s/\${LAB}"
[storage.d]
base_path = "~"
[storage.e]
base_path = "a~/~b"
[storage.f]
base_path = "/a/../b//c/"
[worker]
scratch = "$LAB/scratch"
[client]
output_dir = "~/out"
`,
    { env, folders: ["/home/ada/shared"] },
  );
  assert.deepEqual(backends(config), [
    ["a", "/home/ada/data"],
    ["b", "/lab/data"],
    ["c", "/x/adas/lab"],
    ["d", "/home/ada"],
    ["e", "/lab/a~/~b"],
    ["f", "/b/c"],
  ]);
  assert.equal(config.worker.scratch, "/lab/scratch");
  assert.equal(config.client.outputDir, "/home/ada/out");
  assert.equal(config.sharedStorageRoot, "/home/ada/shared");
});

Deno.test("what a variable or the home folder holds is not expanded again", () => {
  const config = load('[storage.a]\nbase_path = "$A/x"', { env: { A: "/a$B", B: "wrong" } });
  assert.deepEqual(backends(config), [["a", "/a$B/x"]]);
  const home = load('[storage.a]\nbase_path = "~/x"', { home: "/home/cash$B", env: { B: "wrong" } });
  assert.deepEqual(backends(home), [["a", "/home/cash$B/x"]]);
});

Deno.test("a variable that is not set is named", () => {
  assert.throws(() => load("[client]\noutput_dir = '${GONE}/x'"), /\$GONE, which is not set/);
  assert.throws(() => loadBare({}, { sharedStorageRoot: "$GONE" }), ConfigError);
});

Deno.test("a variable of the file that is not set is reported with file, line and key", () => {
  assert.throws(() => load('[storage.a]\nbase_path = "$GONE/x"'), (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /sleap-rtc\.toml:2:1: storage\.a\.base_path: /);
    return true;
  });
});

Deno.test("a path that expands to nothing does not become the working directory", () => {
  const run = (): unknown => load('[storage.a]\nbase_path = "$EMPTY"', { env: { EMPTY: "" } });
  assert.throws(run, ConfigError);
});

Deno.test("a base path per system", () => {
  const file = '[storage.a]\nbase_path = { linux = "/mnt/l", darwin = "/Volumes/d" }';
  assert.deepEqual(backends(load(file, { os: "linux" })), [["a", "/mnt/l"]]);
  assert.deepEqual(backends(load(file, { os: "darwin" })), [["a", "/Volumes/d"]]);
  assert.deepEqual(backends(load(file, { os: "freebsd" })), [["a", "/mnt/l"]]);
  assert.throws(() => load(file, { os: "windows" }), (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /storage\.a\.base_path/);
    assert.match(error.hint ?? "", /windows = /);
    return true;
  });
});

Deno.test("every path that this machine cannot use is reported at once", () => {
  const file = `[storage.a]\nbase_path = "$GONE/x"\n[storage.b]\nbase_path = { darwin = "/d" }\n`;
  assert.throws(() => load(file), (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /storage\.b/);
    assert.match(error.message, /\$GONE/);
    return true;
  });
});
