/** `plan`, `workers` and the choice of a worker, in separate processes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { z } from "zod";
import { fromSource, storageSection, type WorkerHandle } from "../../scripts/local_lab.ts";
import { makeLabels } from "../client/preflight/make_labels.ts";
import { clientConfig, modelIn, namesIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";
import { Terminal } from "./terminal.ts";

const hasPython = await new Deno.Command("python3", { args: ["--version"] }).output().then(
  ({ success }) => success,
  () => false,
);

/** Two workers of one room: `vast` is the first one's only, which has a scratch folder of its own. */
async function twoWorkers(test: TestLab): Promise<{ near: WorkerHandle; far: WorkerHandle; room: string[] }> {
  const near = await startWorker(test);
  const { roomId, token } = near;
  const scratch = join(test.folder, "far");
  await Deno.mkdir(scratch);
  const far = await startWorker(test, {
    backends: storageSection("elsewhere", scratch),
    args: ["--room-id", roomId, "--token", token, "--scratch", scratch],
  });
  return { near, far, room: ["--room-id", roomId, "--token", token] };
}

/** What a command prints with `--json`, and its exit code. */
async function facts(
  { lab }: TestLab,
  config: string,
  args: readonly string[],
): Promise<{ code: number; lines: Record<string, unknown>[]; stderr: string }> {
  const process = await lab.client(config, args);
  const code = await process.exited();
  return { code, lines: process.stdout.map((line) => JSON.parse(line)), stderr: process.stderr.join("\n") };
}

Deno.test("plan: says of each worker what would happen, and touches none; --dry-run is the same", () =>
  withLab(async (test) => {
    const { near, far, room } = await twoWorkers(test);
    const path = await packageIn(join(test.clientMount, "alice"));
    const heard = [near, far].map(({ process }) => process.output);
    const planned = await facts(test, clientConfig(test), ["plan", path, ...room]);
    assert.equal(planned.code, 0, planned.stderr);
    const outline = planned.lines.map(({ worker, best, method, bytes }) => [worker, best, method, bytes]);
    const { size } = await Deno.stat(path);
    assert.deepEqual(outline, [[near.peerId, true, "in place", 0], [far.peerId, false, "rtc", size]]);
    const dry = await facts(test, clientConfig(test), ["train", path, ...room, "--dry-run"]);
    assert.deepEqual(dry, planned);
    assert.deepEqual([near, far].map(({ process }) => process.output), heard);
    assert.deepEqual(await namesIn(join(test.clientMount, "alice")), ["pkg.zip"]);
    const args = ["plan", path, ...room, "--transfer", "in-place", "--worker-id", far.peerId];
    const impossible = await facts(test, clientConfig(test), args);
    assert.equal(impossible.code, 3);
    assert.match(
      impossible.stderr,
      /no worker could take the job: .*in place is not possible.*\nhint: ask for less/,
    );
    const text = await test.lab.spawn(
      [
        ...fromSource("client/main.ts"),
        "plan",
        path,
        ...room,
        "--config",
        await test.lab.writeConfig(clientConfig(test)),
      ],
      { env: test.lab.environment },
    );
    assert.equal(await text.exited(), 0);
    assert.match(text.output, /method +to move +expected/);
    assert.match(text.output, /pkg\.zip +shared/);
  }));

Deno.test("plan: labels that are sent, videos that stay on shared storage, and what the worker will not find", () =>
  withLab(async (test) => {
    const { near, room } = await twoWorkers(test);
    const videos = [join(test.clientMount, "videos/v.mp4"), join(test.home, "v.mp4"), "/gone/v.mp4"];
    await Deno.mkdir(join(test.storage, "videos"));
    for (const video of videos.slice(0, 2)) await Deno.writeTextFile(video, "frames");
    const [labels, config] = [join(test.home, "labels.slp"), join(test.home, "centroid.yaml")];
    await Deno.writeFile(
      labels,
      await makeLabels({ videos: videos.map((filename) => ({ backend: { filename } })) }),
    );
    await Deno.writeTextFile(config, "data_config: {}");
    const { lines, stderr } = await facts(test, clientConfig(test), ["plan", labels, config, ...room]);
    const plan = lines.find(({ worker }) => worker === near.peerId);
    const files = z.array(z.object({ file: z.string(), fate: z.string() })).parse(plan?.["files"]);
    assert.deepEqual(files.map(({ file, fate }) => [file, fate]), [
      ["labels.slp", "send"],
      ["centroid.yaml", "send"],
      [videos[0], "shared"],
      [videos[1], "missing"],
      [videos[2], "missing"],
    ], stderr);
    assert.deepEqual(await namesIn(test.home), ["centroid.yaml", "labels.slp", "v.mp4"]);
  }));

Deno.test("workers: what they share with this machine, where it is here, and in a pipe what changes", () =>
  withLab(async (test) => {
    const { near, far, room } = await twoWorkers(test);
    const all = await facts(test, clientConfig(test), ["workers", ...room]);
    const shared = all.lines.map((each) => [each["peer_id"], each["status"], each["shared"]]);
    assert.deepEqual(shared, [
      [near.peerId, "available", { vast: test.clientMount }],
      [far.peerId, "available", {}],
    ]);
    for (const line of all.lines) {
      assert.equal(line["event"], "worker");
      assert.deepEqual(Object.keys(line).filter((key) => !/^[a-z_]+$/.test(key)), []);
    }
    const some = await facts(test, clientConfig(test), ["workers", ...room, "--storage", "elsewhere"]);
    assert.deepEqual(some.lines.map(({ peer_id }) => peer_id), [far.peerId]);
    const config = await test.lab.writeConfig(clientConfig(test));
    const command = [...fromSource("client/main.ts"), "workers", ...room, "--storage", "tape"];
    const nobody = test.lab.spawn([...command, "--config", config], { env: test.lab.environment });
    assert.equal(await nobody.exited(), 0, nobody.output);
    assert.deepEqual(nobody.stdout, ['no worker with storage "tape" is in the room']);
    const watching = await test.lab.client(clientConfig(test), ["workers", ...room, "--watch"]);
    await watching.line(new RegExp(far.peerId));
    await far.process.stop();
    const left = JSON.parse(await watching.line(/"change":"left"/));
    assert.deepEqual([left.event, left.peer_id], ["worker", far.peerId]);
    assert.equal(await watching.stop(), 0);
  }));

Deno.test({
  name: `workers: --watch on a terminal draws the list again when it changes${
    hasPython ? "" : " (skipped: needs python3)"
  }`,
  ignore: !hasPython,
  fn: () =>
    withLab(async (test) => {
      const worker = await startWorker(test);
      const config = await test.lab.writeConfig(clientConfig(test));
      const room = ["--room-id", worker.roomId, "--token", worker.token];
      const command = [...fromSource("client/main.ts"), "workers", ...room, "--config", config, "--watch"];
      await using terminal = new Terminal(command, test.lab.environment);
      await terminal.shows(
        new RegExp(`${worker.peerId} .* available .* vast \\(here ${test.clientMount}\\)`),
      );
      await worker.process.stop();
      // deno-lint-ignore no-control-regex -- what a terminal is sent
      await terminal.shows(/\x1b\[H\x1b\[2J[^\x1b]*no worker is in the room/);
      terminal.type("\x03");
      assert.equal(await terminal.ended(), 0, terminal.text);
    }),
});

Deno.test("train: --required-storage leaves only workers that have it, a forced way is the only one", () =>
  withLab(async (test) => {
    const { near, far, room } = await twoWorkers(test);
    const path = await packageIn(test.home);
    const submit = (...args: string[]): ReturnType<typeof test.lab.runClient> =>
      test.lab.runClient(clientConfig(test), ["train", path, ...room, ...args]);
    const without = await submit("--required-storage", "elsewhere");
    assert.equal(without.summary?.worker, far.peerId, without.stderr);
    const sent = await submit("--required-storage", "vast", "--transfer", "rtc");
    assert.deepEqual([sent.summary?.worker, sent.summary?.method], [near.peerId, "rtc"], sent.stderr);
    const nobody = await submit("--required-storage", "nfs");
    assert.equal(nobody.code, 3);
    assert.match(nobody.stderr, /no (suitable )?worker .*"nfs"/);
    const impossible = await submit("--transfer", "in-place");
    assert.equal(impossible.code, 2);
    assert.match(impossible.stderr, /in place is not possible/);
    assert.deepEqual(impossible.events.map(({ event }): string => event), ["error"]);
    const copied = await submit("--transfer", "copy", "--output-dir", join(test.folder, "copied"));
    assert.deepEqual([copied.summary?.worker, copied.summary?.method], [near.peerId, "copy"], copied.stderr);
    assert.match(await modelIn(copied.summary?.results ?? ""), /./);
  }));

Deno.test({
  name: `train: on a terminal a worker is chosen from a list, and Ctrl-C leaves it${
    hasPython ? "" : " (skipped: needs python3)"
  }`,
  ignore: !hasPython,
  fn: () =>
    withLab(async (test) => {
      const { near, far, room } = await twoWorkers(test);
      const path = await packageIn(test.home);
      const config = await test.lab.writeConfig(clientConfig(test));
      const command = [...fromSource("client/main.ts"), "train", path, ...room, "--config", config];
      await using terminal = new Terminal(command, test.lab.environment);
      await terminal.shows(/Which worker\?/);
      assert.match(
        terminal.text,
        new RegExp(
          `whichever is best[^]*${near.peerId.slice(0, 8)}.*shares vast[^]*${far.peerId.slice(0, 8)}`,
        ),
      );
      terminal.type("\x1b[B\x1b[B\r");
      await terminal.shows(new RegExp(`worker ${far.peerId}, storage backends: elsewhere`));
      assert.equal(await terminal.ended(), 0, terminal.text);
      await using second = new Terminal([...command, "--required-storage", "vast"], test.lab.environment);
      await second.shows(new RegExp(`worker ${near.peerId},`));
      assert.equal(await second.ended(), 0);
      assert.ok(!second.text.includes("Which worker?"));
      await using third = new Terminal(command, test.lab.environment);
      await third.shows(/Which worker\?/);
      third.type("\x03");
      assert.equal(await third.ended(), 130, third.text);
    }),
});
