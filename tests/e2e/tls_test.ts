import assert from "node:assert/strict";
import { join } from "node:path";
import { withCertificates } from "../signaling/certificates.ts";
import { packageIn, startWorker, withLab } from "./lab.ts";

Deno.test("a job runs over a signaling server with TLS; who does not trust its certificate is told", () =>
  withCertificates(async ({ authority, issue }) => {
    const { cert, key } = await issue("lab");
    const trusting = { env: { DENO_CERT: authority } };
    await withLab(async (test) => {
      assert.match(test.lab.wsUrl, /^wss:/);
      const worker = await startWorker(test, trusting);
      const path = await packageIn(join(test.home, "project"));
      const args = ["train", path, "--session-string", worker.session];
      const run = await test.lab.runClient("", args, trusting);
      assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
      assert.equal(run.summary?.method, "rtc");
      const distrustful = await test.lab.runClient("", args);
      assert.notEqual(distrustful.code, 0);
      assert.match(
        distrustful.stderr,
        /cannot reach the signaling server at https:.*(UnknownIssuer|certificate)/,
      );
    }, ["--tls-cert", cert, "--tls-key", key]);
  }));
