import assert from "node:assert/strict";
import { join } from "node:path";
import { storageSection } from "../../scripts/local_lab.ts";
import { BUCKET, findServer, withServer } from "../s3/server.ts";
import { modelIn, namesIn, packageIn, startWorker, withLab } from "./lab.ts";

/** Names of all files of a folder; the server keeps notes of its own in hidden ones. */
async function filesBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (name.startsWith(".")) continue;
    if (isDirectory) found.push(...await filesBelow(join(folder, name)));
    else found.push(name);
  }
  return found;
}

const isThere = findServer() !== undefined;
const skipped = isThere ? "" : " (skipped: no S3 server, tests/s3/install.sh installs it)";

Deno.test({
  name:
    `a backend in an object store: only the key travels, results come home, nothing is left in it${skipped}`,
  ignore: !isThere,
  fn: () =>
    withLab(async (test) => {
      const data = join(test.folder, "s3");
      await Deno.mkdir(data);
      await withServer(data, async ({ env }) => {
        const section = storageSection("cloud", `s3://${BUCKET}/lab`);
        const worker = await startWorker(test, { backends: section, env });
        const path = await packageIn(test.home, { paddingBytes: 40_000_000 });
        const output = join(test.folder, "out");
        const args = ["train", path, "--session-string", worker.session, "--output-dir", output];
        for (const runs of [1, 2]) {
          const run = await test.lab.runClient(section, args, { env });
          assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
          assert.equal(run.summary?.method, "copy");
          assert.ok(run.summary.channel_bytes < 64 * 1024);
          assert.equal((await namesIn(join(output, "models"))).length, runs);
        }
        await modelIn(join(output, "models"));
        await worker.process.stop();
        assert.deepEqual(await filesBelow(join(data, BUCKET)), []);
      });
    }),
});

Deno.test("an object store that is away is no backend: the data channel is used", () =>
  withLab(async (test) => {
    const environment = {
      AWS_ENDPOINT_URL_S3: "http://127.0.0.1:9",
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "nobody",
      AWS_SECRET_ACCESS_KEY: "nothing",
    };
    const section = storageSection("cloud", "s3://bucket/prefix");
    const worker = await startWorker(test, { backends: section, env: environment });
    const path = await packageIn(test.home);
    const args = [
      "train",
      path,
      "--session-string",
      worker.session,
      "--output-dir",
      join(test.folder, "out"),
    ];
    const run = await test.lab.runClient(section, args, { env: environment });
    assert.equal(run.code, 0, run.stderr);
    assert.equal(run.summary?.method, "rtc");
    assert.match(worker.process.output, /storage backend cloud .* is not there/);
  }));
