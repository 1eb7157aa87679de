import assert from "node:assert/strict";
import { join } from "node:path";
import { bwrapRuns, SKIPPED } from "../bubblewrap.ts";
import { clientConfig, namesIn, packageIn, SLOW, startWorker, withLab } from "./lab.ts";

Deno.test("a client that is killed leaves its inbox to the next one, which keeps what came whole", () =>
  withLab(async (test) => {
    const { session } = await startWorker(test);
    const output = join(test.folder, "out");
    const path = await packageIn(join(test.clientMount, "alice"), SLOW);
    const args = ["train", path, "--session-string", session, "--output-dir", output];
    const killed = await test.lab.client(clientConfig(test), args);
    await killed.line(/Epoch 1\//);
    killed.kill("SIGKILL");
    await killed.exited();
    const [inbox = ""] = (await namesIn(output)).filter((name) => !name.endsWith(".lock"));
    assert.match(inbox, /^\.sleap-rtc-inbox-/);
    await Deno.mkdir(join(output, inbox, "results-1/models"), { recursive: true });
    await Deno.writeTextFile(join(output, inbox, "results-1/models/weights"), "trained");
    const quick = await packageIn(join(test.clientMount, "bob"));
    const next = ["train", quick, "--session-string", session, "--output-dir", output];
    const run = await test.lab.runClient(clientConfig(test), next);
    assert.equal(run.code, 0, run.stderr);
    const names = await namesIn(output);
    assert.deepEqual(names.map((name) => name.replace(/^results-1-.*/, "results-1")), [
      "models",
      "results-1",
    ]);
    const kept = join(output, names[1]!, "models/weights");
    assert.equal(await Deno.readTextFile(kept), "trained");
    assert.match(
      JSON.stringify(run.events),
      new RegExp(`results that came are kept in ${output}/${names[1]}`),
    );
  }));

Deno.test({
  name: `a worker that is killed leaves its sandbox to the next one, which removes it${SKIPPED}`,
  ignore: !bwrapRuns,
  fn: () =>
    withLab(async (test) => {
      const config = '[worker]\nsandbox = "bwrap"\n';
      const sandboxes = async (): Promise<string[]> =>
        (await namesIn(test.home)).filter((name) => name.startsWith("sleap-rtc-sandbox-"));
      const options = { env: { TMPDIR: test.home } };
      const { process } = await test.lab.worker(config, [], options);
      const [left] = await sandboxes();
      process.kill("SIGKILL");
      await process.exited();
      assert.ok((await sandboxes()).includes(left!));
      const next = await test.lab.worker("", [], options);
      assert.deepEqual(await sandboxes(), []);
      await next.process.stop();
    }),
});
