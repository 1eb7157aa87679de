import assert from "node:assert/strict";
import { join } from "node:path";
import { GOOD_RUN, keptRuns, names, packageOf, v2, withSession, zipOf } from "./session_lab.ts";

/** A run that waits until a file is there. */
const WAITING_RUN = (file: string): string =>
  `echo waiting; while [ ! -e ${file} ]; do sleep 0.02; done; ${GOOD_RUN}`;

async function isGone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 300; tries++) {
    try {
      if (/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`))) return true;
    } catch {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  Deno.kill(pid, "SIGKILL");
  return false;
}

Deno.test("session: a job while one runs is refused, the first ends well", () =>
  withSession(async ({ dir, say, until, put, base }) => {
    const go = join(dir, "go");
    await put("alice/one.zip", await packageOf("one", { a: WAITING_RUN(go) }));
    await put("alice/two.zip", await packageOf("two", { b: GOOD_RUN }));
    await say(...v2("one.zip", "one", "job_00000001"));
    await until(/^waiting/);
    await say(...v2("two.zip", "two", "job_00000002"));
    assert.match((await until(/^JOB_FAILED/)).at(-1)!, /^JOB_FAILED::job_00000002::a job is running/);
    await Deno.writeTextFile(go, "");
    assert.match((await until(/^JOB_COMPLETE/)).at(-1)!, /^JOB_COMPLETE::job_00000001::one/);
    assert.deepEqual(names(join(base, "alice/one/models")), ["a"]);
  }));

Deno.test("session: a file sent while a job runs does not make the running job fail", () =>
  withSession(async ({ dir, say, sendBytes, until, put, scratch }) => {
    const go = join(dir, "go");
    await put("alice/one.zip", await packageOf("one", { a: WAITING_RUN(go) }));
    await say(...v2("one.zip", "one", "job_00000001"));
    await until(/^waiting/);
    await say("FILE_META::x.zip:5:False");
    await sendBytes(new Uint8Array(5));
    await say("END_OF_FILE", "USER_SUBDIR::x", "STORAGE_BACKEND::none");
    const refused = await until(/^BACKEND_NOT_AVAILABLE/);
    assert.ok(refused.some((each) => /a job is running/.test(each)));
    assert.ok(!refused.some((each) => each.startsWith("JOB_FAILED::job_00000001")), refused.join());
    await Deno.writeTextFile(go, "");
    assert.match((await until(/^JOB_COMPLETE/)).at(-1)!, /^JOB_COMPLETE::job_00000001::one/);
    assert.deepEqual(names(scratch).filter((name) => name.startsWith("received-")), []);
  }));

Deno.test("session: a file that was begun before a job and ends in it leaves nothing in the scratch folder", () =>
  withSession(async ({ dir, say, sendBytes, until, put, scratch, client, running }) => {
    const go = join(dir, "go");
    await put("alice/one.zip", await packageOf("one", { a: WAITING_RUN(go) }));
    const start = v2("one.zip", "one", "job_00000001");
    await say(...start.slice(0, 3), "FILE_META::x.zip:5:False");
    await sendBytes(new Uint8Array(5));
    await say(...start.slice(4));
    await until(/^waiting/);
    await say("END_OF_FILE");
    await until(/^JOB_FAILED/);
    await Deno.writeTextFile(go, "");
    await until(/^JOB_COMPLETE/);
    client.close();
    await running;
    assert.deepEqual(names(scratch), []);
  }));

Deno.test("session: when the client leaves, the running job ends with it", () =>
  withSession(async ({ say, until, put, client, running, scratch }) => {
    await put("alice/one.zip", await packageOf("one", { a: "echo pid $$; exec sleep 600" }));
    await say(...v2("one.zip", "one"));
    const pid = Number((await until(/^pid/)).at(-1)!.split(" ")[1]);
    client.close();
    await running;
    assert.ok(await isGone(pid));
    assert.deepEqual(names(scratch), []);
  }));

Deno.test("session: when sending begins to fail before the end is told, the job ends and run() does not throw", () =>
  withSession(async ({ say, until, put, running, workerNative }) => {
    await put("alice/one.zip", await packageOf("one", { a: "echo pid $$; exec sleep 600" }));
    await say(...v2("one.zip", "one"));
    const pid = Number((await until(/^pid/)).at(-1)!.split(" ")[1]);
    workerNative.broken = true;
    workerNative.deliver("STORAGE_BACKEND::vast");
    await new Promise((resolve) => setTimeout(resolve, 0));
    workerNative.end();
    const outcome = await running.then(() => "ended", (error) => `threw ${error}`);
    assert.ok(await isGone(pid), "the job was left behind");
    assert.equal(outcome, "ended");
  }));

Deno.test("session: who hears of a job's end finds nothing left of it, and may begin one of its name at once", () =>
  withSession(async ({ say, until, put, scratch }) => {
    const many = 'i=0; while [ $i -lt 3000 ]; do : > "file$i"; i=$((i + 1)); done';
    await put("alice/one.zip", await packageOf("one", { a: `${many}; ${GOOD_RUN}` }));
    for (let time = 0; time < 2; time++) {
      await say(...v2("one.zip", "one"));
      assert.match((await until(/^JOB_/)).at(-1)!, /^JOB_COMPLETE/);
      assert.deepEqual(names(scratch), []);
    }
  }));

Deno.test("session: a refusal that is too long to send is told all the same", () =>
  withSession(async ({ say, until, put, client, scratch, sendBytes }) => {
    await put("x", "");
    const bytes = await zipOf({ "t/track-script.sh": `sleap-nn track /${"x".repeat(70_000)}\n` });
    await say("JOB_ID::j", "PACKAGE_TYPE::track", `FILE_META::t.zip:${bytes.length}:False`);
    await sendBytes(bytes);
    await say("END_OF_FILE");
    const timer = setTimeout(() => client.close(), 3_000);
    const seen = await until(/^JOB_FAILED::j::/).catch(() => ["nothing was told"]);
    clearTimeout(timer);
    assert.match(seen.at(-1)!, /^JOB_FAILED/);
    assert.deepEqual(names(scratch), []);
  }));

Deno.test("session: results that cannot be put where they are wanted come over the channel", () =>
  withSession(async ({ say, until, put, base, dir, scratch, jobs }) => {
    // While the run lasts, the output folder becomes a link that leads out of the storage.
    const swap = `rm -rf ${base}/alice/out; ln -s ${dir} ${base}/alice/out; ${GOOD_RUN}`;
    await put("alice/pkg.zip", await packageOf("pkg", { a: swap }));
    await say(...v2("pkg.zip", "out"));
    const seen = await until(/^JOB_FAILED/);
    assert.ok(seen.includes("PATH_ERROR::Path outside shared storage: out"), seen.join());
    assert.ok(seen.some((each) => each.startsWith("FILE_META::trained_pkg.zip")));
    assert.deepEqual(names(dir), ["base", "scratch"]);
    // The client has them all.
    assert.deepEqual(await keptRuns(jobs, "job_1a2b3c4d"), []);
    assert.deepEqual(names(scratch), []);
  }));

Deno.test("session: a job id with steps in it does not lead a file out of the scratch folder", () =>
  withSession(async ({ say, until, put, base, dir }) => {
    const swap = `rm -rf ${base}/alice/out; ln -s ${dir} ${base}/alice/out; ${GOOD_RUN}`;
    await put("alice/pkg.zip", await packageOf("pkg", { a: swap }));
    await say(...v2("pkg.zip", "out", "x/../../escaped"));
    await until(/^JOB_FAILED/);
    assert.deepEqual(names(dir), ["base", "scratch"]);
  }));

Deno.test("session: models that lie on shared storage are not taken away when publishing fails", () =>
  withSession(async ({ say, until, put, base, dir }) => {
    const swap = `rm -rf ${base}/alice/out; ln -s ${dir} ${base}/alice/out; ${GOOD_RUN}`;
    await put("alice/pkg/train-script.sh", "sleap-nn train --config-name a.sh\n");
    await put("alice/pkg/a.sh", swap);
    await put("alice/pkg/models/earlier/best.ckpt", "precious");
    await say(...v2("pkg", "out"));
    await until(/^JOB_FAILED/);
    assert.deepEqual(names(join(base, "alice/pkg/models")), ["a", "earlier"]);
  }));
