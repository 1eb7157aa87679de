import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { withLab } from "./lab.ts";
import type { Footprint } from "./reconnects.ts";
import { channelWorker } from "./transfer.ts";

/** What a process has open after a number of connections. */
interface Look {
  round: number;
  client: Footprint;
  worker: Footprint;
}

/** What 80 connections may add, in MiB: what waits to be collected. */
const GROWTH = 32;
/** Descriptors and threads come and go by so many; one left behind by each connection would be 80. */
const SLACK = 8;

Deno.test({
  name: "100 connections one after the other leave no memory, file descriptor or thread behind",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withLab(async (test) => {
      const worker = await channelWorker(test);
      const script = fileURLToPath(new URL("reconnects.ts", import.meta.url));
      const { httpUrl, wsUrl } = test.lab;
      const rounds = ["20", "100"];
      const args = [httpUrl, wsUrl, worker.session, String(worker.process.pid), ...rounds];
      const process = test.lab.spawn([Deno.execPath(), "run", "-A", "--no-check", script, ...args]);
      assert.equal(await process.exited(), 0, `${process.output}\n${worker.process.output}`);
      assert.doesNotMatch(worker.process.output, /is lost; waiting for it/);
      const looks = process.stdout.map((line): Look => JSON.parse(line));
      console.log(process.stdout.join("\n"));
      const [first, last] = [looks[0]!, looks.at(-1)!];
      for (const side of ["client", "worker"] as const) {
        const [before, after] = [first[side], last[side]];
        assert.ok(after.descriptors <= before.descriptors + SLACK, `${side}: file descriptors`);
        assert.ok(after.threads <= before.threads + SLACK, `${side}: threads`);
        assert.ok(after.memory <= before.memory + GROWTH, `${side}: memory`);
      }
    }),
});
