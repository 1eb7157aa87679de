import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type ClientRun,
  exampleTrainer,
  fromSource,
  storageSection,
  type WorkerHandle,
} from "../../scripts/local_lab.ts";
import { clientConfig, modelIn, namesIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Trains, expects the data channel to have done it, and returns what was said on the way. */
async function fallsBack(
  test: TestLab,
  worker: WorkerHandle,
  path: string,
  config: string,
): Promise<ClientRun> {
  const output = join(test.folder, "out");
  const args = ["train", path, "--session-string", worker.session, "--output-dir", output];
  const run = await test.lab.runClient(config, args);
  assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
  assert.equal(run.summary?.method, "rtc");
  await modelIn(join(output, "models"));
  return run;
}

function methods({ events }: ClientRun): string[] {
  return events.flatMap((event) => event.event === "method" ? [`${event.method}: ${event.why}`] : []);
}

Deno.test("a worker without the backend: the data channel is chosen at once, and it is said why", () =>
  withLab(async (test) => {
    const worker = await startWorker(test, { backends: storageSection("scratch", test.storage) });
    const path = await packageIn(join(test.clientMount, "alice"));
    const run = await fallsBack(test, worker, path, clientConfig(test));
    assert.deepEqual(methods(run), ["rtc: no common storage backend: here vast, on the worker scratch"]);
  }));

Deno.test("a backend that is configured but not mounted on the worker: BACKEND_NOT_AVAILABLE, then the data channel", () =>
  withLab(async (test) => {
    await Deno.remove(test.workerMount);
    const worker = await startWorker(test);
    const path = await packageIn(join(test.clientMount, "alice"));
    const run = await fallsBack(test, worker, path, clientConfig(test));
    assert.match(
      methods(run).join("\n"),
      /^in place: .*\nrtc: in place did not work: .*does not have.*"vast"/,
    );
    assert.match(worker.process.output, /is not there/);
  }));

Deno.test("a file that the worker does not see: PATH_ERROR, then the data channel", () =>
  withLab(async (test) => {
    await Deno.remove(test.workerMount);
    await Deno.mkdir(test.workerMount);
    const worker = await startWorker(test);
    const path = await packageIn(join(test.clientMount, "alice/project"));
    const run = await fallsBack(test, worker, path, clientConfig(test));
    assert.match(
      methods(run).join("\n"),
      /rtc: in place did not work: .*Input path does not exist: project\/pkg\.zip/,
    );
  }));

Deno.test("a path that leads out of the storage on the worker's side is refused, logged, and the data channel used", () =>
  withLab(async (test) => {
    await Deno.remove(test.workerMount);
    await Deno.mkdir(test.workerMount);
    const path = await packageIn(join(test.clientMount, "alice/project"));
    await Deno.symlink(join(test.storage, "alice"), join(test.workerMount, "alice"));
    const worker = await startWorker(test);
    const run = await fallsBack(test, worker, path, clientConfig(test));
    assert.match(methods(run).join("\n"), /Path outside shared storage: project\/pkg\.zip/);
    assert.match(worker.process.output, /security: refused the input path project\/pkg\.zip/);
  }));

Deno.test("a package that is damaged where the worker sees it: it says so, and gets it over the channel", () =>
  withLab(async (test) => {
    await Deno.remove(test.workerMount);
    const good = await packageIn(join(test.clientMount, "alice"));
    const bytes = await Deno.readFile(good);
    bytes[Math.floor(bytes.length / 2)]! ^= 0xff;
    await Deno.mkdir(join(test.workerMount, "alice"), { recursive: true });
    await Deno.writeFile(join(test.workerMount, "alice/pkg.zip"), bytes);
    const worker = await startWorker(test);
    const run = await fallsBack(test, worker, good, clientConfig(test));
    assert.match(
      methods(run).join("\n"),
      /rtc: in place did not work: the worker sees another file under this path/,
    );
  }));

Deno.test("a worker narrowed by --allow-read neither touches nor advertises a backend outside", () =>
  withLab(async (test) => {
    const args = ["--allow-read", test.home, "--allow-write", test.home];
    const worker = await startWorker(test, { args });
    const path = await packageIn(join(test.clientMount, "alice"));
    const run = await fallsBack(test, worker, path, clientConfig(test));
    assert.deepEqual(methods(run), ["rtc: no common storage backend: here vast, on the worker none"]);
    assert.match(worker.process.output, /may not use .*; left out, --allow-read=.* would allow it/);
  }));

Deno.test("a worker narrowed by deno run neither touches nor advertises a backend outside", () =>
  withLab(async (test) => {
    const { lab, folder, home } = test;
    const config = await lab.writeConfig(
      `${storageSection("vast", test.workerMount)}\n${storageSection("home", home)}\n${exampleTrainer()}`,
    );
    const scratch = join(folder, "scratch");
    const rest = fromSource("worker/main.ts").filter((word) => !/^--allow-(read|write)$/.test(word)).slice(2);
    const process = lab.spawn([
      Deno.execPath(),
      "run",
      "--no-prompt",
      `--allow-read=${ROOT},${config},${scratch},${home},/usr/bin/ldd,/proc/self/fd`,
      `--allow-write=${scratch},${home}`,
      ...rest,
      ...["--config", config, "--scratch", scratch, "--json"],
    ], { env: lab.environment });
    const { session, room_id: roomId, token, peer_id: peerId } = JSON.parse(
      await process.line(/"event":"registered"/),
    );
    const path = await packageIn(join(test.clientMount, "alice"));
    const run = await fallsBack(test, { process, session, roomId, token, peerId }, path, clientConfig(test));
    assert.deepEqual(methods(run), ["rtc: no common storage backend: here vast, on the worker home"]);
  }));

const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;

Deno.test({
  name: `a full disk when copying: the data channel is used and nothing is left${
    isRoot ? "" : " (skipped: needs root)"
  }`,
  ignore: !isRoot,
  fn: () =>
    withLab(async (test) => {
      const small = join(test.folder, "small");
      await Deno.mkdir(small);
      const mounted = await new Deno.Command("mount", {
        args: ["-t", "tmpfs", "-o", "size=1m", "tmpfs", small],
      }).output();
      assert.ok(mounted.success);
      try {
        const worker = await startWorker(test);
        const path = await packageIn(test.home, { paddingBytes: 1_000_000 });
        const run = await fallsBack(test, worker, path, storageSection("vast", small));
        assert.match(
          methods(run).join("\n"),
          /rtc: copy did not work: Insufficient disk space on shared storage/,
        );
        assert.deepEqual(await namesIn(join(small, "jobs")), []);
      } finally {
        await new Deno.Command("umount", { args: [small] }).output();
      }
    }),
});

Deno.test({
  name: `a storage that fills up when results are written: they come over the channel${
    isRoot ? "" : " (skipped: needs root)"
  }`,
  ignore: !isRoot,
  fn: () =>
    withLab(async (test) => {
      const small = join(test.folder, "small");
      await Deno.mkdir(small);
      // The package just fits; the model does not.
      const args = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small];
      assert.ok((await new Deno.Command("mount", { args }).output()).success);
      try {
        await packageIn(join(small, "alice"));
        const backends = storageSection("vast", small);
        const worker = await startWorker(test, { backends });
        const path = join(small, "alice/pkg.zip");
        const output = join(test.home, "results");
        const args = ["train", path, "--session-string", worker.session, "--output-dir", output];
        const run = await test.lab.runClient(backends, args);
        assert.equal(run.code, 1);
        assert.equal(run.summary?.error, "Disk space exhausted on shared storage");
        await modelIn(join(output, "models"));
        assert.match(worker.process.output, /they are kept in /);
      } finally {
        await new Deno.Command("umount", { args: [small] }).output();
      }
    }),
});
