import assert from "node:assert/strict";
import { join } from "node:path";
import { followJob } from "../../client/follow.ts";
import { RefusedError, WorkerLostError } from "../../client/job_error.ts";
import { newJobId, submit } from "../../client/submit.ts";
import { StorageConfig } from "../../storage/backend.ts";
import { Jobs } from "../../worker/jobs.ts";
import { Session } from "../../worker/session.ts";
import { StorageFlow } from "../../worker/storage_flow.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { GOOD_RUN, JOB, names, packageOf } from "../worker/session_lab.ts";
import { AGREE, type Answers, play, submissionOf } from "./scripted.ts";

/** Calls a test with a folder in which `base/alice/project/pkg.zip`, `home/pkg.zip` and `out` are. */
function withPlaces(test: (dir: string) => Promise<void>): Promise<void> {
  return withTempDir(async (made) => {
    const dir = await Deno.realPath(made);
    for (const folder of ["base/alice/project", "home", "out"]) {
      await Deno.mkdir(join(dir, folder), { recursive: true });
    }
    for (const folder of ["base/alice/project", "home"]) {
      await Deno.writeTextFile(join(dir, folder, "pkg.zip"), "12345");
    }
    await test(dir);
  });
}

const IN_PLACE = { method: "in place", backend: "vast", why: "" } as const;
const HEAD = [
  "STORAGE_BACKEND::vast",
  "USER_SUBDIR::alice",
  "JOB_ID::job_1a2b3c4d",
  "FILE_META::pkg.zip:5:False",
];

Deno.test("submit: in place, results wanted beside the package", () =>
  withPlaces(async (dir) => {
    const project = join(dir, "base/alice/project");
    const { submission, near, far } = submissionOf(dir, join(project, "pkg.zip"), project);
    const heard = play(far, AGREE);
    const started = await submit(submission, IN_PLACE);
    near.close();
    await far.closed;
    assert.deepEqual(heard, [
      ...HEAD,
      "SHARED_INPUT_PATH::project/pkg.zip",
      "SHARED_OUTPUT_PATH::project",
      "SHARED_STORAGE_JOB::start",
    ]);
    assert.deepEqual(started.resultFolders, [join(project, "models")]);
    assert.equal(started.jobFolder, undefined);
  }));

Deno.test("submit: in place, results wanted elsewhere go through a folder of the job", () =>
  withPlaces(async (dir) => {
    const { submission, near, far } = submissionOf(
      dir,
      join(dir, "base/alice/project/pkg.zip"),
      join(dir, "out"),
    );
    const heard = play(far, AGREE);
    const { jobFolder } = await submit(submission, IN_PLACE);
    near.close();
    assert.ok(heard.includes("SHARED_OUTPUT_PATH::jobs/job_1a2b3c4d"));
    assert.equal(jobFolder, join(dir, "base/alice/jobs/job_1a2b3c4d"));
    assert.ok((await Deno.stat(jobFolder!)).isDirectory);
  }));

Deno.test("submit: a copy lies in a folder of the job before the worker is asked", () =>
  withPlaces(async (dir) => {
    const { submission, near, far } = submissionOf(dir, join(dir, "home/pkg.zip"), join(dir, "out"));
    const heard = play(far, AGREE);
    const attempt = { method: "copy", backend: "vast", folder: join(dir, "base/alice"), why: "" } as const;
    const { jobFolder } = await submit(submission, attempt);
    near.close();
    await far.closed;
    assert.deepEqual(heard, [
      ...HEAD,
      "SHARED_INPUT_PATH::jobs/job_1a2b3c4d/pkg.zip",
      "SHARED_OUTPUT_PATH::jobs/job_1a2b3c4d",
      "SHARED_STORAGE_JOB::start",
    ]);
    assert.deepEqual(names(jobFolder!), [".sleap-rtc-running", "pkg.zip"]);
  }));

Deno.test("submit: the legacy flow says all at once and takes the first answer", () =>
  withPlaces(async (dir) => {
    const { submission, near, far } = submissionOf(dir, join(dir, "home/pkg.zip"), join(dir, "out"));
    const heard = play(far, (text) => text.startsWith("SHARED_STORAGE_JOB") ? ["PATH_VALIDATED::input"] : []);
    await submit(submission, { method: "copy", legacyRoot: join(dir, "base"), why: "" });
    near.close();
    await far.closed;
    assert.deepEqual(heard.toSorted(), [
      "FILE_META::pkg.zip:5:False",
      "JOB_ID::job_1a2b3c4d",
      "SHARED_INPUT_PATH::jobs/job_1a2b3c4d/pkg.zip",
      "SHARED_OUTPUT_PATH::jobs/job_1a2b3c4d",
      "SHARED_STORAGE_JOB::start",
    ]);
  }));

Deno.test("submit: over the channel", () =>
  withPlaces(async (dir) => {
    const { submission, near, far, events } = submissionOf(dir, join(dir, "home/pkg.zip"), join(dir, "out"));
    const heard = play(far, () => []);
    const started = await submit(submission, { method: "rtc", why: "" });
    near.close();
    await far.closed;
    assert.deepEqual(heard.filter((text) => !text.startsWith("JOB_ID")), [
      "PACKAGE_TYPE::train",
      "OUTPUT_DIR::models",
      "FILE_META::pkg.zip:5:False",
      "5 bytes",
      "END_OF_FILE",
    ]);
    const { resultFolders, jobFolder } = started;
    assert.deepEqual([resultFolders, jobFolder], [[], undefined]);
    assert.deepEqual(events.at(-1), { event: "progress", what: "sending the package", done: 5, total: 5 });
  }));

/** Answers that refuse one message. */
function refusing(keyword: string, answer: string): Answers {
  return (text) => text.startsWith(keyword) ? [answer] : AGREE(text);
}

for (
  const [keyword, answer] of [
    ["STORAGE_BACKEND", "BACKEND_NOT_AVAILABLE::vast"],
    ["SHARED_INPUT_PATH", "PATH_ERROR::Input path does not exist: x"],
    ["SHARED_OUTPUT_PATH", "PATH_ERROR::Path outside shared storage: x"],
    ["SHARED_OUTPUT_PATH", "JOB_FAILED::job_1a2b3c4d::x"],
  ] as const
) {
  Deno.test(`submit: ${answer} to ${keyword} is a refusal, and nothing is left on the storage`, () =>
    withPlaces(async (dir) => {
      const { submission, near, far } = submissionOf(dir, join(dir, "home/pkg.zip"), join(dir, "out"));
      const heard = play(far, refusing(keyword, answer));
      const attempt = { method: "copy", backend: "vast", folder: join(dir, "base/alice"), why: "" } as const;
      await assert.rejects(submit(submission, attempt), RefusedError);
      near.close();
      assert.ok(!heard.includes("SHARED_STORAGE_JOB::start"));
      assert.deepEqual(names(join(dir, "base/alice/jobs")), []);
    }));
}

Deno.test("submit: the late answer to an earlier question is not taken for that to the next", () =>
  withPlaces(async (dir) => {
    const project = join(dir, "base/alice/project");
    const { submission, near, far } = submissionOf(dir, join(project, "pkg.zip"), project);
    const answers: Answers = (text) => {
      if (text.startsWith("STORAGE_BACKEND")) return ["PATH_VALIDATED::backend", "PATH_VALIDATED::backend"];
      return text.startsWith("SHARED_OUTPUT_PATH") ? ["PATH_ERROR::Permission denied: project"] : AGREE(text);
    };
    play(far, answers);
    await assert.rejects(submit(submission, IN_PLACE), RefusedError);
    near.close();
  }));

Deno.test("submit: a worker that leaves is lost, an abort is its reason, and nothing is left", () =>
  withPlaces(async (dir) => {
    const attempt = { method: "copy", backend: "vast", folder: join(dir, "base/alice"), why: "" } as const;
    const lost = submissionOf(dir, join(dir, "home/pkg.zip"), join(dir, "out"));
    lost.far.close();
    await assert.rejects(submit(lost.submission, attempt), WorkerLostError);
    const reason = new Error("enough");
    const abort = new AbortController();
    const aborted = submissionOf(dir, join(dir, "home/pkg.zip"), join(dir, "out"), abort.signal);
    play(aborted.far, () => (abort.abort(reason), []));
    await assert.rejects(submit(aborted.submission, attempt), reason);
    aborted.near.close();
    assert.deepEqual(names(join(dir, "base/alice/jobs")), []);
  }));

Deno.test("submit: a path that the wire format cannot carry is refused before anything is said", () =>
  withPlaces(async (dir) => {
    const path = join(dir, "base/alice/a::b.zip");
    await Deno.writeTextFile(path, "x");
    const { submission, near, far } = submissionOf(dir, path, join(dir, "base/alice"));
    const heard = play(far, AGREE);
    await assert.rejects(submit(submission, IN_PLACE), RefusedError);
    near.close();
    await far.closed;
    assert.deepEqual(heard, []);
  }));

Deno.test("submit: after a refused legacy attempt the job runs over the channel and is not taken for failed", () =>
  withPlaces(async (dir) => {
    const path = join(dir, "home/pkg.zip");
    await Deno.writeFile(path, await packageOf("pkg", { a: GOOD_RUN }));
    const { submission, near, far } = submissionOf(dir, path, join(dir, "out"));
    const scratch = join(dir, "scratch");
    await Deno.mkdir(scratch);
    const storage = new StorageFlow(new StorageConfig([]), undefined, "client");
    const folder = join(dir, "jobs");
    await Deno.mkdir(folder);
    const jobs = new Jobs({ folder, scratch, settings: JOB, gpus: [], onChange: () => {} });
    const running = new Session(far, {
      scratch,
      incoming: scratch,
      storage,
      jobs,
      room: "room",
      comesBack: false,
      visits: false,
    })
      .run();
    await assert.rejects(
      submit(submission, { method: "copy", legacyRoot: join(dir, "base"), why: "" }),
      RefusedError,
    );
    await submit({ ...submission, jobId: "job_0000beef" }, { method: "rtc", why: "" });
    const { conversation, screen, signal } = submission;
    const inbox = join(dir, "out");
    const end = await followJob(conversation, {
      screen,
      jobId: "job_0000beef",
      isOurs: true,
      rtc: true,
      inbox,
      onStart: () => {},
      signal,
    });
    near.close();
    await running;
    assert.deepEqual(end, {
      type: "complete",
      arrived: { files: [join(inbox, "trained_pkg.zip")], folders: [] },
    });
  }));

Deno.test("submit: job ids are as the Python client makes them", () => {
  assert.match(newJobId(), /^job_[0-9a-f]{8}$/);
  assert.notEqual(newJobId(), newJobId());
});
