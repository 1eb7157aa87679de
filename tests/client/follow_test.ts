import assert from "node:assert/strict";
import { join } from "node:path";
import type { Conversation } from "../../client/conversation.ts";
import { followJob } from "../../client/follow.ts";
import { WorkerLostError } from "../../client/job_error.ts";
import { TransferError } from "../../rtc/transfer_error.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { follow, keepingScreen } from "./scripted.ts";

const FALSE_FAILURE = "JOB_FAILED::j::expected str, bytes or os.PathLike object, not NoneType";
const RUN = ["TRAIN_JOB_START::a", "TRAIN_JOB_END::a", "TRAINING_JOBS_DONE"];
const FAILED_RUN = ["TRAIN_JOB_START::a", "TRAIN_JOB_ERROR::a::1", "TRAINING_JOBS_DONE"];
const PYTHON = { isOurs: false };

/** What a worker says, under which conditions, and the end it makes. */
const ENDS: readonly [string, readonly string[], { isOurs?: boolean; rtc?: boolean }, string][] = [
  ["complete", [...RUN, "JOB_COMPLETE::j::out"], {}, "complete"],
  ["complete with counts", [...RUN, "JOB_COMPLETE::j::out::3::1.5"], {}, "complete"],
  ["complete after errors, as Python says it", [...FAILED_RUN, "JOB_COMPLETE::j::out"], PYTHON, "failed"],
  ["failed", [...RUN, "JOB_FAILED::j::broken"], {}, "failed"],
  ["failed without an id", ["JOB_FAILED::Disk space exhausted on shared storage"], {}, "failed"],
  ["Python's false failure after success", [...RUN, FALSE_FAILURE, FALSE_FAILURE], PYTHON, "complete"],
  ["the same text after a failed run", [...FAILED_RUN, FALSE_FAILURE], PYTHON, "failed"],
  ["the same text before the runs are done", ["TRAIN_JOB_START::a", FALSE_FAILURE], PYTHON, "failed"],
  ["the same text without any run", ["TRAINING_JOBS_DONE", FALSE_FAILURE], PYTHON, "failed"],
  ["the same text from our worker", [...RUN, FALSE_FAILURE], {}, "failed"],
  ["a package that cannot be read", ["PATH_ERROR::File corrupted: x", "JOB_FAILED::j::x"], {}, "retry"],
  ["the same from a Python worker", ["PATH_ERROR::File corrupted: x"], PYTHON, "retry"],
  ["the same over the channel", ["PATH_ERROR::x", "JOB_FAILED::j::x"], { rtc: true }, "failed"],
  ["the same after a run began", [RUN[0]!, "PATH_ERROR::x", "JOB_FAILED::j::x"], {}, "failed"],
  ["no track script", ["INFERENCE_ERROR::No track script found"], PYTHON, "failed"],
  ["inference", ["INFERENCE_START", "INFERENCE_JOB_START::inference", "JOB_COMPLETE::j::o"], {}, "complete"],
];

for (const [name, said, options, type] of ENDS) {
  Deno.test(`follow: ${name} ends in ${type}`, () =>
    withTempDir(async (dir) => {
      const { end } = await follow(dir, said, options);
      assert.equal(end.type, type);
    }));
}

Deno.test("follow: the end has the worker's counts, in bytes, where it tells both", () =>
  withTempDir(async (dir) => {
    const arrived = { files: [], folders: [] };
    const counted = await follow(dir, [...RUN, "JOB_COMPLETE::j::out::3::1.5"]);
    assert.deepEqual(counted.end, { type: "complete", arrived, counts: { files: 3, bytes: 1_500_000 } });
    const half = await follow(dir, [...RUN, "JOB_COMPLETE::j::out::3"]);
    assert.deepEqual(half.end, { type: "complete", arrived });
  }));

Deno.test("follow: a connection that ends before the job is a lost worker", () =>
  withTempDir(async (dir) => {
    await assert.rejects(follow(dir, []), WorkerLostError);
    await assert.rejects(follow(dir, RUN), (error) =>
      error instanceof WorkerLostError && /during the job/.test(error.message));
  }));

Deno.test("follow: raw lines are shown and never taken for messages", () =>
  withTempDir(async (dir) => {
    const lines = ["epoch 1\n", "\r10%", " JOB_COMPLETE::x::y\n", "see FILE_META::a:1:b\n"];
    const { end, events } = await follow(dir, [RUN[0]!, ...lines, "TRACK_LOG:frame 1", "JOB_COMPLETE::j::o"]);
    assert.equal(end.type, "complete");
    const logged = events.flatMap((event) => event.event === "log" ? [event.text] : []);
    assert.deepEqual(logged, [...lines, "frame 1"]);
  }));

Deno.test("follow: runs are shown, and the start is told once", () =>
  withTempDir(async (dir) => {
    const said = [...RUN.slice(0, 2), "TRAIN_JOB_START::b", "TRAIN_JOB_ERROR::b::-9", "JOB_COMPLETE::j::o"];
    const { end, events, started } = await follow(dir, said);
    assert.equal(started, 1);
    assert.deepEqual(events, [
      { event: "run_started", name: "a" },
      { event: "run_ended", name: "a", exit_code: 0 },
      { event: "run_started", name: "b" },
      { event: "run_ended", name: "b", exit_code: -9 },
    ]);
    assert.ok(end.type === "failed" && /b \(exit code -9\)/.test(end.text));
  }));

const FILE = ["FILE_META::trained_a.zip:4:models", Uint8Array.of(1, 2), Uint8Array.of(3, 4), "END_OF_FILE"];

Deno.test("follow: over the channel a Python worker's file is the end, our worker's is not", () =>
  withTempDir(async (dir) => {
    const python = await follow(dir, [...RUN, ...FILE], { isOurs: false, rtc: true });
    const path = join(await Deno.realPath(dir), "trained_a.zip");
    assert.deepEqual(python.end, { type: "complete", arrived: { files: [path], folders: [] } });
    assert.deepEqual(await Deno.readFile(path), Uint8Array.of(1, 2, 3, 4));
    const ours = await follow(dir, [...RUN, ...FILE, "JOB_FAILED::j::half"], { rtc: true });
    assert.deepEqual(ours.end, { type: "failed", text: "half", arrived: { files: [path], folders: [] } });
  }));

Deno.test("follow: a file that is cut short leaves nothing in the inbox", () =>
  withTempDir(async (dir) => {
    await assert.rejects(follow(dir, [FILE[0]!, FILE[1]!, "END_OF_FILE"]), TransferError);
    await assert.rejects(follow(dir, [FILE[0]!, FILE[1]!]), WorkerLostError);
    await assert.rejects(follow(dir, [FILE[0]!, new Uint8Array(5)]), TransferError);
    assert.deepEqual([...Deno.readDirSync(dir)], []);
  }));

Deno.test("follow: a file announced anew after one that broke off is taken", () =>
  withTempDir(async (dir) => {
    const said = [...FILE.slice(0, 2), "FILE_META::b.bin:3:models", new Uint8Array(3), "END_OF_FILE"];
    const { end } = await follow(dir, [...said, "JOB_FAILED::j::sent again"], { rtc: true });
    assert.deepEqual(end.type === "failed" && end.arrived.files, [join(await Deno.realPath(dir), "b.bin")]);
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), ["b.bin"]);
  }));

for (const name of ["../evil", "/etc/evil", "sub/../../evil", ".."]) {
  Deno.test(`follow: a file called ${name} does not leave the inbox`, () =>
    withTempDir(async (dir) => {
      const inbox = join(dir, "inbox");
      await Deno.mkdir(inbox);
      const said = [`FILE_META::${name}:1:models`, new Uint8Array(1), "END_OF_FILE", "JOB_COMPLETE::j::o"];
      await follow(inbox, said).catch(() => {});
      assert.deepEqual([...Deno.readDirSync(dir)].map((each) => each.name), ["inbox"]);
    }));
}

/** A worker that says this and then nothing; limits are kept instead of waited for. */
function silent(
  said: readonly { type: string; name?: string }[],
  limits: (number | undefined)[],
): Conversation {
  const left = [...said];
  const next = (limitMs?: number): Promise<unknown> => {
    limits.push(limitMs);
    return Promise.resolve(left.shift());
  };
  return { next } as unknown as Conversation;
}

Deno.test("follow: a silent Python worker is given up before and after the runs, never during them", () =>
  withTempDir(async (inbox) => {
    const limits: (number | undefined)[] = [];
    const [screen, signal] = [keepingScreen(), new AbortController().signal];
    const onStart = (): void => {};
    const options = { screen, jobId: "job_1a2b3c4d", isOurs: false, rtc: true, inbox, onStart, signal };
    const before = await followJob(silent([], limits), options);
    assert.ok(before.type === "failed" && /silent before the job began/.test(before.text));
    const said = [{ type: "TRAIN_JOB_START", name: "a" }, { type: "TRAINING_JOBS_DONE" }];
    const after = await followJob(silent(said, limits), options);
    assert.ok(after.type === "failed" && /sent no results/.test(after.text));
    assert.deepEqual(limits, [15 * 60_000, 15 * 60_000, undefined, 10 * 60_000]);
  }));

Deno.test("follow: an abort ends it with its reason", () =>
  withTempDir(async (dir) => {
    const reason = new Error("enough");
    await assert.rejects(follow(dir, RUN, { signal: AbortSignal.abort(reason) }), reason);
  }));
