import assert from "node:assert/strict";
import { join } from "node:path";
import { fromSource, LabProcess, storageSection } from "../../scripts/local_lab.ts";
import { withTempDir } from "../storage/temp.ts";
import { doctorRun, runDoctor } from "./doctor_run.ts";
import { clientConfig, namesIn, startWorker, withLab } from "./lab.ts";

/** An address at which nobody listens. */
const NOWHERE = {
  SLEAP_RTC_SIGNALING_HTTP: "http://127.0.0.1:9",
  SLEAP_RTC_SIGNALING_WS: "ws://127.0.0.1:9",
};

Deno.test("doctor: a setup that works, up to the worker and the storage that it sees as well", () =>
  withLab(async (test) => {
    const { lab } = test;
    const worker = await startWorker(test);
    const config = await lab.writeConfig(clientConfig(test));
    const run = await runDoctor("client", config, ["--session-string", worker.session], {
      env: lab.environment,
      cwd: test.home,
    });
    assert.equal(run.summary.failures, 0, run.output);
    assert.equal(run.code, 0);
    assert.equal(run.find(/^runtime$/).status, "ok");
    assert.match(run.find(/^configuration$/, /SLEAP_RTC_SIGNALING_HTTP sets signaling_http/).status, /ok/);
    assert.match(run.find(/^storage backend vast$/).detail, /is there, .* free$/);
    const { status, figures } = run.find(/^storage backend vast$/, /64\.0 MiB written and flushed at/);
    assert.match(status, /^(ok|warning)$/);
    assert.ok(Number(figures?.["write_ms"]) > 0 && Number(figures?.["read_ms"]) > 0);
    assert.equal(run.find(/^signaling server http/, /^it answers in/).status, "ok");
    assert.equal(run.find(/^clock$/).status, "ok");
    assert.match(run.find(/^room$/).detail, /registered in \d+ ms, answers in \d+ ms/);
    assert.match(run.find(/^native library$/).detail, /libdatachannel \d+\.\d+/);
    assert.equal(run.find(/^ICE host candidates$/).status, "ok");
    assert.match(run.find(/^worker /).detail, /^available, storage in common: vast/);
    assert.match(run.find(/^connection to /).detail, /^direct, round trip \d+ ms/);
    assert.equal(run.find(/^same storage vast$/).status, "ok");
    assert.deepEqual(await namesIn(test.storage), [], "nothing is left on the storage");
    assert.deepEqual(await namesIn(test.home), []);
  }));

Deno.test("doctor: storage of one name that is not the worker's is a failure", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const config = await test.lab.writeConfig(storageSection("vast", test.home));
    const run = await runDoctor("client", config, ["--session-string", worker.session], {
      env: test.lab.environment,
    });
    assert.equal(run.code, 1);
    const { status, hint } = run.find(/^same storage vast$/);
    assert.equal(status, "failure");
    assert.match(hint ?? "", /config suggest FILE/);
  }));

Deno.test("doctor: for people, what does not work stands out, with what to do, and a summary is the end", () =>
  withTempDir(async (dir) => {
    const config = join(dir, "c.toml");
    await Deno.writeTextFile(config, storageSection("vast", join(dir, "away")));
    const process = new LabProcess([...fromSource("client/main.ts"), "doctor", "--config", config], {
      env: NOWHERE,
      cwd: dir,
    });
    assert.equal(await process.exited(), 1, process.output);
    const said = process.stdout.join("\n");
    assert.match(said, /^ok {4}runtime: sleap-rtc-client /);
    assert.match(said, /\nFAIL {2}storage backend vast: .*away is not there\n {6}is it mounted\?/);
    assert.match(said, /\nFAIL {2}signaling server .*: cannot reach .*\n {6}is it running/);
    assert.match(said, /\n\nthe setup does not work: \d failures, \d warnings?, \d+ ok, in [\d.]+ s$/);
    assert.equal(process.stderr.join(""), "");
  }));

Deno.test("doctor: every mistake of the configuration is a failure; the machine is looked at all the same", () =>
  withTempDir(async (dir) => {
    const config = join(dir, "c.toml");
    await Deno.writeTextFile(config, "[default]\nconnection_timeout = 0\n[storage.vast]\nfoo = 1\n");
    const run = await runDoctor("worker", config, [], { cwd: dir });
    assert.equal(run.code, 1);
    const details = run.findings.filter(({ what }) => what === "configuration").map(({ detail }) => detail);
    assert.deepEqual(details.map((detail) => /c\.toml:(\d+):/.exec(detail)?.[1]), ["2", "3", "4"]);
    assert.equal(run.find(/^runtime$/).status, "ok");
  }));

Deno.test("doctor: a room secret that others can read is a warning", () =>
  withTempDir(async (dir) => {
    const config = join(dir, "c.toml");
    await Deno.writeTextFile(config, '[default]\nroom_secret = "only for this lab and no other"\n');
    for (const [mode, status] of [[0o644, "warning"], [0o600, "ok"]] as const) {
      await Deno.chmod(config, mode);
      const run = await runDoctor("client", config, [], { env: NOWHERE, cwd: dir });
      assert.equal(run.find(/^room secret$/).status, status);
      assert.doesNotMatch(run.output, /only for this lab/);
    }
  }));

Deno.test("doctor: --quiet leaves out what is as it should be", () =>
  withTempDir(async (dir) => {
    const config = join(dir, "c.toml");
    await Deno.writeTextFile(config, "");
    const command = [...fromSource("client/main.ts"), "doctor", "--config", config, "--quiet"];
    const process = new LabProcess(command, { env: NOWHERE, cwd: dir });
    assert.equal(await process.exited(), 1, process.output);
    assert.match(process.output, /^FAIL /m);
    assert.match(process.output, /^the setup does not work: /m);
    assert.doesNotMatch(process.output, /^ok /m);
  }));

Deno.test("doctor: permissions that are not held are named", () =>
  withTempDir(async (dir) => {
    const config = join(dir, "c.toml");
    await Deno.writeTextFile(config, "");
    const command = fromSource("client/main.ts").filter((word) => word !== "--allow-ffi")
      .map((word) => word === "--allow-net" ? "--allow-net=127.0.0.1" : word);
    const args = ["--no-prompt", "doctor", "--config", config, "--json"];
    const [deno = "", verb = "", ...rest] = command;
    const process = new LabProcess([deno, verb, "--no-prompt", ...rest, ...args.slice(1)], {
      env: NOWHERE,
      cwd: dir,
    });
    const run = await doctorRun(process);
    assert.match(run.find(/^permissions$/).detail, /--allow-net --allow-ffi$/);
    assert.equal(run.find(/^native library$/).status, "failure");
  }));

Deno.test("doctor: Ctrl-C ends it with the shell's exit code, and leaves no file", () =>
  withTempDir(async (dir) => {
    const [config, storage] = [join(dir, "c.toml"), join(dir, "storage")];
    await Deno.mkdir(storage);
    await Deno.writeTextFile(config, storageSection("vast", storage));
    const command = [...fromSource("client/main.ts"), "doctor", "--config", config, "--json"];
    // It takes connections and never answers: the checks cannot be over when the signal comes.
    using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const url = `http://127.0.0.1:${silent.addr.port}`;
    const process = new LabProcess(command, { env: { ...NOWHERE, SLEAP_RTC_SIGNALING_HTTP: url }, cwd: dir });
    await process.line(/"storage backend vast"/);
    assert.equal(await process.stop(), 130, process.output);
    assert.deepEqual(await namesIn(storage), []);
  }));

const hasScript = Deno.build.os === "linux" &&
  await new Deno.Command("script", { args: ["--version"] }).output().then(
    ({ success }) => success,
    () => false,
  );

Deno.test({
  name: `doctor: on a terminal it is seen what is looked at${
    hasScript ? "" : " (skipped: needs script of util-linux)"
  }`,
  ignore: !hasScript,
  fn: () =>
    withTempDir(async (dir) => {
      const config = join(dir, "c.toml");
      await Deno.writeTextFile(config, "");
      const command = [...fromSource("client/main.ts"), "doctor", "--config", config].join(" ");
      const process = new LabProcess(["script", "-qec", command, "/dev/null"], { env: NOWHERE, cwd: dir });
      assert.equal(await process.exited(), 1);
      const text = process.stdout.join("\n");
      // deno-lint-ignore no-control-regex -- what clears a terminal's line is what is looked for
      assert.match(text, /\r\x1b\[K… {5}looking at .*signaling server/);
      // deno-lint-ignore no-control-regex -- as above
      assert.match(text, /\r\x1b\[Kok {4}runtime: /);
    }),
});
