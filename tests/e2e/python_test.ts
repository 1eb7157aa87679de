/** A second WebRTC implementation on the wire: the Python peers' behaviour, quirks included, on aiortc. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type LabProcess, storageSection } from "../../scripts/local_lab.ts";
import { makeLabels } from "../client/preflight/make_labels.ts";
import { clientConfig, modelIn, namesIn, packageIn, startWorker, type TestLab, withLab } from "./lab.ts";

const PYTHON = "/usr/bin/python3";
const SCRIPTS = fileURLToPath(new URL("../python/", import.meta.url));

async function hasAiortc(): Promise<boolean> {
  try {
    const args = ["-c", "import aiortc, websockets"];
    return (await new Deno.Command(PYTHON, { args, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

const there = await hasAiortc();

function pythonTest(name: string, fn: (test: TestLab) => Promise<void>): void {
  const skipped = there ? "" : " (skipped: needs Debian's python3-aiortc and python3-websockets)";
  Deno.test({ name: `${name}${skipped}`, ignore: !there, fn: () => withLab(fn) });
}

interface PythonEvent {
  event: string;
  text?: string;
  method?: string;
  name?: string;
  path?: string;
  size?: number;
  largest?: number;
}

function events(process: LabProcess): PythonEvent[] {
  return process.stdout.filter((line) => line.startsWith("{")).map((line): PythonEvent => JSON.parse(line));
}

function texts(process: LabProcess): string[] {
  return events(process).flatMap(({ event, text }) => event === "text" && text !== undefined ? [text] : []);
}

function urls({ lab }: TestLab): string[] {
  return ["--signaling-http", lab.httpUrl, "--signaling-ws", lab.wsUrl];
}

async function pythonClient(
  test: TestLab,
  session: string,
  pkg: string,
  args: string[],
): Promise<LabProcess> {
  const output = join(test.folder, "python-out");
  await Deno.mkdir(output, { recursive: true });
  const command = [PYTHON, join(SCRIPTS, "client.py"), ...urls(test), "--session-string", session];
  return test.lab.spawn([...command, "--pkg", pkg, "--output", output, ...args]);
}

/** The Python worker with the example trainer in place of `sleap-nn`. */
async function pythonWorker(
  test: TestLab,
  args: string[],
): Promise<{ process: LabProcess; session: string }> {
  const workdir = join(test.folder, "python-worker");
  await Deno.mkdir(workdir);
  const trainer = fileURLToPath(new URL("../../examples/trainer/main.ts", import.meta.url));
  const program = [Deno.execPath(), "run", "--no-prompt", "--allow-read", "--allow-write=.", trainer];
  const command = [PYTHON, join(SCRIPTS, "worker.py"), ...urls(test), "--workdir", workdir];
  const process = test.lab.spawn([...command, "--train-program", JSON.stringify(program), ...args]);
  const { session } = JSON.parse(await process.line(/"event": ?"session"/));
  return { process, session };
}

pythonTest("the Python client's storage-backend flow is served", async (test) => {
  const worker = await startWorker(test);
  const path = await packageIn(join(test.clientMount, "alice/project"));
  const args = [
    "--storage",
    `vast=${test.clientMount}`,
    "--exit-on",
    "JOB_COMPLETE",
    "--exit-on",
    "JOB_FAILED",
  ];
  const client = await pythonClient(test, worker.session, path, args);
  assert.equal(await client.exited(), 0, client.output);
  const said = texts(client).filter((text) => /^[A-Z_]+(::|$)/.test(text.trim()));
  assert.match(said.join("\n"), /^PATH_VALIDATED::backend\nPATH_VALIDATED::input\nPATH_VALIDATED::output\n/);
  assert.match(
    said.join("\n"),
    /TRAIN_JOB_START::minimal_instance\.centroid\nTRAIN_JOB_END::minimal_instance\.centroid/,
  );
  assert.match(said.at(-1) ?? "", /^JOB_COMPLETE::job_[0-9a-f]{8}::project::3::0\.0\d$/);
  await modelIn(join(test.storage, "alice/project/models"));
});

pythonTest("the Python client's legacy flow is served", async (test) => {
  const worker = await startWorker(test, { backends: "", args: ["--shared-storage-root", test.workerMount] });
  const path = await packageIn(test.home);
  const args = ["--shared-root", test.clientMount, "--storage", "other=/nowhere", "--exit-on", "JOB_"];
  const client = await pythonClient(test, worker.session, path, args);
  assert.equal(await client.exited(), 0, client.output);
  assert.ok(
    events(client).some(({ event, method }) => event === "method" && method === "legacy"),
    client.output,
  );
  const end = texts(client).at(-1) ?? "";
  const folder = /^JOB_COMPLETE::(job_[0-9a-f]{8})::jobs\/\1::/.exec(end)?.[1];
  assert.ok(folder !== undefined, end);
  await modelIn(join(test.storage, "jobs", folder, "models"));
});

pythonTest("the Python client's chunk flow is served, and its result comes back whole", async (test) => {
  const worker = await startWorker(test, { backends: "" });
  const path = await packageIn(test.home, { paddingBytes: 20_000_000 });
  const client = await pythonClient(test, worker.session, path, ["--exit-on-file"]);
  assert.equal(await client.exited(), 0, client.output);
  const file = events(client).find(({ event }) => event === "file");
  assert.equal(file?.name, "trained_pkg.zip");
  assert.ok((file.largest ?? Infinity) <= 65_536);
  const { stdout } = await new Deno.Command("unzip", { args: ["-l", file.path ?? ""] }).output();
  assert.match(new TextDecoder().decode(stdout), /minimal_instance\.centroid\/best_model\.json/);
  client.kill("SIGKILL");
});

pythonTest(
  "a Python client that falls through from a refused backend to chunks is served on one channel",
  async (test) => {
    const worker = await startWorker(test, { backends: "" });
    const path = await packageIn(join(test.clientMount, "alice"));
    const args = ["--storage", `vast=${test.clientMount}`, "--exit-on-file"];
    const client = await pythonClient(test, worker.session, path, args);
    assert.equal(await client.exited(), 0, client.output);
    assert.ok(texts(client).includes("BACKEND_NOT_AVAILABLE::vast"));
    assert.ok(events(client).some(({ event, method }) => event === "method" && method === "rtc"));
  },
);

pythonTest("a Python client that is killed frees the worker within 10 s", async (test) => {
  const worker = await startWorker(test);
  const path = await packageIn(join(test.clientMount, "alice"), { config: { epoch_delay_s: 2 } });
  const client = await pythonClient(test, worker.session, path, ["--storage", `vast=${test.clientMount}`]);
  await client.line(/Epoch 1\//);
  client.kill("SIGKILL");
  await worker.process.line(/ready for the next client/, 10_000);
});

pythonTest(
  "a Python worker runs our job in place; its false failure is success, its results are found",
  async (test) => {
    const worker = await pythonWorker(test, ["--storage", `vast=${test.workerMount}`]);
    const path = await packageIn(join(test.clientMount, "alice/project"));
    const output = join(test.folder, "out");
    const args = ["train", path, "--session-string", worker.session, "--output-dir", output];
    const run = await test.lab.runClient(clientConfig(test), args);
    assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
    assert.equal(run.summary?.method, "in place");
    await modelIn(join(output, "models"));
    assert.ok(texts(worker.process).includes("SHARED_STORAGE_JOB::start"));
  },
);

pythonTest("a Python worker runs a job by copy and over the channel", async (test) => {
  const path = await packageIn(test.home, { paddingBytes: 5_000_000 });
  const worker = await pythonWorker(test, ["--storage", `vast=${test.workerMount}`]);
  const args = ["train", path, "--session-string", worker.session, "--output-dir"];
  const copied = await test.lab.runClient(clientConfig(test), [...args, join(test.folder, "out-copy")]);
  assert.equal(copied.code, 0, `${copied.stderr}\n${worker.process.output}`);
  assert.equal(copied.summary?.method, "copy");
  await modelIn(join(test.folder, "out-copy/models"));
  // The Python worker notices only after half a minute that its client left, and then takes the next.
  await worker.process.line(/"event": ?"registered", "again": ?true/, 60_000);
  const sent = await test.lab.runClient(storageSection("other", test.home), [
    ...args,
    join(test.folder, "out-rtc"),
  ]);
  assert.equal(sent.code, 0, `${sent.stderr}\n${worker.process.output}`);
  assert.equal(sent.summary?.method, "rtc");
  await modelIn(join(test.folder, "out-rtc/models"));
  assert.deepEqual(await namesIn(join(test.storage, "jobs")), []);
});

pythonTest("a Python worker's legacy flow takes our copy", async (test) => {
  const worker = await pythonWorker(test, ["--shared-root", test.workerMount, "--storage", "other=/nowhere"]);
  const path = await packageIn(test.home);
  const output = join(test.folder, "out");
  const run = await test.lab.runClient(storageSection("mine", test.home), [
    "train",
    path,
    "--session-string",
    worker.session,
    "--shared-storage-root",
    test.clientMount,
    "--output-dir",
    output,
  ]);
  assert.equal(run.code, 0, `${run.stderr}\n${worker.process.output}`);
  assert.equal(run.summary?.method, "copy");
  await modelIn(join(output, "models"));
});

pythonTest(
  "a Python worker cannot be asked about videos outside of the package: a warning, and the job goes on",
  async (test) => {
    const worker = await pythonWorker(test, ["--storage", `vast=${test.workerMount}`]);
    await Deno.mkdir(join(test.clientMount, "alice"));
    const given = join(test.clientMount, "alice/labels.slp");
    await Deno.writeFile(given, await makeLabels({ videos: [{ filename: "/data/video.mp4" }] }));
    const config = join(test.folder, "centroid.yaml");
    const example = new URL("../../examples/package/minimal_instance.centroid.yaml", import.meta.url);
    await Deno.copyFile(example, config);
    const args = ["train", given, config, "--session-string", worker.session];
    const run = await test.lab.runClient(clientConfig(test), args);
    const warnings = run.events.flatMap((event) => event.event === "warning" ? [event.text] : []);
    assert.match(warnings.join("\n"), /^worker: it cannot be asked whether it sees \/data\/video\.mp4$/m);
    assert.ok(run.events.some(({ event }) => event === "run_started"), run.stderr);
  },
);
