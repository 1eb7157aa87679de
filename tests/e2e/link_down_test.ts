import assert from "node:assert/strict";
import { join } from "node:path";
import { clientRun } from "../../scripts/local_lab.ts";
import { modelIn, packageIn, startWorker, withLab } from "./lab.ts";
import { whyNoNamespaces, withNamespaces } from "./namespaces.ts";
import { bytesOnDisk, MIB, said, until } from "./transfer.ts";

const MISSING = await whyNoNamespaces();
const SKIPPED = MISSING === undefined ? "" : ` (skipped: ${MISSING})`;
/** Longer than the ten seconds after which a silent connection is given up; milliseconds. */
const DOWN_MS = Deno.env.has("SLEAP_RTC_LONG_TESTS") ? 30_000 : 13_000;

Deno.test({
  name: `link down: a transfer whose network goes away goes on when it is back${SKIPPED}`,
  ignore: MISSING !== undefined,
  fn: () =>
    withNamespaces(["client", "worker"], { forwards: true }, ({ middle, leaves }) =>
      withLab(
        async (test) => {
          const worker = await startWorker(test, { backends: "", prefix: leaves.worker.prefix });
          const path = await packageIn(test.home, { paddingBytes: 200 * MIB });
          const out = join(test.home, "results");
          const client = await test.lab.client(
            "",
            ["train", path, "--session-string", worker.session, "--output-dir", out],
            { prefix: leaves.client.prefix },
          );
          await until(
            "bytes on the worker's disk",
            async () => await bytesOnDisk(test) > 5 * MIB || undefined,
          );
          await leaves.client.linkDown();
          await new Promise((resolve) => setTimeout(resolve, DOWN_MS));
          await leaves.client.linkUp();
          const run = await clientRun(client);
          assert.equal(run.code, 0, said(run, worker));
          await modelIn(join(out, "models"));
          const { reconnects, resent_bytes } = run.summary!.connection;
          assert.equal(reconnects, 1, said(run, worker));
          assert.ok(resent_bytes <= 16 * MIB, String(resent_bytes));
          const told = run.events.map((event) => event.event === "info" ? event.text : "").join("\n");
          assert.match(
            told,
            /connection to the worker is lost; trying again[^]*connected to the worker again/,
          );
        },
        ["--host", middle.address],
        { prefix: middle.prefix },
      )),
});
