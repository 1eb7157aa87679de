/** Shared Storage Error Handling. */
import assert from "node:assert/strict";
import { hasProgram } from "../has_program.ts";
import { join } from "node:path";
import { storageSection } from "../../../scripts/local_lab.ts";
import { clientConfig, namesIn } from "../lab.ts";
import {
  begin,
  choosePaths,
  emptied,
  GOOD_RUN,
  isRoot,
  JOB,
  packageOf,
  put,
  rootTest,
  runJob,
  scenario,
  sh,
} from "./lab.ts";

Deno.test("Shared Storage Error Handling: File not found error", () =>
  scenario(async ({ client, base, worker }) => {
    const path = await put(join(base, "alice/project/pkg.zip"));
    await begin(client);
    await choosePaths(client, "project/pkg.zip", "out");
    // It vanishes between validation and use.
    await Deno.remove(path);
    await client.say("SHARED_STORAGE_JOB::start");
    assert.deepEqual(await client.until(/^JOB_FAILED/), [
      "PATH_ERROR::File not found: project/pkg.zip",
      `JOB_FAILED::${JOB}::File not found: project/pkg.zip`,
    ]);
    await worker.process.line(new RegExp(`"level":"error".*${path}`));
  }));

/** A process that is root reads everything; without these rights it is a user like any other. */
const AS_USER = isRoot ? ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] : [];
const canBeUser = Deno.build.os !== "windows" && (!isRoot || await hasProgram("setpriv"));

Deno.test({
  name: `Shared Storage Error Handling: Permission denied error${
    canBeUser ? "" : " (skipped: needs setpriv)"
  }`,
  ignore: !canBeUser,
  fn: () =>
    scenario(async ({ client, base, worker }) => {
      const path = await put(join(base, "alice/pkg.zip"));
      await begin(client);
      await choosePaths(client, "pkg.zip", "out");
      await Deno.chmod(path, 0o000);
      // Before it is used …
      assert.equal(await client.ask("SHARED_INPUT_PATH::pkg.zip"), "PATH_ERROR::Permission denied: pkg.zip");
      await worker.process.line(/"level":"warning".*refused the input path pkg\.zip of .*PermissionDenied/);
      // … and when it is.
      await Deno.chmod(path, 0o600);
      await choosePaths(client, "pkg.zip", "out");
      await Deno.chmod(path, 0o000);
      await client.say("SHARED_STORAGE_JOB::start");
      assert.deepEqual(await client.until(/^JOB_FAILED/), [
        "PATH_ERROR::Permission denied: pkg.zip",
        `JOB_FAILED::${JOB}::Permission denied: pkg.zip`,
      ]);
      await worker.process.line(new RegExp(`"level":"error".*denied: .*${path}`));
    }, { prefix: () => AS_USER }),
});

rootTest(
  "Shared Storage Error Handling: Disk space error during write",
  () =>
    scenario(async ({ client, folder, worker }) => {
      const small = join(folder, "small");
      await Deno.mkdir(small);
      await sh("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small);
      try {
        const big = 'mkdir -p "models/$1" && echo 1 > "models/$1/a.csv" && ' +
          'head -c 1000000 /dev/zero > "models/$1/best.ckpt"\n';
        await put(join(small, "alice/pkg.zip"), await packageOf({ centroid: big }));
        const said = await runJob(client, "pkg.zip", "project/out");
        assert.equal(said.at(-1), "JOB_FAILED::Disk space exhausted on shared storage");
        // Nothing of the results is left, and the package is as it was.
        assert.deepEqual(await namesIn(join(small, "alice/project/out")), []);
        assert.deepEqual(await namesIn(join(small, "alice")), ["pkg.zip", "project"]);
        // What was trained is not lost: it is kept, and sent over the channel.
        await worker.process.line(/they are kept in /);
        assert.ok(said.some((text) => text.startsWith("FILE_META::trained_pkg.zip:")), said.join("\n"));
        // The worker goes on: a job whose results fit.
        await put(join(small, "alice/pkg.zip"));
        const after = await runJob(client, "pkg.zip", "project/out");
        assert.match(after.at(-1)!, /^JOB_COMPLETE::job_1a2b3c4d::project\/out::1::/);
      } finally {
        await sh("umount", "--lazy", small);
      }
    }, { storage: ({ folder }) => storageSection("vast", join(folder, "small")) }),
);

/** A copy of a package with one byte of its data changed. */
async function damaged(): Promise<Uint8Array> {
  const bytes = (await packageOf()).slice();
  const data = new TextEncoder().encode("data of the package");
  const at = bytes.findIndex((_, index) => data.every((byte, offset) => bytes[index + offset] === byte));
  bytes[at]! ^= 0xff;
  return bytes;
}

Deno.test("Shared Storage Error Handling: Corrupted file detection", () =>
  scenario(async ({ client, base, home, scratch, worker }) => {
    const texts = new TextEncoder().encode("this is no ZIP file");
    for (const [name, bytes] of [["text.zip", texts], ["pkg.zip", await damaged()]] as const) {
      await put(join(base, "alice", name), bytes);
      const said = await runJob(client, name, "out");
      assert.deepEqual(said, [
        `PATH_ERROR::File corrupted or invalid format: ${name}`,
        `JOB_FAILED::${JOB}::File corrupted or invalid format: ${name}; send it over the data channel (RTC)`,
      ]);
      // Nothing ran, and nothing is left of what was unpacked.
      assert.deepEqual(await namesIn(join(base, "alice/out")), []);
      await emptied(scratch);
    }
    // The client does as it is asked, on the same connection.
    await client.say("PACKAGE_TYPE::train", "OUTPUT_DIR::models", "JOB_ID::job_00000002");
    await client.send(await put(join(home, "pkg.zip")));
    const said = await client.until(/^JOB_/);
    assert.match(said.at(-1)!, /^JOB_COMPLETE::job_00000002::/, worker.process.output);
    assert.ok(said.includes("data of the package\n"));
  }));

/** Arguments of the real client. What the runs of these packages are given is no configuration. */
function submission(path: string, session: string, folder: string): string[] {
  const out = join(folder, "out");
  return ["train", path, "--no-preflight", "--session-string", session, "--output-dir", out];
}

Deno.test("Shared Storage Error Handling: Corrupted file detection, with the real client: it retries over RTC", () =>
  scenario(async (test) => {
    const { client, clientMount, folder, lab, worker } = test;
    // One at a time is served.
    await client.leave();
    await worker.process.line(/ready for the next client/);
    // Both see the same damaged file, so that only unpacking finds it.
    const path = await put(join(clientMount, "alice/pkg.zip"), await damaged());
    const args = submission(path, worker.session, folder);
    const run = await lab.runClient(clientConfig(test), args);
    const methods = run.events.flatMap((event) =>
      event.event === "method" ? [[event.method, event.why]] : []
    );
    assert.deepEqual(methods.map(([method]) => method), ["in place", "rtc"], run.stderr);
    assert.match(methods[1]![1]!, /in place did not work: .*File corrupted or invalid format: pkg\.zip/);
    // What is broken here is broken there: the job fails, and it is said why.
    assert.equal(run.code, 1);
    assert.match(run.summary?.error ?? "", /^File corrupted or invalid format: pkg\.zip$/);
  }));

Deno.test("Shared Storage Error Handling: Corrupted file detection, where only the worker's copy is damaged", () =>
  scenario(async (test) => {
    const { client, clientMount, folder, lab, worker } = test;
    await client.leave();
    await worker.process.line(/ready for the next client/);
    const path = await put(join(clientMount, "alice/pkg.zip"), await packageOf({ centroid: GOOD_RUN }));
    await put(join(folder, "other/alice/pkg.zip"), await damaged());
    const args = submission(path, worker.session, folder);
    const run = await lab.runClient(clientConfig(test), args);
    assert.equal(run.code, 0, run.stderr);
    assert.equal(run.summary?.method, "rtc");
  }, { storage: ({ folder }) => storageSection("vast", join(folder, "other")) }));
