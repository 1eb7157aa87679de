import assert from "node:assert/strict";
import type { ConfigFlags } from "../../config/load.ts";
import { explainConfig } from "../../config/settings.ts";
import { FILE, HOME_FILE, type Machine, surroundings } from "./fake_surroundings.ts";

/** `value # source` of each key. */
function explained(machine: Machine, flags: ConfigFlags = {}): Record<string, string> {
  const { settings } = explainConfig(flags, surroundings(machine));
  return Object.fromEntries(
    settings.map(({ key, value, source }) => [key, `${JSON.stringify(value)} # ${source}`]),
  );
}

const LAB = `[default]
connection_timeout = 5
[environments.lab]
signaling_websocket = "ws://lab:1"
[storage.vast]
base_path = { linux = "$LAB/vast" }
confine_to_user_subdir = true
[worker]
job_environment = ["HF_HOME"]
jobs.train.command = ["train"]
[client]
output_dir = "~/out"
`;

Deno.test("without anything every value is a default", () => {
  const { settings } = explainConfig({}, surroundings({}));
  assert.ok(settings.length > 10);
  for (const { source } of settings) assert.equal(source, "default");
});

Deno.test("each value tells where it came from", () => {
  const found = explained({
    files: { [FILE]: LAB },
    env: { LAB: "/lab", SLEAP_RTC_ENV: "lab", SLEAP_RTC_SIGNALING_HTTP: "http://ada:secret@x/" },
  });
  const expected = {
    file: `"${FILE}" # found`,
    environment: '"lab" # environment SLEAP_RTC_ENV',
    signaling_websocket: '"ws://lab:1" # file sleap-rtc.toml:4',
    signaling_http: '"http://***@x/" # environment SLEAP_RTC_SIGNALING_HTTP',
    "default.connection_timeout": "5 # file sleap-rtc.toml:2",
    "storage.vast.base_path": '"/lab/vast" # file sleap-rtc.toml:6',
    "storage.vast.type": '"local" # default',
    "storage.vast.confine_to_user_subdir": "true # file sleap-rtc.toml:7",
    "worker.jobs.train.command": '["train"] # file sleap-rtc.toml:10',
    "worker.jobs.track.command": '["sleap-nn","track","{arguments}"] # default',
    "client.output_dir": '"/home/ada/out" # file sleap-rtc.toml:12',
    "client.user_subdir": "undefined # default",
    shared_storage_root: "undefined # default",
  };
  for (const [key, text] of Object.entries(expected)) assert.equal(found[key], text, key);
  assert.match(found["worker.job_environment"] ?? "", /"HF_HOME"\] # default, and file sleap-rtc\.toml:9$/);
});

Deno.test("the only environment of a file is chosen by the file", () => {
  const found = explained({ files: { [FILE]: LAB }, env: { LAB: "/lab" } });
  assert.equal(found["environment"], '"lab" # file sleap-rtc.toml:3, the only one');
});

Deno.test("a file outside of the working directory is named in full", () => {
  const home = explained({ files: { [HOME_FILE]: "[default]\nconnection_timeout = 1" } });
  assert.equal(home["default.connection_timeout"], `1 # file ${HOME_FILE}:2`);
  const named = explained({ files: { "/etc/x.toml": "" } }, { config: "/etc/x.toml" });
  assert.equal(named["file"], '"/etc/x.toml" # --config');
});

Deno.test("the backend default tells which root made it", () => {
  const folders = ["/a", "/shared"];
  const cases: readonly [Machine, ConfigFlags, string, string][] = [
    [{ folders, env: { SHARED_STORAGE_ROOT: "/a" } }, {}, "/a", "environment SHARED_STORAGE_ROOT"],
    [
      { folders, env: { SHARED_STORAGE_ROOT: "/shared" } },
      { sharedStorageRoot: "/a" },
      "/a",
      "--shared-storage-root",
    ],
    [{ folders }, {}, "/shared", "detected"],
  ];
  for (const [machine, flags, path, source] of cases) {
    const found = explained(machine, flags);
    assert.equal(found["storage.default.base_path"], `"${path}" # ${source}`);
    assert.equal(found["shared_storage_root"], `"${path}" # ${source}`);
  }
});

Deno.test("the file's backends win over the root, with a notice", () => {
  const machine = {
    files: { [FILE]: '[storage.default]\nbase_path = "/b"' },
    folders: ["/a"],
    env: { SHARED_STORAGE_ROOT: "/a" },
  };
  const found = explained(machine);
  assert.equal(found["storage.default.base_path"], '"/b" # file sleap-rtc.toml:2');
  assert.equal(found["storage.default.description"], '"" # default');
  assert.equal(found["shared_storage_root"], '"/a" # environment SHARED_STORAGE_ROOT');
  assert.match(explainConfig({}, surroundings(machine)).notices.join(), /storage backends come from/);
});
