/** Backward Compatibility. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { namesIn } from "../lab.ts";
import { GOOD_RUN, packageOf, put, runJob, scenario } from "./lab.ts";

Deno.test("Backward Compatibility: Receive RTC transfer messages", () =>
  scenario(async ({ client, base, home, worker }) => {
    await client.say("PACKAGE_TYPE::train", "OUTPUT_DIR::models");
    await client.send(await put(join(home, "pkg.zip")));
    const said = await client.until(/^END_OF_FILE$/);
    assert.ok(said.includes("data of the package\n"));
    const result = said.findIndex((text) => /^FILE_META::trained_pkg\.zip:\d+:models$/.test(text));
    assert.ok(said.indexOf("TRAINING_JOBS_DONE") < result && result > 0, said.join("\n"));
    assert.match(said[result + 1]!, /^\d+ bytes$/);
    // No path was looked at, and the storage saw nothing of it.
    assert.doesNotMatch(worker.process.output, /checking the (input|output) path/);
    assert.deepEqual(await namesIn(base), []);
  }));

Deno.test("Backward Compatibility: Mixed transfer modes in same session", () =>
  scenario(async ({ client, base, home }) => {
    const stored = await packageOf({ centroid: GOOD_RUN }, "from the storage\n");
    const sent = await packageOf({ centroid: GOOD_RUN }, "over the channel\n");
    await put(join(base, "alice/pkg.zip"), stored);
    const first = await runJob(client, "pkg.zip", "out");
    assert.ok(first.includes("from the storage\n"), first.join("\n"));
    await client.say("PACKAGE_TYPE::train", "OUTPUT_DIR::models", "JOB_ID::job_00000002");
    await client.send(await put(join(home, "pkg.zip"), sent));
    const second = await client.until(/^JOB_/);
    assert.ok(second.includes("over the channel\n"), second.join("\n"));
    assert.match(second.at(-1)!, /^JOB_COMPLETE::job_00000002::\.$/);
    assert.deepEqual(await namesIn(join(base, "alice/out/models")), ["centroid"]);
    const third = await runJob(client, "pkg.zip", "out");
    assert.ok(third.includes("from the storage\n"), third.join("\n"));
    assert.deepEqual(third.filter((text) => / bytes$/.test(text)), []);
    assert.deepEqual(await namesIn(join(base, "alice/out/models")), ["centroid", "centroid-2"]);
  }));
