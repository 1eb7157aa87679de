import assert from "node:assert/strict";
import { join } from "node:path";
import { fromSource } from "../../scripts/local_lab.ts";
import type { PackageOptions } from "../../examples/make_package.ts";
import { makeLabels } from "../client/preflight/make_labels.ts";
import { clientConfig, namesIn, packageIn, SLOW, startWorker, type TestLab, withLab } from "./lab.ts";

const NAME = "minimal_instance.pkg.slp";

/** A package that is a folder, whose labels name videos that lie elsewhere. */
async function packageNaming(
  test: TestLab,
  videos: readonly string[],
  options: PackageOptions = {},
): Promise<string> {
  const folder = join(test.clientMount, "alice/project");
  const zip = await packageIn(folder, options, "pkg.zip");
  const { success } = await new Deno.Command("unzip", { args: ["-q", zip, "-d", folder] }).output();
  assert.ok(success);
  await Deno.remove(zip);
  const labels = await makeLabels({ videos: videos.map((filename) => ({ backend: { filename } })) });
  await Deno.writeFile(join(folder, "pkg", NAME), labels);
  return join(folder, "pkg");
}

/** Exit code and output of `check`. */
async function check(test: TestLab, args: readonly string[]): Promise<[code: number, output: string]> {
  const config = await test.lab.writeConfig(clientConfig(test));
  const command = [...fromSource("client/main.ts"), "check", "--config", config, ...args];
  const process = test.lab.spawn(command, { env: test.lab.environment });
  return [await process.exited(), process.output];
}

Deno.test("check says of a package what would keep it from running, and its exit code whether anything does", () =>
  withLab(async (test) => {
    const path = await packageIn(test.home);
    const [healthy, said] = await check(test, [path]);
    assert.equal(healthy, 0, said);
    assert.match(said, /^ok {4}pkg\.zip: 43\.\d KiB unpacked$/m);
    assert.match(said, /^ok {4}pkg\/train-script\.sh: 1 run: minimal_instance\.centroid$/m);
    assert.match(said, new RegExp(`^ok {4}pkg/${NAME}: 1 labelled frame, 1 video, images inside$`, "m"));
    assert.match(said, /^ok {4}storage backend vast: .* free where the package would be copied/m);
    assert.deepEqual(await check(test, [path, "--quiet"]), [0, ""]);
    const gone = await packageNaming(test, ["/no/such/video.mp4"]);
    await Deno.writeTextFile(join(gone, "train-script.sh"), "sleap-nn train --config-name none.yaml\n");
    const [ill, complaint] = await check(test, [gone, "--json"]);
    assert.equal(ill, 1, complaint);
    const findings = complaint.split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(findings.find(({ level }) => level === "failure"), {
      event: "finding",
      level: "failure",
      file: "train-script.sh",
      line: 1,
      text: "the configuration none.yaml is not in the package: expected it at none.yaml",
    });
  }));

Deno.test("a package that cannot succeed is not sent; --no-preflight sends it", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const path = await packageNaming(test, []);
    const labels = join(path, NAME);
    await Deno.truncate(labels, 500);
    const args = ["train", path, "--session-string", worker.session];
    for (const transfer of ["rtc", "auto"]) {
      const before = await namesIn(path);
      const stopped = await test.lab.runClient(clientConfig(test), [...args, "--transfer", transfer]);
      assert.equal(stopped.code, 1);
      assert.match(
        stopped.stderr,
        /FAIL {2}minimal_instance\.pkg\.slp: it is damaged, or no HDF5: truncated file/,
      );
      assert.match(stopped.stderr, /^code: PREFLIGHT_FAILED$/m);
      const isTold = stopped.events.some(({ event }) => event === "method");
      // In place the look goes on beside the job, and may yet be over first.
      assert.ok(!isTold || transfer === "auto", JSON.stringify(stopped.events));
      assert.equal(stopped.summary, undefined);
      assert.deepEqual(await namesIn(path), before);
    }
    const sent = await test.lab.runClient(clientConfig(test), [...args, "--no-preflight"]);
    assert.ok(sent.events.some(({ event }) => event === "run_started"), sent.stderr);
    assert.equal(sent.code, 1);
  }));

Deno.test("a client that leaves before its job begins leaves no place behind that is kept for it", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const room = ["--session-string", worker.session, "--transfer", "rtc"];
    const bad = await packageNaming(test, []);
    await Deno.truncate(join(bad, NAME), 500);
    for (let time = 0; time < 3; time++) {
      assert.equal((await test.lab.runClient(clientConfig(test), ["train", bad, ...room])).code, 1);
    }
    const good = await packageIn(test.home);
    const trained = await test.lab.runClient(clientConfig(test), ["train", good, ...room]);
    assert.equal(trained.code, 0, trained.stderr);
    // Nobody who had left was waited for.
    assert.doesNotMatch(worker.process.output, /its client did not come/);
  }));

Deno.test("videos outside of a package are looked for on the worker: before it is sent, else beside its job", () =>
  withLab(async (test) => {
    const worker = await startWorker(test);
    const there = join(test.workerMount, "videos/there.mp4");
    await Deno.mkdir(join(test.storage, "videos"));
    await Deno.writeTextFile(join(test.storage, "videos/there.mp4"), "");
    const room = ["--session-string", worker.session];
    const good = await packageNaming(test, [there]);
    const [healthy, said] = await check(test, [good, ...room]);
    assert.equal(healthy, 0, said);
    assert.match(said, /^ok {4}minimal_instance\.pkg\.slp: the worker sees .*there\.mp4$/m);
    const begun = await test.lab.runClient(clientConfig(test), ["train", good, ...room]);
    assert.ok(begun.events.some(({ event }) => event === "run_started"), begun.stderr);
    assert.ok(!begun.events.some(({ event }) => event === "warning"), JSON.stringify(begun.events));

    await Deno.remove(good, { recursive: true });
    const gone = join(test.workerMount, "videos/gone.mp4");
    const bad = await packageNaming(test, [there, gone, "/elsewhere/v.mp4"], SLOW);
    const before = await namesIn(bad);
    for (const transfer of ["rtc", "auto"]) {
      const args = ["train", bad, ...room, "--transfer", transfer];
      const stopped = await test.lab.runClient(clientConfig(test), args);
      assert.equal(stopped.code, 1);
      assert.match(
        stopped.stderr,
        /FAIL {2}minimal_instance\.pkg\.slp: .*gone\.mp4 is not there on the worker/,
      );
      const said = stopped.events.flatMap((event) => event.event === "warning" ? [event.text] : []);
      assert.match(said.join("\n"), /\/elsewhere\/v\.mp4 is on no storage backend of the worker/);
      const isInPlace = stopped.events.some(({ event }) => event === "method");
      assert.equal(isInPlace, transfer === "auto", JSON.stringify(stopped.events));
      assert.equal(stopped.summary, undefined);
      assert.deepEqual(await namesIn(bad), before);
    }
    assert.deepEqual(await namesIn(join(test.storage, "alice/project")), ["pkg"]);
  }));
