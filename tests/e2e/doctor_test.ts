import assert from "node:assert/strict";
import { fromSource } from "../../scripts/local_lab.ts";
import { clientConfig, startWorker, withLab } from "./lab.ts";

Deno.test("doctor says of each step whether it works, and its exit code whether all do", () =>
  withLab(async (test) => {
    const { lab } = test;
    const worker = await startWorker(test);
    const run = async (toml: string, args: string[], env = lab.environment): Promise<[number, string]> => {
      const config = await lab.writeConfig(toml);
      const process = lab.spawn([...fromSource("client/main.ts"), "doctor", "--config", config, ...args], {
        env,
      });
      return [await process.exited(), process.output];
    };
    const [healthy, said] = await run(clientConfig(test), ["--session-string", worker.session]);
    assert.equal(healthy, 0, said);
    assert.match(said, /^ok {4}configuration: /);
    assert.match(said, /ok {4}storage backend vast: .* is there, .* free/);
    assert.match(said, /ok {4}signaling server .*: it answers/);
    assert.match(said, /ok {4}worker .*: available, storage in common: vast/);
    await Deno.remove(test.clientMount);
    const away = { SLEAP_RTC_SIGNALING_HTTP: "http://127.0.0.1:9" };
    const [ill, complaint] = await run(clientConfig(test), [], away);
    assert.equal(ill, 1);
    assert.match(complaint, /FAIL {2}storage backend vast: .* is not there\n {6}is it mounted\?/);
    assert.match(complaint, /FAIL {2}signaling server .*cannot reach/);
  }));
