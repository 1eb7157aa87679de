import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun, fromSource, type LabProcess } from "../../scripts/local_lab.ts";
import { Balancer } from "../signaling/balancer.ts";
import { HAS_REDIS, withRedis } from "../signaling/redis.ts";
import { modelIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";
import { bytesOnDisk, MIB, said, until } from "./transfer.ts";

/** A signaling server that shares a Redis, and its port. */
async function startServer(test: TestLab, redis: string): Promise<{ process: LabProcess; port: number }> {
  const flags = ["--host", "127.0.0.1", "--http-port", "0", "--ws-port", "0", "--json"];
  const env = { SLEAP_RTC_STORE: redis };
  const process = test.lab.spawn([...fromSource("signaling/main.ts"), ...flags], { env });
  const { websocket } = JSON.parse(await process.line(/"listening"/));
  return { process, port: Number(new URL(websocket).port) };
}

Deno.test({
  name:
    "a job goes across two servers, one of which is killed in the middle, and the session string stays good",
  ignore: !HAS_REDIS,
  fn: () =>
    withRedis((redis) =>
      withLab(async (test) => {
        const [first, second] = [await startServer(test, redis.url), await startServer(test, redis.url)];
        const balancer = new Balancer([first.port, second.port]);
        const env = {
          SLEAP_RTC_SIGNALING_HTTP: `http://${balancer.address}`,
          SLEAP_RTC_SIGNALING_WS: `ws://${balancer.address}`,
        };
        try {
          const worker = await startWorker(test, { backends: "", env });
          balancer.ports = [second.port, first.port];
          const path = await packageIn(test.home, { paddingBytes: 64 * MIB });
          const args = (file: string, out: string): string[] => {
            const output = join(test.folder, out);
            return ["train", file, "--session-string", worker.session, "--output-dir", output];
          };
          const client = await test.lab.client("", args(path, "out"), { env });
          await until("a part of the package", async () => await bytesOnDisk(test) > 4 * MIB || undefined);
          first.process.kill("SIGKILL");
          const run = await clientRun(client);
          assert.equal(run.code, 0, said(run, worker));
          await modelIn(join(test.folder, "out/models"));

          await worker.process.line(/registered again with the signaling server/);
          const small = await packageIn(test.home, {}, "second.zip");
          const again = await test.lab.runClient("", args(small, "second"), { env });
          assert.equal(again.code, 0, said(again, worker));
          await modelIn(join(test.folder, "second/models"));
          assert.doesNotMatch(worker.process.output, /making a new room/);
        } finally {
          await balancer.close();
        }
      })
    ),
});
