import assert from "node:assert/strict";
import { join } from "node:path";
import { fromSource, LabProcess, storageSection } from "../../scripts/local_lab.ts";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { BUCKET, findServer, withServer } from "../s3/server.ts";
import { withTempDir } from "../storage/temp.ts";
import { type DoctorRun, runDoctor } from "./doctor_run.ts";
import { canMount, withFuse } from "./fuse.ts";
import { namesIn } from "./lab.ts";

const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;
const NEEDS_ROOT = isRoot ? "" : " (skipped: needs root, to mount)";

/** An address at which nobody listens. */
const NOWHERE = {
  SLEAP_RTC_SIGNALING_HTTP: "http://127.0.0.1:9",
  SLEAP_RTC_SIGNALING_WS: "ws://127.0.0.1:9",
};

/** Calls `use` with a new mount below `dir`. */
async function withMount(
  dir: string,
  args: readonly string[],
  use: (path: string) => Promise<void>,
): Promise<void> {
  const path = join(dir, "mount");
  await Deno.mkdir(path);
  const run = async (program: string, ...all: string[]): Promise<void> => {
    const { success, stderr } = await new Deno.Command(program, { args: all }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
  };
  await run("mount", ...args, path);
  try {
    await use(path);
  } finally {
    await run("umount", path);
  }
}

async function writeConfig(dir: string, toml: string): Promise<string> {
  const path = join(dir, "config.toml");
  await Deno.writeTextFile(path, toml);
  return path;
}

for (const [what, signal] of [["hangs", "SIGSTOP"], ["is gone", "SIGKILL"]] as const) {
  Deno.test({
    name: `doctor: a mount that ${what} is a failure, and holds up neither the other checks nor the end${
      canMount ? "" : " (skipped: needs root, bindfs and FUSE)"
    }`,
    ignore: !canMount,
    fn: () =>
      withTempDir(async (dir) => {
        const [source, mount, well] = [join(dir, "source"), join(dir, "mount"), join(dir, "well")];
        for (const path of [source, well]) await Deno.mkdir(path);
        await withFuse(source, mount, [], async (bindfs) => {
          bindfs.kill(signal);
          if (signal === "SIGKILL") await bindfs.status;
          const config = await writeConfig(
            dir,
            storageSection("dead", mount) + storageSection("well", well),
          );
          const began = performance.now();
          const run = await runDoctor("client", config, [], { env: NOWHERE, cwd: dir });
          assert.ok(performance.now() - began < 60_000, "it took long");
          assert.equal(run.code, 1);
          const dead = run.find(/^storage backend dead$/);
          assert.equal(dead.status, "failure");
          assert.match(dead.detail, signal === "SIGSTOP" ? /does not answer within/ : /is not there/);
          assert.match(dead.hint ?? "", /mount/);
          assert.match(run.find(/^storage backend well$/, /written and flushed/).detail, /MiB\/s/);
        });
      }),
  });
}

Deno.test({
  name: `doctor: storage that is read-only is a warning to a client, a failure to a worker${NEEDS_ROOT}`,
  ignore: !isRoot,
  fn: () =>
    withTempDir((dir) =>
      withMount(dir, ["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs"], async (path) => {
        const config = await writeConfig(dir, storageSection("vast", path));
        for (const [program, status] of [["client", "warning"], ["worker", "failure"]] as const) {
          const run = await runDoctor(program, config, [], { env: NOWHERE, cwd: dir });
          const found = run.find(/^storage backend vast$/, /^it cannot be written to: .*read-only/);
          assert.equal(found.status, status);
          assert.match(found.hint ?? "", program === "client" ? /train in place/ : /mount it read-write/);
        }
      })
    ),
});

Deno.test({
  name: `doctor: storage that is full is a failure, and what was written is removed${NEEDS_ROOT}`,
  ignore: !isRoot,
  fn: () =>
    withTempDir((dir) =>
      withMount(dir, ["-t", "tmpfs", "-o", "size=8m", "tmpfs"], async (path) => {
        const config = await writeConfig(dir, storageSection("vast", path));
        const run = await runDoctor("client", config, [], { env: NOWHERE, cwd: dir });
        assert.equal(run.code, 1);
        const full = run.find(/^storage backend vast$/, /^it cannot be written to: .*no space left/);
        assert.equal(full.status, "failure");
        assert.match(full.hint ?? "", /storage clean/);
        const little = run.find(/^storage backend vast$/, /a typical package of 6\.5 GiB needs 7\.8 GiB/);
        assert.equal(little.status, "warning");
        assert.deepEqual(await namesIn(path), []);
      })
    ),
});

Deno.test({
  name:
    `doctor: --package says what has to have room; configured as a mount, a local disk is told${NEEDS_ROOT}`,
  ignore: !isRoot,
  fn: () =>
    withTempDir((dir) =>
      withMount(dir, ["-t", "tmpfs", "-o", "size=96m", "tmpfs"], async (path) => {
        const config = await writeConfig(dir, `${storageSection("vast", path)}type = "nfs"\n`);
        const [small, large] = [join(dir, "small.zip"), join(dir, "large.zip")];
        for (const [file, size] of [[small, 2 ** 20], [large, 2 ** 30]] as const) {
          await Deno.writeFile(file, new Uint8Array());
          await Deno.truncate(file, size);
        }
        const options = { env: NOWHERE, cwd: dir };
        const fits = await runDoctor("client", config, ["--package", small], options);
        assert.ok(!fits.findings.some(({ detail }) => /needs/.test(detail)), fits.output);
        const mounted = fits.find(/^storage backend vast$/, /configured as nfs, but .* own disk \(tmpfs\)/);
        assert.equal(mounted.status, "warning");
        const lacks = await runDoctor("client", config, ["--package", large], options);
        const found = lacks.find(
          /^storage backend vast$/,
          /but the package needs 1\.2 GiB to be copied there/,
        );
        assert.equal(found.status, "warning");
        const missing = await runDoctorFails(config, ["--package", join(dir, "none.zip")], dir);
        assert.match(missing, /^error: cannot read the package .*none\.zip/m);
      })
    ),
});

async function runDoctorFails(config: string, args: readonly string[], cwd: string): Promise<string> {
  const process = new LabProcess([...fromSource("client/main.ts"), "doctor", "--config", config, ...args], {
    env: NOWHERE,
    cwd,
  });
  assert.equal(await process.exited(), 2);
  return process.output;
}

Deno.test("doctor: what interrupted programs left is named, with how to remove it; what is young is not", () =>
  withTempDir(async (dir) => {
    const storage = join(dir, "storage");
    const long = Date.now() / 1000 - 5 * 24 * 3600;
    const old = [
      join(storage, ".sleap-rtc-doctor-1"),
      join(storage, ".partial-2"),
      join(dir, ".sleap-rtc-inbox-3"),
    ];
    for (const path of [...old, join(storage, ".partial-young"), join(dir, ".sleap-rtc-inbox-young")]) {
      await Deno.mkdir(path, { recursive: true });
    }
    for (const path of old) await Deno.utime(path, long, long);
    const config = await writeConfig(dir, storageSection("vast", storage));
    const run = await runDoctor("client", config, [], { env: NOWHERE, cwd: dir });
    const onStorage = run.find(/^leftovers on vast$/);
    assert.equal(onStorage.status, "warning");
    assert.match(onStorage.detail, /storage\/\.partial-2, .*storage\/\.sleap-rtc-doctor-1$/);
    assert.match(onStorage.hint ?? "", /rm -r /);
    const here = run.find(/^leftovers in /);
    assert.match(here.detail, /\.sleap-rtc-inbox-3$/);
    assert.equal(here.status, "warning");
  }));

const hasStore = findServer() !== undefined;

Deno.test({
  name: `doctor: an object store is measured like a folder, and one that is away or closed is a failure${
    hasStore ? "" : " (skipped: no S3 server, tests/s3/install.sh installs it)"
  }`,
  ignore: !hasStore,
  fn: () =>
    withTempDir(async (dir) => {
      const data = join(dir, "s3");
      await Deno.mkdir(data);
      const config = await writeConfig(dir, storageSection("cloud", `s3://${BUCKET}/lab`));
      const run = (env: Record<string, string>): Promise<DoctorRun> =>
        runDoctor("client", config, [], { env: { ...NOWHERE, ...env }, cwd: dir });
      await withServer(data, async ({ env, newClient, kill, restart, halt, goOn }) => {
        const well = await run(env);
        assert.match(well.find(/^storage backend cloud$/).detail, /is there, no bound is known$/);
        assert.match(well.find(/^storage backend cloud$/, /written and flushed/).detail, /read back at/);
        const client = newClient();
        const left = await client.send(new ListObjectsV2Command({ Bucket: BUCKET }));
        client.destroy();
        assert.deepEqual(left.Contents ?? [], []);
        const closed = await run({ ...env, AWS_SECRET_ACCESS_KEY: "wrong" });
        assert.match(closed.find(/^storage backend cloud$/, /cannot be used: /).hint ?? "", /AWS_REGION/);
        halt();
        const hanging = await run(env);
        assert.match(hanging.find(/^storage backend cloud$/).detail, /does not answer: /);
        goOn();
        await kill();
        const away = await run(env);
        const { status, hint } = away.find(/^storage backend cloud$/, /does not answer: /);
        assert.equal(status, "failure");
        assert.match(hint ?? "", /AWS_ENDPOINT_URL_S3/);
        await restart();
      });
    }),
});

/** Root that may not pass over permissions: its folders are its own, others' are others'. */
const ORDINARY = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"];
const hasSetpriv = isRoot && await new Deno.Command(ORDINARY[0]!, {
  args: [...ORDINARY.slice(1), "true"],
  stdout: "null",
  stderr: "null",
}).output().then(({ success }) => success, () => false);

Deno.test({
  name:
    `doctor: a share that is closed at its top and open below is no failure, and tried in the user's folder${
      hasSetpriv ? "" : " (skipped: needs root and setpriv)"
    }`,
  ignore: !hasSetpriv,
  fn: () =>
    withTempDir(async (dir) => {
      const share = join(dir, "share");
      await Deno.mkdir(join(share, "alice"), { recursive: true });
      await Deno.chown(share, 65_534, 65_534);
      await Deno.chmod(share, 0o711);
      const options = { env: NOWHERE, cwd: dir, prefix: ORDINARY };
      const config = await writeConfig(dir, storageSection("vast", share));
      for (const program of ["client", "worker"] as const) {
        const run = await runDoctor(program, config, [], options);
        assert.equal(run.find(/^storage backend vast$/, /but this user may not list it$/).status, "warning");
        const closed = run.find(/^storage backend vast$/, /^it cannot be written to: permission denied/);
        assert.equal(closed.status, "warning");
        assert.match(
          closed.hint ?? "",
          program === "client" ? /set user_subdir under \[client\]/ : /write there/,
        );
      }
      const own = await writeConfig(
        dir,
        `${storageSection("vast", share)}[client]\nuser_subdir = "alice"\n`,
      );
      const run = await runDoctor("client", own, [], options);
      assert.match(run.find(/^storage backend vast$/, /written and flushed/).detail, /read back at/);
      assert.deepEqual(await namesIn(join(share, "alice")), []);
    }),
});
