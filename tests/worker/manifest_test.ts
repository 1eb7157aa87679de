import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type JobResults, resultsSchema } from "../../protocol/jobs.ts";
import { MAX_LOG_BYTES } from "../../protocol/message.ts";
import { tellResults } from "../../worker/manifest.ts";
import { withLink } from "../rtc/link_lab.ts";
import { makeTree, withTempDir } from "../storage/temp.ts";
import { serve, until, withPlaces } from "./link_lab.ts";
import { packageOf, v2 } from "./session_lab.ts";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** What is told of results, one message after the other. */
async function told(...made: Parameters<typeof tellResults>[2]): Promise<JobResults[]> {
  const texts: string[] = [];
  await tellResults((text) => Promise.resolve(void texts.push(text)), "worker", made);
  return texts.map((text) => {
    assert.ok(new TextEncoder().encode(text).length < MAX_LOG_BYTES);
    return resultsSchema.parse(JSON.parse(text.slice("JOB_RESULTS::".length)));
  });
}

Deno.test("manifest: every file has name, size and hash; links outside are left out", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "models/a/best.ckpt": "weights", "p.slp": "labels", "secret": "s" });
    await Deno.symlink(join(dir, "secret"), join(dir, "models/a/link"));
    const made = ["models", "p.slp"].map((name) => ({ name, path: join(dir, name) }));
    assert.deepEqual(await told(...made), [{
      place: "worker",
      files: [
        { name: "models/a/best.ckpt", size: 7, sha256: sha256("weights") },
        { name: "p.slp", size: 6, sha256: sha256("labels") },
      ],
    }]);
  }));

Deno.test("manifest: what was there before the job is none of its results", () =>
  withTempDir(async (dir) => {
    await makeTree(dir, { "models/a/old": "1", "models/a/new": "2" });
    await Deno.utime(join(dir, "models/a/old"), 1_000, 1_000);
    const [list] = await told({ name: "models", path: join(dir, "models"), since: 2_000_000 });
    assert.deepEqual(list?.files.map(({ name }) => name), ["models/a/new"]);
  }));

Deno.test("manifest: many files come in several messages, each once", () =>
  withTempDir(async (dir) => {
    const names = Array.from({ length: 1_000 }, (_, index) => `models/${String(index).padStart(60, "x")}`);
    await makeTree(dir, Object.fromEntries(names.map((name) => [name, name])));
    const lists = await told({ name: "models", path: join(dir, "models") });
    assert.ok(lists.length > 1);
    assert.deepEqual(lists.flatMap(({ files }) => files.map(({ name }) => name)), names.toSorted());
  }));

Deno.test("manifest: results that are gone are no error", () =>
  withTempDir(async (dir) =>
    assert.deepEqual(await told({ name: "models", path: join(dir, "models") }), [])
  ));

for (const comesBack of [true, false]) {
  const name = comesBack ? "told with its end" : "not told to a client that would take it for output";
  Deno.test(`manifest: what a job has put on shared storage is ${name}`, () =>
    withPlaces((places) =>
      withLink(async ({ client, worker }) => {
        await Deno.mkdir(join(places.base, "alice"), { recursive: true });
        const run = "mkdir -p models/a && printf weights > models/a/best.ckpt";
        await Deno.writeFile(join(places.base, "alice/one.zip"), await packageOf("one", { a: run }));
        const running = serve(worker, places, { comesBack });
        for (const text of v2("one.zip", "one")) await client.send(text);
        const texts = (await until(client, /JOB_COMPLETE::/)).filter((text) => text.includes("JOB_RESULTS"));
        await client.close();
        await running;
        const file = { name: "models/a/best.ckpt", size: 7, sha256: sha256("weights") };
        const json = JSON.stringify({ place: "storage", files: [file] });
        assert.deepEqual(
          texts.map((text) => text.replace(/^JOB_EVENT::\d+::/, "")),
          comesBack ? [`JOB_RESULTS::${json}`] : [],
        );
      })
    ));
}
