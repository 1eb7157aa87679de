import assert from "node:assert/strict";
import { join } from "node:path";
import type { ClientRun } from "../../scripts/local_lab.ts";
import { clientConfig, namesIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";

/** The worker sees a storage of its own, which holds what `fill` puts there. */
async function trainWithOtherMount(
  test: TestLab,
  fill: (from: string, to: string) => Promise<void>,
): Promise<string> {
  await Deno.remove(test.workerMount);
  await Deno.mkdir(join(test.workerMount, "alice"), { recursive: true });
  const path = await packageIn(join(test.clientMount, "alice"));
  await fill(path, join(test.workerMount, "alice/pkg.zip"));
  const worker = await startWorker(test);
  const args = ["train", path, "--session-string", worker.session, "--output-dir", test.home];
  const run = await test.lab.runClient(clientConfig(test), args);
  assert.equal(run.code, 0, run.stderr);
  assert.equal(run.summary?.method, "rtc");
  assert.deepEqual(await namesIn(join(test.workerMount, "alice")), ["pkg.zip"], "nothing is left there");
  return whyOf(run);
}

function whyOf({ events }: ClientRun): string {
  return events.flatMap((event) => event.event === "method" ? [event.why] : []).at(-1) ?? "";
}

Deno.test("a worker's file of another size is not trusted, and it is said in what it differs", () =>
  withLab(async (test) => {
    const why = await trainWithOtherMount(test, async (from, to) => {
      await Deno.writeFile(to, (await Deno.readFile(from)).subarray(1));
    });
    assert.match(
      why,
      /in place did not work: the worker sees another file under this path: the size is \d+ there/,
    );
  }));

Deno.test("a worker's file of another time is not trusted", () =>
  withLab(async (test) => {
    const why = await trainWithOtherMount(test, async (from, to) => {
      await Deno.copyFile(from, to);
      await Deno.utime(to, new Date(0), new Date("2020-01-01T00:00:00Z"));
    });
    assert.match(why, /it was modified \S+ there, 2020-01-01T00:00:00\.000Z here/);
  }));

Deno.test("a worker's file of the same size and time but other content is not trusted", () =>
  withLab(async (test) => {
    const why = await trainWithOtherMount(test, async (from, to) => {
      const bytes = await Deno.readFile(from);
      bytes[bytes.length - 40]! ^= 1;
      await Deno.writeFile(to, bytes);
      const { mtime } = await Deno.stat(from);
      await Deno.utime(to, mtime!, mtime!);
    });
    assert.match(why, /the content differs at byte 0/);
  }));

Deno.test("an equal copy on another storage is not the same storage: the nonce is not seen there", () =>
  withLab(async (test) => {
    const why = await trainWithOtherMount(test, async (from, to) => {
      await Deno.copyFile(from, to);
      const { mtime } = await Deno.stat(from);
      await Deno.utime(to, mtime!, mtime!);
    });
    assert.match(why, /a file that was just written there is not seen here/);
  }));

Deno.test("where nobody has configured it, the mapping of two mount points is found and printed", () =>
  withLab(async (test) => {
    const { lab, clientMount, storage } = test;
    const worker = await startWorker(test);
    const path = await packageIn(join(clientMount, "alice/project"));
    const config = await lab.writeConfig("");
    const { fromSource } = await import("../../scripts/local_lab.ts");
    const run = (file: string): ReturnType<typeof lab.spawn> => {
      const command = [...fromSource("client/main.ts"), "config", "suggest", file];
      const flags = ["--config", config, "--session-string", worker.session];
      return lab.spawn([...command, ...flags], { env: lab.environment });
    };
    const found = run(path);
    assert.equal(await found.exited(), 0, found.output);
    assert.equal(found.stdout.join("\n"), `[storage.vast]\nbase_path = ${JSON.stringify(storage)}\n`);
    assert.deepEqual(await namesIn(join(storage, "alice/project")), ["pkg.zip"], "no nonce is left");
    const elsewhere = run(await packageIn(test.home));
    assert.equal(await elsewhere.exited(), 1);
    assert.match(elsewhere.stderr.join("\n"), /error: no storage backend of the worker holds/);
  }));
