/** The main job, end to end, on real input: a training package goes to a worker three ways and comes back trained. */
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type ClientEvent, lineOf, type Summary, table } from "../client/screen.ts";
import { sizeText } from "../config/progress.ts";
import { makePackage } from "../examples/make_package.ts";
import { findProgram } from "../worker/host.ts";
import { exampleTrainer, LocalLab, storageSection, type WorkerHandle } from "./local_lab.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Everything the demo makes lies here; begun anew by each run, left for a look afterwards. */
const OUTPUT = join(ROOT, "demo-output");
const STORAGE = join(OUTPUT, "lab-storage");
/** Where the two sides see the same storage. */
const CLIENT_MOUNT = join(OUTPUT, "client/Volumes/lab");
const WORKER_MOUNT = join(OUTPUT, "worker/home/jovyan/vast");
/** In-place jobs send a few short messages only. */
const MAX_IN_PLACE_BYTES = 64 * 1024;

/** One way the package goes. */
interface Way {
  method: Summary["method"];
  package: string;
  clientConfig: string;
  args: string[];
}

/** One row of the closing table. */
interface Row {
  summary: Summary;
  /** Absolute folder of the models, as this process sees it. */
  models: string;
  /** SHA-256 of each file below it, by relative path. */
  hashes: string;
}

/**
 * How a process gets to see the storage at its own mount point: a bind mount in a mount namespace of its own where
 * that is allowed (it goes with the process), else a link.
 */
async function mountAt(mount: string, binds: boolean): Promise<string[]> {
  if (binds) {
    await Deno.mkdir(mount, { recursive: true });
    const script = 'mount --bind "$0" "$1" && shift && exec "$@"';
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, STORAGE, mount];
  }
  await Deno.mkdir(join(mount, ".."), { recursive: true });
  await Deno.symlink(STORAGE, mount);
  return [];
}

async function canBind(): Promise<boolean> {
  if (Deno.build.os !== "linux") return false;
  const script = 'mount --bind "$0" "$0"';
  try {
    const args = ["--mount", "--propagation", "private", "sh", "-c", script, STORAGE];
    return (await new Deno.Command("unshare", { args, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

async function hashesBelow(folder: string, prefix = ""): Promise<string[]> {
  const lines: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) lines.push(...await hashesBelow(path, `${prefix}${name}/`));
    else {
      const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
      lines.push(`${new Uint8Array(digest).toHex()}  ${prefix}${name}`);
    }
  }
  return lines.toSorted();
}

/** Runs the client one way, showing what it says. */
async function go(lab: LocalLab, worker: WorkerHandle, way: Way, prefix: string[]): Promise<Row> {
  console.log(`\n=== ${way.method} ===`);
  const args = ["train", way.package, "--session-string", worker.session, ...way.args];
  const onLine = (json: string): void => {
    const event: ClientEvent = JSON.parse(json);
    const line = event.event === "progress" ? undefined : lineOf(event);
    if (line !== undefined) console.log(line);
  };
  const { code, stderr, summary } = await lab.runClient(way.clientConfig, args, { prefix, onLine });
  if (code !== 0 || !summary?.ok || summary.results === null) {
    throw new Error(`the client ended with exit code ${code}\n${stderr}\n${worker.process.output}`);
  }
  if (summary.method !== way.method) {
    throw new Error(`expected the method ${way.method}, it was ${summary.method}`);
  }
  const models = summary.results.startsWith(CLIENT_MOUNT)
    ? join(STORAGE, relative(CLIENT_MOUNT, summary.results))
    : summary.results;
  return { summary, models, hashes: (await hashesBelow(models)).join("\n") };
}

/** Throws unless each method did what it is for. Training by `sleap-nn` is not the same twice; the example's is. */
function check(rows: readonly Row[], packageBytes: number, repeatable: boolean): void {
  const [inPlace, , rtc] = rows.map(({ summary }) => summary.channel_bytes);
  if ((inPlace ?? Infinity) >= MAX_IN_PLACE_BYTES) {
    throw new Error(`in place moved ${inPlace} bytes over the channel`);
  }
  if ((rtc ?? 0) < packageBytes) throw new Error(`rtc moved ${rtc} bytes, the package has ${packageBytes}`);
  if (!repeatable) return;
  const [first = ""] = rows.map(({ hashes }) => hashes);
  if (first === "" || rows.some(({ hashes }) => hashes !== first)) throw new Error("the three models differ");
}

function tableOf(rows: readonly Row[]): string {
  return table([
    ["method", "over the channel", "job started", "total", "model"],
    ...rows.map(({ summary, models }) => [
      summary.method,
      sizeText(summary.channel_bytes),
      `${summary.time_to_job_start_s?.toFixed(2)} s`,
      `${summary.total_s.toFixed(2)} s`,
      relative(Deno.cwd(), models),
    ]),
  ]);
}

async function main(): Promise<void> {
  await Deno.remove(OUTPUT, { recursive: true }).catch(() => {});
  for (const path of ["alice/project"]) await Deno.mkdir(join(STORAGE, path), { recursive: true });
  for (const path of ["laptop", "results-copy", "results-rtc"]) await Deno.mkdir(join(OUTPUT, path));
  const shared = join(STORAGE, "alice/project/minimal.zip");
  const elsewhere = join(OUTPUT, "laptop/minimal.zip");
  await makePackage(shared);
  await Deno.copyFile(shared, elsewhere);
  const { size } = await Deno.stat(shared);
  const binds = await canBind();
  const [clientPrefix, workerPrefix] = [
    await mountAt(CLIENT_MOUNT, binds),
    await mountAt(WORKER_MOUNT, binds),
  ];
  console.log(`storage:  ${STORAGE}`);
  console.log(`client:   sees it at ${CLIENT_MOUNT} (${binds ? "bind mount" : "link"})`);
  console.log(`worker:   sees it at ${WORKER_MOUNT} (${binds ? "bind mount" : "link"})`);
  console.log(`package:  ${sizeText(size)}, made from examples/minimal_instance.pkg.slp`);

  const real = await findProgram("sleap-nn", Deno.cwd());
  console.log(`trainer:  ${real ?? "examples/trainer (sleap-nn is not installed)"}`);
  const lab = await LocalLab.start(OUTPUT);
  try {
    const workerConfig = `${storageSection("lab", WORKER_MOUNT)}\n${real ? "" : exampleTrainer()}`;
    const worker = await lab.worker(workerConfig, ["--scratch", join(OUTPUT, "worker")], {
      prefix: workerPrefix,
    });
    const common = storageSection("lab", CLIENT_MOUNT);
    const ways: Way[] = [
      {
        method: "in place",
        package: join(CLIENT_MOUNT, "alice/project/minimal.zip"),
        clientConfig: common,
        args: [],
      },
      {
        method: "copy",
        package: elsewhere,
        clientConfig: common,
        args: ["--output-dir", join(OUTPUT, "results-copy")],
      },
      {
        method: "rtc",
        package: elsewhere,
        clientConfig: "",
        args: ["--output-dir", join(OUTPUT, "results-rtc")],
      },
    ];
    const rows: Row[] = [];
    for (const way of ways) rows.push(await go(lab, worker, way, clientPrefix));
    check(rows, size, real === undefined);
    console.log(`\n${tableOf(rows)}`);
    if (!real) console.log(`\nthe three models are identical:\n${rows[0]?.hashes}`);
  } finally {
    await lab.stop();
  }
}

await main();
