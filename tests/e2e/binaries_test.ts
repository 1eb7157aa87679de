import assert from "node:assert/strict";
import { join } from "node:path";
import {
  fromBinaries,
  type LabProcess,
  type ProcessOptions,
  storageSection,
  type WorkerHandle,
} from "../../scripts/local_lab.ts";
import { COMPILER } from "../../scripts/local_binaries.ts";
import { PROGRAMS } from "../../scripts/programs.ts";
import { createRoom, signIn } from "../../signaling/account.ts";
import { SignalingClient } from "../../signaling/client.ts";
import { BUCKET, findServer, withServer } from "../s3/server.ts";
import { refusesBadStores, serverWith } from "./bad_stores.ts";
import { AS_NOBODY, giveAway, installBinaries, missing, uninstall } from "./binaries.ts";
import { namesIn, packageIn, type TestLab, withLab } from "./lab.ts";

const MIB = 2 ** 20;
/** Runtime, bundle, one library: 94 MiB with the largest. The library of a second platform would be 9 MiB more. */
const MOST_MIB = 100;

/** A job program that any user can start: the model is the configuration itself. */
const TRAINER = `[worker.jobs.train]
command = ["/bin/sh", "-c", 'mkdir -p "models/$1" && cp "$0" "models/$1/model.yaml"', "{config}", "{run_name}"]
`;

type Folders = [string, string, string];

/** Runs a test with the lab's programs as binaries, as nobody, in folders of nobody's. */
async function withBinaries(
  bin: string,
  test: (lab: TestLab, options: ProcessOptions) => Promise<void>,
): Promise<void> {
  const anywhere = { prefix: AS_NOBODY, cwd: "/" };
  await withLab(
    async (lab) => {
      await Deno.chmod(lab.folder, 0o755);
      const [temp, out, scratch] = ["tmp", "out", "scratch"].map((name) => join(lab.folder, name)) as Folders;
      for (const path of [temp, out, scratch]) await Deno.mkdir(path);
      for (const path of [temp, out, scratch, lab.storage, lab.home]) await giveAway(path);
      await test(lab, { ...anywhere, env: { TMPDIR: temp, HOME: lab.home } });
      await lab.lab.stop();
      assert.deepEqual(await namesIn(temp), [], "the temporary folder is as it was");
    },
    [],
    anywhere,
    fromBinaries(bin),
  );
}

/** What lasts beyond a worker lies in its scratch folder. */
function startWorker(
  { lab, folder }: TestLab,
  backends: string,
  args: readonly string[],
  options: ProcessOptions,
): Promise<WorkerHandle> {
  return lab.worker(`${backends}${TRAINER}`, ["--scratch", join(folder, "scratch"), ...args], options);
}

/** Names of all files below a folder that hold native code. */
async function librariesBelow(folder: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("find", { args: [folder, "-name", "*.node"] }).output();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
}

async function versionsAndSizes(bin: string): Promise<void> {
  const temp = await Deno.makeTempDir();
  try {
    for (const { name } of PROGRAMS) {
      const command = new Deno.Command(join(bin, name), {
        args: ["--version"],
        clearEnv: true,
        env: { TMPDIR: temp },
      });
      const { code, stdout } = await command.output();
      assert.equal(code, 0);
      const text = new TextDecoder().decode(stdout);
      assert.match(text, /^[a-z-]+ \d+\.\d+\.\d+ \((commit \w+(-dirty)?), Deno \d+\.\d+\.\d+\)\n$/);
      assert.ok(text.startsWith(`${name} `) && text.endsWith(`Deno ${COMPILER})\n`), text);
      const { size } = await Deno.stat(join(bin, name));
      assert.ok(size < MOST_MIB * MIB, `${name} has ${size} bytes`);
    }
    assert.deepEqual(await namesIn(temp), []);
  } finally {
    await Deno.remove(temp, { recursive: true });
  }
}

async function checksums(bin: string): Promise<void> {
  const args = ["--check", "--strict", "SHA256SUMS"];
  const { success, stdout } = await new Deno.Command("sha256sum", { args, cwd: bin }).output();
  const text = new TextDecoder().decode(stdout);
  assert.ok(success, text);
  for (const { name } of PROGRAMS) assert.ok(text.includes(`${name}: OK`), text);
}

/** The demo's three ways. */
async function threeWays(bin: string): Promise<void> {
  await withBinaries(bin, async (test, options) => {
    const backend = storageSection("vast", test.workerMount);
    const worker = await startWorker(test, backend, [], options);
    assert.deepEqual(await librariesBelow(test.folder), [], "the library's file is gone once it is loaded");
    await packageIn(join(test.storage, "alice"));
    await giveAway(join(test.storage, "alice"));
    const elsewhere = await packageIn(test.home);
    const vast = storageSection("vast", test.clientMount);
    const ways = [
      ["in place", join(test.clientMount, "alice/pkg.zip"), vast],
      ["copy", elsewhere, vast],
      ["rtc", elsewhere, ""],
    ] as const;
    const models: string[] = [];
    for (const [method, path, config] of ways) {
      const output = join(test.folder, "out", method);
      const args = ["train", path, "--session-string", worker.session, "--output-dir", output];
      const run = await test.lab.runClient(config, args, options);
      assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
      assert.equal(run.summary?.method, method);
      models.push(await Deno.readTextFile(join(output, "models/minimal_instance.centroid/model.yaml")));
    }
    assert.equal(new Set(models).size, 1);
    await worker.process.stop();
  });
}

/** What the configuration names and the flags do not allow is neither offered nor touched. */
async function narrowed(bin: string): Promise<void> {
  await withBinaries(bin, async (test, options) => {
    const [inside, outside] = [join(test.storage, "inside"), join(test.storage, "outside")];
    for (const path of [inside, outside]) {
      await packageIn(path);
      await giveAway(path);
    }
    const sections = storageSection("inside", inside) + storageSection("outside", outside);
    const limits = ["--allow-read", inside, "--allow-write", inside];
    const worker = await startWorker(test, sections, limits, options);
    await worker.process.line(/storage backend outside: this worker may not use .* --allow-read=/);
    for (const [name, method] of [["inside", "in place"], ["outside", "copy"]] as const) {
      const args = ["train", join(test.storage, name, "pkg.zip"), "--session-string", worker.session];
      const run = await test.lab.runClient(sections, args, options);
      assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
      assert.equal(run.summary?.method, method);
    }
    await worker.process.stop();
  });
}

/** The object store's client is a file of its own in the binaries, loaded when a backend needs it. */
async function objectStore(bin: string): Promise<void> {
  await withBinaries(bin, async (test, options) => {
    const data = join(test.folder, "s3");
    await Deno.mkdir(data);
    await withServer(data, async ({ env }) => {
      const withStore = { ...options, env: { ...options.env, ...env } };
      const section = storageSection("cloud", `s3://${BUCKET}/lab`);
      const worker = await startWorker(test, section, [], withStore);
      const output = join(test.folder, "out/store");
      const path = await packageIn(test.home);
      const args = ["train", path, "--session-string", worker.session, "--output-dir", output];
      const run = await test.lab.runClient(section, args, withStore);
      assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
      assert.equal(run.summary?.method, "copy");
      assert.deepEqual(await namesIn(join(output, "models")), ["minimal_instance.centroid"]);
      await worker.process.stop();
    });
  });
}

/** Where the library cannot be unpacked, both sides say what to do. */
async function noPlace(bin: string): Promise<void> {
  await withBinaries(bin, async (test, options) => {
    const good = await startWorker(test, "", [], options);
    const env = { ...test.lab.environment, ...options.env, TMPDIR: join(test.folder, "nowhere") };
    const path = await packageIn(test.home);
    const commands = [
      ["sleap-rtc-client", "train", path, "--session-string", good.session],
      ["sleap-rtc-worker", "--scratch", join(test.folder, "scratch")],
    ] as const;
    for (const [program, ...args] of commands) {
      const run = test.lab.spawn([join(bin, program), ...args], { ...options, env });
      assert.equal(await run.exited(), 1, run.output);
      assert.match(
        run.output,
        /error: the native WebRTC library cannot be unpacked in the temporary folder: /,
      );
      assert.match(run.output, /hint: set TMPDIR to a folder/);
    }
  });
}

/** What the engine must not do is refused to it in the binary as well. */
async function sandboxed(bin: string): Promise<void> {
  await withBinaries(bin, async ({ lab, folder }, options) => {
    const args = ["--check-sandbox", "--scratch", join(folder, "scratch"), "--json"];
    const check = lab.spawn([join(bin, "sleap-rtc-worker"), ...args], options);
    assert.equal(await check.exited(), 0, check.output);
    assert.match(check.output, /"event":"sandbox","holds":true/);
  });
}

/** What the server remembers outlives it, and a store that it cannot use is told as from source. */
async function stores(bin: string): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sleap-rtc-stores-" });
  const options = { prefix: AS_NOBODY, cwd: "/" };
  const command = [join(bin, "sleap-rtc-signaling")];
  try {
    await giveAway(folder);
    await refusesBadStores(command, folder, options);
    const file = join(folder, "signaling.db");
    const first = await signalingAt(file, command, options);
    const identity = await signIn(first.http, AbortSignal.timeout(30_000));
    const room = await createRoom(first.http, identity, AbortSignal.timeout(30_000));
    first.process.kill("SIGKILL");
    await first.process.exited();
    const second = await signalingAt(file, command, options);
    try {
      const fields = { identity, room, timeoutMs: 30_000, role: "client", metadata: {} } as const;
      const client = await SignalingClient.connect({ url: second.websocket, ...fields });
      assert.equal(client.isConnected, true);
      client.close();
    } finally {
      second.process.kill("SIGKILL");
      await second.process.exited();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function signalingAt(
  file: string,
  command: readonly string[],
  options: ProcessOptions,
): Promise<{ process: LabProcess; http: string; websocket: string }> {
  const process = serverWith(file, command, options);
  return { process, ...JSON.parse(await process.line(/"listening"/)) };
}

Deno.test({
  name: `binaries, installed read-only and run as ${AS_NOBODY.length > 0 ? "another" : "this"} user` +
    (missing === undefined ? "" : ` (skipped: ${missing})`),
  ignore: missing !== undefined,
  async fn(context): Promise<void> {
    const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "sleap-rtc-binaries-" }));
    try {
      const bin = await installBinaries(folder);
      const steps: (readonly [string, (bin: string) => Promise<void>])[] = [
        ["say what they are, and hold one platform's library", versionsAndSizes],
        ["match their checksums", checksums],
        ["train one model three ways, and leave nothing in the temporary folder", threeWays],
        ["--allow-read and --allow-write narrow the worker, whatever is configured", narrowed],
        ...(findServer() === undefined ? [] : [["go by way of an object store", objectStore] as const]),
        ["keep rooms in SQLite over kill -9, and say what is wrong with a store", stores],
        ["say what to do where there is no temporary folder", noPlace],
        ["refuse the worker's engine what it must not do", sandboxed],
      ];
      for (const [name, step] of steps) await context.step(name, () => step(bin));
    } finally {
      await uninstall(folder);
    }
  },
});
