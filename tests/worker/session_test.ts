import assert from "node:assert/strict";
import { join } from "node:path";
import { GOOD_RUN, names, packageOf, v2, withSession, zipOf } from "./session_lab.ts";

const VALIDATED = ["PATH_VALIDATED::backend", "PATH_VALIDATED::input", "PATH_VALIDATED::output"];

Deno.test("session: a storage-backend job as the Python client sends it", () =>
  withSession(async ({ say, until, put, base, scratch, status }) => {
    await put("alice/project/pkg.zip", await packageOf("pkg", { a: GOOD_RUN }));
    await say(...v2("project/pkg.zip", "project"));
    assert.deepEqual(await until(/^JOB_/), [
      ...VALIDATED,
      "TRAIN_JOB_START::a",
      "epoch 1\n",
      "TRAIN_JOB_END::a",
      "TRAINING_JOBS_DONE",
      "JOB_COMPLETE::job_1a2b3c4d::project::1::0",
    ]);
    assert.equal(
      await Deno.readTextFile(join(base, "alice/project/models/a/best.ckpt")),
      "weights\n",
    );
    await say("STORAGE_BACKEND::none");
    await until(/^BACKEND_NOT_AVAILABLE::none$/);
    assert.deepEqual(names(scratch), []);
    assert.deepEqual(status, ["job_1a2b3c4d", ""]);
  }));

Deno.test("session: a legacy job, five messages at once", () =>
  withSession(async ({ say, until, put, base }) => {
    await put("jobs/job_1/pkg.zip", await packageOf("pkg", { a: GOOD_RUN }));
    await say(
      "FILE_META::pkg.zip:1:False",
      "JOB_ID::job_1",
      "SHARED_INPUT_PATH::jobs/job_1/pkg.zip",
      "SHARED_OUTPUT_PATH::jobs/job_1",
      "SHARED_STORAGE_JOB::start",
    );
    const seen = await until(/^JOB_/);
    assert.deepEqual(seen.slice(0, 2), VALIDATED.slice(1));
    assert.equal(seen.at(-1), "JOB_COMPLETE::job_1::jobs/job_1::1::0");
    assert.deepEqual(names(join(base, "jobs/job_1/models")), ["a"]);
  }));

Deno.test("session: a job over the channel gives its results back", () =>
  withSession(async ({ say, sendBytes, until }) => {
    const bytes = await packageOf("pkg", { a: GOOD_RUN });
    await say("PACKAGE_TYPE::train", "OUTPUT_DIR::models", `FILE_META::pkg.zip:${bytes.length}:False`);
    for (let at = 0; at < bytes.length; at += 100) await sendBytes(bytes.subarray(at, at + 100));
    await say("END_OF_FILE");
    const seen = await until(/^JOB_/);
    assert.deepEqual(seen.slice(0, 4), [
      "TRAIN_JOB_START::a",
      "epoch 1\n",
      "TRAIN_JOB_END::a",
      "TRAINING_JOBS_DONE",
    ]);
    assert.match(seen[4]!, /^FILE_META::trained_pkg\.zip:\d+:models$/);
    assert.equal(`${seen[4]!.split(":")[3]} bytes`, seen[5]);
    assert.deepEqual(seen.slice(6), ["END_OF_FILE", "JOB_COMPLETE::None::."]);
  }));

Deno.test("session: a failed run does not keep the next from starting, and the end says so", () =>
  withSession(async ({ say, until, put, base }) => {
    await put("alice/pkg.zip", await packageOf("pkg", { a: "exit 3", b: GOOD_RUN }));
    await say(...v2("pkg.zip", "out"));
    const seen = await until(/^JOB_/);
    assert.ok(seen.includes("TRAIN_JOB_ERROR::a::3") && seen.includes("TRAIN_JOB_END::b"));
    assert.equal(seen.at(-1), "JOB_FAILED::job_1a2b3c4d::1 of 2 runs failed: a (exit code 3)");
    assert.deepEqual(names(join(base, "alice/out/models")), ["b"]);
  }));

Deno.test("session: unknown, malformed and raw texts end nothing", () =>
  withSession(async ({ say, until, running }) => {
    await say("NONSENSE", "NEW_TYPE::x", "ZMQ_CTRL::stop", "JOB_COMPLETE::a::b", "", "::");
    await say("FILE_META::no size");
    assert.match((await until(/./))[0]!, /^PATH_ERROR::Malformed FILE_META: expected/);
    await say("PACKAGE_TYPE::juggle", "STORAGE_BACKEND::vast");
    assert.match((await until(/^PATH_VALIDATED::backend$/))[0]!, /^PATH_ERROR::Malformed PACKAGE_TYPE/);
    assert.equal(await Promise.race([running, Promise.resolve("running")]), "running");
  }));

Deno.test("session: data without an announcement is refused once, a later file is taken", () =>
  withSession(async ({ say, sendBytes, until }) => {
    await sendBytes(new Uint8Array(5));
    await sendBytes(new Uint8Array(5));
    await say("END_OF_FILE", "STORAGE_BACKEND::vast");
    const seen = await until(/^PATH_VALIDATED/);
    assert.equal(seen.length, 2);
    assert.match(seen[0]!, /^JOB_FAILED::.*before any FILE_META/);
    const bytes = await packageOf("pkg", { a: GOOD_RUN });
    await say(`FILE_META::pkg.zip:${bytes.length}:False`);
    await sendBytes(bytes);
    await say("END_OF_FILE");
    assert.match((await until(/^JOB_/)).at(-1)!, /^JOB_COMPLETE/);
  }));

for (const [what, size] of [["short", 10], ["long", 3]] as const) {
  Deno.test(`session: a file that comes too ${what} fails, nothing is run, nothing is left`, () =>
    withSession(async ({ say, sendBytes, until, scratch }) => {
      await say(`FILE_META::pkg.zip:${size}:False`);
      await sendBytes(new Uint8Array(5));
      await say("END_OF_FILE", "STORAGE_BACKEND::vast");
      const seen = await until(/^PATH_VALIDATED/);
      assert.match(seen[0]!, /^JOB_FAILED::.*announced/);
      assert.equal(seen.length, 2);
      assert.deepEqual(names(scratch), []);
    }));
}

for (const name of ["../evil.zip", "/etc/evil.zip", "a\\b.zip"]) {
  Deno.test(`session: a file announced as ${name} is refused and nothing is written`, () =>
    withSession(async ({ dir, say, sendBytes, until, scratch }) => {
      await say(`FILE_META::${name}:5:False`);
      await sendBytes(new Uint8Array(5));
      await say("END_OF_FILE");
      assert.match((await until(/^JOB_FAILED/))[0]!, /^PATH_ERROR::Path outside shared storage: /);
      assert.deepEqual(names(dir), ["base", "scratch"]);
      assert.deepEqual(names(scratch), []);
    }));
}

Deno.test("session: a damaged package asks for another way", () =>
  withSession(async ({ say, until, put }) => {
    await put("alice/pkg.zip", "this is no zip");
    await say(...v2("pkg.zip", "."));
    const seen = await until(/^JOB_/);
    assert.ok(seen.includes("PATH_ERROR::File corrupted or invalid format: pkg.zip"));
    assert.match(seen.at(-1)!, /^JOB_FAILED::job_1a2b3c4d::/);
  }));

Deno.test("session: a start without paths is answered, also after a job that had them", () =>
  withSession(async ({ say, until, put }) => {
    await say("SHARED_STORAGE_JOB::start");
    const text = "Missing input or output path for shared storage job";
    assert.deepEqual(await until(/^JOB_/), [`PATH_ERROR::${text}`, `JOB_FAILED::None::${text}`]);
    await put("alice/pkg.zip", await packageOf("pkg", { a: GOOD_RUN }));
    await say(...v2("pkg.zip", "."));
    assert.match((await until(/^JOB_/)).at(-1)!, /^JOB_COMPLETE/);
    await say("SHARED_STORAGE_JOB::start");
    assert.deepEqual((await until(/^JOB_/))[0], `PATH_ERROR::${text}`);
  }));

Deno.test("session: the id of a finished job is not that of the next, which has none", () =>
  withSession(async ({ say, sendBytes, until, put }) => {
    const bytes = await packageOf("pkg", { a: GOOD_RUN });
    await put("alice/pkg.zip", bytes);
    await say(...v2("pkg.zip", "."));
    assert.match((await until(/^JOB_/)).at(-1)!, /^JOB_COMPLETE::job_1a2b3c4d/);
    await say("PACKAGE_TYPE::train", "OUTPUT_DIR::models", `FILE_META::pkg.zip:${bytes.length}:False`);
    await sendBytes(bytes);
    await say("END_OF_FILE");
    assert.match((await until(/^JOB_/)).at(-1)!, /^JOB_COMPLETE::None::/);
  }));

Deno.test("session: a failed job without an id is called None, as one that completes", () =>
  withSession(async ({ say, sendBytes, until }) => {
    const bytes = await packageOf("pkg", { a: "exit 1" });
    await say(`FILE_META::pkg.zip:${bytes.length}:False`);
    await sendBytes(bytes);
    await say("END_OF_FILE");
    assert.match((await until(/^JOB_/)).at(-1)!, /^JOB_FAILED::None::1 of 1 runs failed/);
  }));

Deno.test("session: inference output of any length goes out in messages of 65536 bytes at most", () =>
  withSession(async ({ say, sendBytes, until }) => {
    const line = "é".repeat(50_000);
    const bytes = await zipOf({
      "t/track-script.sh": "sleap-nn track run.sh\n",
      "t/run.sh": "cat line; echo done > predictions.slp\n",
      "t/line": `${line}\n`,
    });
    await say("PACKAGE_TYPE::track", `FILE_META::t.zip:${bytes.length}:false`);
    await sendBytes(bytes);
    await say("END_OF_FILE");
    const seen = await until(/^JOB_/);
    assert.match(seen.at(-1)!, /^JOB_COMPLETE/);
    assert.ok(seen.includes("INFERENCE_JOB_END::inference"));
    assert.match(seen.find((each) => each.startsWith("FILE_META"))!, /^FILE_META::predictions\.slp:5:/);
  }));

Deno.test("session: the next job may begin as soon as the end of one is told, however slow that leaves", () =>
  withSession(async ({ say, put, until, workerNative }) => {
    await put("alice/pkg.zip", await packageOf("pkg", { a: GOOD_RUN }));
    const send = workerNative.sendMessage.bind(workerNative);
    workerNative.sendMessage = (text): boolean => {
      // As with a full queue: the word is on its way, and whoever said it waits.
      if (text.startsWith("JOB_COMPLETE::job_1::")) workerNative.buffered = 16 * 1024 * 1024;
      return send(text);
    };
    await say(...v2("pkg.zip", "out", "job_1"));
    await until(/^JOB_COMPLETE::job_1::/);
    await say(...v2("pkg.zip", "out", "job_2"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    workerNative.drain();
    assert.match((await until(/^JOB_(COMPLETE|FAILED)/)).at(-1)!, /^JOB_COMPLETE::job_2::/);
  }));
