import assert from "node:assert/strict";
import { join } from "node:path";
import { Conversation } from "../../client/conversation.ts";
import { followJob, type JobEnd } from "../../client/follow.ts";
import { outgoingPackage } from "../../client/outgoing_package.ts";
import { submit } from "../../client/submit.ts";
import type { Link } from "../../rtc/link.ts";
import { TransferError } from "../../rtc/transfer_error.ts";
import { submissionOf } from "../client/scripted.ts";
import { noise, outgoingOf } from "../rtc/files_lab.ts";
import { withLink } from "../rtc/link_lab.ts";
import { listTree, makeTree } from "../storage/temp.ts";
import { sending, serve, until, withPlaces, withServed } from "./link_lab.ts";
import { GOOD_RUN, keptRuns, names, packageOf, v2 } from "./session_lab.ts";

const ID = "job_1a2b3c4d";

/** Submits a package over a link and follows its job; results go to `inbox`. */
async function runJob(link: Link, dir: string, packagePath: string, inbox: string): Promise<JobEnd> {
  const { submission } = submissionOf(dir, packagePath, join(dir, "out"));
  const conversation = new Conversation(link);
  await submit({ ...submission, conversation, link }, { method: "rtc", why: "" });
  const { screen, signal } = submission;
  return await followJob(conversation, {
    screen,
    jobId: ID,
    isOurs: true,
    rtc: true,
    inbox,
    onStart: () => {},
    signal,
  });
}

Deno.test("session over a link: a package as a file, results file by file", () =>
  withServed(async (link, { dir, home, scratch, incoming }) => {
    const path = join(home, "pkg.zip");
    await Deno.writeFile(path, await packageOf("pkg", { a: GOOD_RUN, b: GOOD_RUN }));
    const inbox = await Deno.makeTempDir({ dir });
    const end = await runJob(link, dir, path, inbox);
    const folder = join(inbox, "results-1");
    assert.deepEqual(end, { type: "complete", arrived: { files: [], folders: [folder] } });
    assert.deepEqual(await listTree(join(folder, "models")), {
      "a/": "",
      "a/best.ckpt": "weights\n",
      "b/": "",
      "b/best.ckpt": "weights\n",
    });
    return () => assert.deepEqual([names(inbox), names(scratch), names(incoming)], [["results-1"], [], []]);
  }));

Deno.test("session over a link: a package as a folder, without earlier results", () =>
  withServed(async (link, { dir, home, scratch, incoming }) => {
    await makeTree(home, {
      "pkg/train-script.sh": "sleap-nn train --config-name a.sh\n",
      "pkg/a.sh": `test ! -e models && cat deep/data && ${GOOD_RUN}`,
      "pkg/deep/data": "data\n",
      "pkg/models/earlier/best.ckpt": "old",
    });
    const inbox = await Deno.makeTempDir({ dir });
    const end = await runJob(link, dir, join(home, "pkg"), inbox);
    assert.equal(end.type, "complete");
    assert.deepEqual(names(join(inbox, "results-1/models")), ["a"]);
    return () => assert.deepEqual([names(scratch), names(incoming)], [[], []]);
  }));

Deno.test("session over a link: a package goes on over a new link where the old one ended", () =>
  withPlaces(async (places) => {
    const { dir, home, incoming, scratch } = places;
    const large = noise(24 * 1024 * 1024);
    await makeTree(home, {
      "pkg/train-script.sh": "sleap-nn train --config-name a.sh\n",
      "pkg/a.sh": GOOD_RUN,
    });
    await Deno.writeFile(join(home, "pkg/large.bin"), large);
    const outgoing = await outgoingPackage(join(home, "pkg"));
    await withLink(async ({ client, worker }, [lane]) => {
      const running = serve(worker, places);
      const { sender, sent } = sending(client, outgoing);
      await until(client, /^FILES_READY/, sender);
      let chunks = 0;
      const broken = new Promise<void>((resolve) => {
        lane!.client.alter = (message): string | Uint8Array => {
          if (message.length > 60_000 && ++chunks === 300) resolve();
          return message;
        };
      });
      await broken;
      await client.close();
      assert.ok(await sent);
      await running;
    });
    assert.equal(names(incoming).length, 1);
    await withLink(async ({ client, worker }) => {
      const running = serve(worker, places);
      const { sender, sent } = sending(client, outgoing);
      await until(client, /^FILES_DONE/, sender);
      assert.equal(await sent, undefined);
      assert.ok(sender.bytesSent < sender.size, String(sender.bytesSent));
      await until(client, /^FILES_OFFER/);
      await client.close();
      await running;
    });
    assert.deepEqual(names(scratch), []);
    assert.deepEqual(names(incoming), []);
    assert.ok(dir);
  }));

Deno.test("session over a link: a package that is offered while a job runs is declined, the job ends well", () =>
  withServed(async (link, { dir, base, home, incoming }) => {
    const go = join(dir, "go");
    await Deno.mkdir(join(base, "alice"));
    const waiting = `echo waiting; while [ ! -e ${go} ]; do sleep 0.02; done; ${GOOD_RUN}`;
    await Deno.writeFile(join(base, "alice/one.zip"), await packageOf("one", { a: waiting }));
    for (const text of v2("one.zip", "one")) await link.send(text);
    await until(link, /^waiting/);
    const { sender, sent } = sending(link, await outgoingOf(home, { a: "x" }));
    await until(link, /^FILES_CANCEL/, sender);
    assert.match(String(await sent), /a job is running: another begins when it has ended/);
    await Deno.writeTextFile(go, "");
    assert.match((await until(link, /^JOB_/)).at(-1)!, /^JOB_COMPLETE::job_1a2b3c4d/);
    assert.deepEqual(names(incoming), []);
  }));

Deno.test("session over a link: a package that was offered before a job and arrives in it is refused, and gone", () =>
  withServed(async (link, { dir, base, home, scratch, incoming }) => {
    const go = join(dir, "go");
    await Deno.mkdir(join(base, "alice"));
    const waiting = `echo waiting; while [ ! -e ${go} ]; do sleep 0.02; done; ${GOOD_RUN}`;
    await Deno.writeFile(join(base, "alice/one.zip"), await packageOf("one", { a: waiting }));
    const { sender, sent } = sending(link, await outgoingOf(home, { "a/b": "x" }));
    const begun = await until(link, /^FILES_READY/);
    for (const text of v2("one.zip", "one")) await link.send(text);
    await until(link, /^waiting/);
    sender.take({ type: "FILES_READY", json: begun.at(-1)!.slice("FILES_READY::".length) });
    const seen = await until(link, /^JOB_FAILED/, sender);
    assert.match(seen.at(-1)!, /a job is running/);
    assert.equal(await sent, undefined);
    assert.deepEqual(names(scratch).filter((name) => !name.startsWith("job-")), []);
    await Deno.writeTextFile(go, "");
    await until(link, /^JOB_COMPLETE::job_1a2b3c4d/);
    assert.deepEqual(names(incoming), []);
  }));

Deno.test("session over a link: offers that break the rules, and such as no worker takes", () =>
  withServed(async (link, { home, incoming, scratch }) => {
    await link.send("FILES_OFFER::{}");
    assert.match((await until(link, /^JOB_FAILED/)).at(-1)!, /an offer of files breaks the rules/);
    const outgoing = await outgoingOf(home, { a: "x", b: "y" });
    for (const purpose of ["results", "package"] as const) {
      const { sender, sent } = sending(link, { ...outgoing, purpose });
      await until(link, /^FILES_CANCEL/, sender);
      const error = await sent;
      assert.ok(error instanceof TransferError && /a worker takes one package/.test(error.message));
    }
    const { sender, sent } = sending(link, { ...outgoing, files: [] });
    assert.match((await until(link, /^JOB_FAILED/, sender)).at(-1)!, /No train-script\.sh/);
    assert.equal(await sent, undefined);
    return () => assert.deepEqual([names(scratch), names(incoming)], [[], []]);
  }));

Deno.test("session over a link: results that the client declines are kept on the worker", () =>
  withServed(async (link, { home, jobs }) => {
    const path = join(home, "pkg.zip");
    await Deno.writeFile(path, await packageOf("pkg", { a: GOOD_RUN }));
    await link.send("JOB_ID::job_1");
    const { sender, sent } = sending(link, await outgoingPackage(path));
    const offer = (await until(link, /^FILES_OFFER/, sender)).at(-1)!;
    assert.equal(await sent, undefined);
    const { id } = JSON.parse(offer.slice("FILES_OFFER::".length));
    const cancel = { id, by: "receiver", code: "no space", reason: "the disk is full here" };
    await link.send(`FILES_CANCEL::${JSON.stringify(cancel)}`);
    assert.match((await until(link, /^JOB_FAILED/)).at(-1)!, /the disk is full here/);
    const [job] = jobs.list("room");
    assert.deepEqual(await keptRuns(jobs, job!.id), ["a"]);
  }));
