import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun } from "../../scripts/local_lab.ts";
import { modelIn, packageIn, withLab } from "./lab.ts";
import { bytesOnDisk, channelClient, channelWorker, MIB, said, until } from "./transfer.ts";

Deno.test("a server that is killed and comes back knows its room: a transfer goes on, and the session string works", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sleap-rtc-store-" });
  const store = ["--store", `sqlite:${join(folder, "signaling.db")}`];
  try {
    await withLab(async (test) => {
      const worker = await channelWorker(test);
      const path = await packageIn(test.home, { paddingBytes: 200 * MIB });
      const client = await channelClient(test, worker, path);
      await until("a part of the package", async () => await bytesOnDisk(test) > 20 * MIB || undefined);
      await test.lab.restartSignaling();
      const run = await clientRun(client);
      assert.equal(run.code, 0, said(run, worker));
      await modelIn(join(test.folder, "out/models"));
      await worker.process.line(/registered again with the signaling server/);

      const small = await packageIn(test.home, {}, "second.zip");
      const args = ["train", small, "--session-string", worker.session, "--output-dir"];
      const second = await test.lab.runClient("", [...args, join(test.folder, "second")]);
      assert.equal(second.code, 0, said(second, worker));
      await modelIn(join(test.folder, "second/models"));
      assert.doesNotMatch(worker.process.output, /making a new room/);
    }, store);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
