import assert from "node:assert/strict";
import { join } from "node:path";
import { fetchFromInbox, leaveInbox } from "../../client/results.ts";
import { listTree, makeTree, withTempDir } from "../storage/temp.ts";

Deno.test("inbox: results that came and were not put in their place are kept when it goes", () =>
  withTempDir(async (dir) => {
    const inbox = join(dir, ".inbox");
    await makeTree(inbox, { "results-1/models/a/best.ckpt": "weights", "4f2b/part": "half" });
    const arrived = { files: [], folders: [join(inbox, "results-1")] };
    const interrupted = AbortSignal.abort(new Error("Ctrl-C"));
    await assert.rejects(fetchFromInbox(arrived, inbox, dir, interrupted), /Ctrl-C/);
    const [kept] = await leaveInbox(inbox, dir);
    assert.equal(await Deno.readTextFile(join(kept!, "models/a/best.ckpt")), "weights");
    await assert.rejects(Deno.stat(inbox), Deno.errors.NotFound);
  }));

Deno.test("inbox: results that were put in their place are not kept twice", () =>
  withTempDir(async (dir) => {
    const inbox = join(dir, ".inbox");
    await makeTree(inbox, { "results-1/models/a/best.ckpt": "weights" });
    const arrived = { files: [], folders: [join(inbox, "results-1")] };
    await fetchFromInbox(arrived, inbox, dir, new AbortController().signal);
    assert.deepEqual(await leaveInbox(inbox, dir), []);
    assert.deepEqual(Object.keys(await listTree(dir)), ["models/", "models/a/", "models/a/best.ckpt"]);
  }));
