import assert from "node:assert/strict";
import { join } from "node:path";
import type { Link } from "../../rtc/link.ts";
import { withLink } from "../rtc/link_lab.ts";
import { type Places, serve, until, withPlaces } from "./link_lab.ts";
import { Jobs, JOURNAL } from "../../worker/jobs.ts";
import { recoverJobs } from "../../worker/recover.ts";
import type { WorkerJob } from "../../worker/worker_job.ts";
import { GOOD_RUN, JOB, names, packageOf, v2 } from "./session_lab.ts";

/** Calls a test with a link to a session that knows its jobs again. */
function withSessionOf(places: Places, test: (link: Link) => Promise<void>, visits = false): Promise<void> {
  return withLink(async ({ client, worker }) => {
    const running = serve(worker, places, { comesBack: true, visits });
    try {
      await test(client);
    } finally {
      await client.close();
      await running;
    }
  });
}

async function putPackage({ base }: Places, run: string): Promise<void> {
  await Deno.mkdir(join(base, "alice"), { recursive: true });
  await Deno.writeFile(join(base, "alice/one.zip"), await packageOf("one", { a: run }));
}

const attach = (id: string, after: number): string =>
  `JOB_ATTACH::${JSON.stringify({ id, after, results: true })}`;

Deno.test("session: a job goes on without its client, and is told from the last event that was seen", () =>
  withPlaces(async (places) => {
    const go = join(places.dir, "go");
    await putPackage(places, `echo waiting; while [ ! -e ${go} ]; do sleep 0.02; done; echo on; ${GOOD_RUN}`);
    let seen = 0;
    await withSessionOf(places, async (link) => {
      for (const text of v2("one.zip", "one")) await link.send(text);
      const last = (await until(link, /waiting/)).at(-1)!;
      seen = Number(last.split("::")[1]);
    });
    assert.equal(places.jobs.running.length, 1);
    await withSessionOf(places, async (link) => {
      await link.send("JOBS_LIST");
      const [listed] = JSON.parse((await until(link, /^JOBS::/)).at(-1)!.slice("JOBS::".length));
      assert.deepEqual([listed.id, listed.state, listed.name], ["job_1a2b3c4d", "running", "one.zip"]);
      await link.send(attach("job_1a2b3c4d", seen));
      assert.match((await until(link, /^JOB_STATE/)).at(-1)!, /"state":"running"/);
      await Deno.writeTextFile(go, "");
      const told = await until(link, /JOB_COMPLETE/);
      assert.equal(told[0], `JOB_EVENT::${seen + 1}::on\n`);
      assert.ok(!told.some((text) => text.includes("waiting")));
    }, true);
    await places.jobs.idle();
  }));

Deno.test("session: a visitor begins no job, and a job that nobody knows is told as such", () =>
  withPlaces(async (places) => {
    await putPackage(places, GOOD_RUN);
    await withSessionOf(places, async (link) => {
      for (const text of v2("one.zip", "one")) await link.send(text);
      assert.match(
        (await until(link, /^JOB_FAILED/)).at(-1)!,
        /this connection is for looking at jobs: it begins none/,
      );
      for (const text of [attach("job_x", 0), "JOB_STOP::job_x", "JOB_CANCEL::job_x"]) {
        await link.send(text);
        assert.equal((await until(link, /^JOB_/)).at(-1), "JOB_UNKNOWN::job_x");
      }
      await link.send("JOB_ATTACH::{}");
      assert.match((await until(link, /^JOB_FAILED/)).at(-1)!, /JOB_ATTACH breaks the rules/);
    }, true);
    assert.deepEqual(places.jobs.running, []);
  }));

Deno.test("session: jobs of another room are not listed", () =>
  withPlaces(async (places) => {
    const { jobs } = places;
    const message = { type: "JOB_COMPLETE", id: "j", path: "." } as const;
    const job = await jobs.start({
      id: "j",
      name: "p.zip",
      room: "elsewhere",
      run: () => Promise.resolve({ end: "complete", message }),
    });
    await job.ended;
    assert.deepEqual(jobs.list("room"), []);
    assert.equal(jobs.list("elsewhere")[0]?.state, "complete");
  }));

Deno.test("session: a job is cancelled by another connection, has one end, and its id may be used again", () =>
  withPlaces(async (places) => {
    await putPackage(places, "echo waiting; exec sleep 600");
    await withSessionOf(places, async (link) => {
      for (const text of v2("one.zip", "one")) await link.send(text);
      await until(link, /waiting/);
      await withSessionOf(places, async (other) => {
        await other.send("JOB_CANCEL::job_1a2b3c4d");
        await until(other, /^JOB_STATE/);
      }, true);
      assert.match(
        (await until(link, /JOB_FAILED/)).at(-1)!,
        /::JOB_FAILED::job_1a2b3c4d::it was cancelled$/,
      );
      await places.jobs.idle();
      assert.equal(places.jobs.get("job_1a2b3c4d")?.facts.state, "cancelled");
      await putPackage(places, GOOD_RUN);
      for (const text of v2("one.zip", "one")) await link.send(text);
      await until(link, /JOB_COMPLETE::job_1a2b3c4d/);
    });
  }));

Deno.test("jobs: one that ended three days ago is forgotten when the next begins, with what was kept of it", () =>
  withPlaces(async ({ jobs, dir, scratch }) => {
    const message = { type: "JOB_COMPLETE", id: "j", path: "." } as const;
    const spec = {
      name: "p.zip",
      room: "room",
      run: () => Promise.resolve({ end: "complete", message } as const),
    };
    for (const id of ["old", "new"]) await (await jobs.start({ ...spec, id })).ended;
    const folder = join(dir, "jobs");
    for (const name of names(folder)) {
      const path = join(folder, name, JOURNAL);
      const text = await Deno.readTextFile(path);
      const past = new Date(Date.now() - 3 * 24 * 3600_000 - 1_000).toISOString();
      if (text.includes('"old"')) {
        await Deno.writeTextFile(path, text.replace(/"at":"[^"]*"/, `"at":"${past}"`));
      }
    }
    // As the next worker finds them.
    const next = new Jobs({ folder, scratch, settings: JOB, gpus: [], onChange: () => {} });
    await next.load();
    assert.deepEqual(next.list("room").map(({ id }) => id).toSorted(), ["new", "old"]);
    // Not while a client takes its results, from this worker or another of the same folder.
    await next.get("old")!.hold(async () => {
      const third = new Jobs({ folder, scratch, settings: JOB, gpus: [], onChange: () => {} });
      await next.start({ ...spec, id: "newer" }).then(({ ended }) => ended);
      await recoverJobs(folder, () => Promise.resolve());
      await third.load();
      await third.start({ ...spec, id: "newest" }).then(({ ended }) => ended);
      assert.equal(names(folder).filter((name) => !name.endsWith(".lock")).length, 4);
    });
    await (await next.start({ ...spec, id: "newest" })).ended;
    assert.deepEqual(next.list("room").map(({ id }) => id).toSorted(), ["new", "newer", "newest"]);
    assert.equal(names(folder).length, 4);
  }));

Deno.test("jobs: a worker that starts leaves the journals of another's running jobs alone", () =>
  withPlaces(async ({ jobs, dir, scratch }) => {
    const message = { type: "JOB_COMPLETE", id: "j", path: "." } as const;
    let end = (): void => {};
    const running = new Promise<void>((resolve) => end = resolve);
    const run = async (job: WorkerJob): Promise<{ end: "complete"; message: typeof message }> => {
      for (let line = 0; line < 50; line++) await job.say(`line ${line}\n`);
      const others = [1, 2, 3].map(async () => {
        const other = new Jobs({
          folder: join(dir, "jobs"),
          scratch,
          settings: JOB,
          gpus: [],
          onChange: () => {},
        });
        await other.load();
        assert.deepEqual(other.list("room"), []);
      });
      for (let line = 50; line < 500; line++) await job.say(`line ${line}\n`);
      await Promise.all(others);
      await running;
      return { end: "complete", message };
    };
    const job = await jobs.start({ id: "j", name: "p.zip", room: "room", run });
    end();
    await job.ended;
    const events = await Array.fromAsync(job.journal.read(0, new AbortController().signal));
    assert.deepEqual(events.map(({ seq }) => seq), Array.from({ length: 501 }, (_, index) => index + 1));
  }));

Deno.test("jobs: of two that begin with one id in one moment one is refused; those without an id are all kept", () =>
  withPlaces(async ({ jobs }) => {
    const message = { type: "JOB_COMPLETE", id: "j", path: "." } as const;
    const spec = {
      name: "p.zip",
      room: "room",
      run: () => Promise.resolve({ end: "complete", message } as const),
    };
    const both = await Promise.allSettled([
      jobs.start({ ...spec, id: "j" }),
      jobs.start({ ...spec, id: "j" }),
    ]);
    assert.deepEqual(both.map(({ status }) => status), ["fulfilled", "rejected"]);
    await Promise.all([jobs.start({ ...spec, id: "None" }), jobs.start({ ...spec, id: "None" })]);
    await jobs.idle();
    // One whose id was used before does not hide the earlier.
    await jobs.start({ ...spec, id: "j" });
    await jobs.idle();
    assert.deepEqual(jobs.list("room").map(({ id }) => id).toSorted(), ["None", "None", "j", "j"]);
  }));

Deno.test("jobs: two that begin in one moment have a GPU each, and the next takes the one that is free", () =>
  withPlaces(async ({ dir, scratch }) => {
    const folder = join(dir, "jobs");
    const jobs = new Jobs({ folder, scratch, settings: JOB, gpus: ["4", "7"], onChange: () => {} });
    const ends: (() => void)[] = [];
    const begin = (id: string): Promise<WorkerJob> => {
      const ended = new Promise<void>((resolve) => ends.push(resolve));
      const message = { type: "JOB_COMPLETE", id, path: "." } as const;
      const run = () => ended.then(() => ({ end: "complete", message } as const));
      return jobs.start({ id, name: "p.zip", room: "room", run });
    };
    const gpuOf = ({ settings }: WorkerJob): string | undefined =>
      settings.environment["CUDA_VISIBLE_DEVICES"];
    const both = await Promise.all([begin("a"), begin("b")]);
    assert.deepEqual(both.map(gpuOf).toSorted(), ["4", "7"]);
    ends[0]!();
    await both[0]!.ended;
    assert.equal(gpuOf(await begin("c")), gpuOf(both[0]!));
    for (const end of ends) end();
    await jobs.idle();
  }));
