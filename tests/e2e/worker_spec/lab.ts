/** A real worker, spoken to word by word by a client in a process of its own; runs are shell scripts. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { storageSection, type WorkerHandle } from "../../../scripts/local_lab.ts";
import { TextLineStream } from "../../../scripts/text_lines.ts";
import { zip } from "../../storage/zips.ts";
import { namesIn, type TestLab, withLab } from "../lab.ts";
import type { Heard, Order } from "../raw_client.ts";
import { until } from "../transfer.ts";

export const JOB = "job_1a2b3c4d";
/** What is longer in coming does not come, in milliseconds. */
const LIMIT_MS = 60_000;
const SCRIPT = fileURLToPath(new URL("../raw_client.ts", import.meta.url));

/** The config of a run is a shell script here; `$1` is the run's name, then the trainer's two ports. */
const SHELL_RUNS = `[worker.jobs.train]
command = ["/bin/sh", "-c", '. "./$0"', "{config}", "{run_name}", "{controller_port}", "{publish_port}"]
`;

/** A run that shows the package's data and makes a model of it. */
export const GOOD_RUN = 'cat data.txt && mkdir -p "models/$1" && cp data.txt "models/$1/best.ckpt"\n';

/** The bytes of a training package: runs by name, and a file of data. */
export function packageOf(
  runs: Record<string, string> = { centroid: GOOD_RUN },
  data = "data of the package\n",
): Promise<Uint8Array> {
  const names = Object.keys(runs);
  return zip([
    ["pkg/train-script.sh", names.map((name) => `sleap-nn train --config-name ${name}.sh\n`).join("")],
    ["pkg/data.txt", data],
    ...names.map((name) => [`pkg/${name}.sh`, runs[name]!] as const),
  ]);
}

/** Writes a package into a folder that may have to be made; returns its path. */
export async function put(path: string, content?: Uint8Array): Promise<string> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeFile(path, content ?? await packageOf());
  return path;
}

/** A client that is told what to say, and keeps what it hears. */
export class RawClient {
  readonly #child: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #heard: string[] = [];

  private constructor({ lab }: TestLab, { roomId, token, peerId }: WorkerHandle) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", SCRIPT, lab.httpUrl, lab.wsUrl, roomId, token, peerId],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#orders = this.#child.stdin.getWriter();
    this.#lines = this.#child.stdout
      .pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream()).getReader();
  }

  /** Connects to a worker. */
  static async connect(test: TestLab, worker: WorkerHandle): Promise<RawClient> {
    const client = new RawClient(test, worker);
    await client.#line();
    return client;
  }

  /** Sends texts as they are. */
  async say(...texts: string[]): Promise<void> {
    for (const say of texts) await this.#order({ say });
  }

  /** Announces a file, sends it in chunks, and ends it. */
  send(file: string): Promise<void> {
    return this.#order({ file });
  }

  /** The next message; bytes as how many they are. */
  async next(): Promise<string> {
    const heard = await this.#line();
    const text = "text" in heard ? heard.text : "bytes" in heard ? `${heard.bytes} bytes` : "opened";
    this.#heard.push(text);
    return text;
  }

  /** Messages up to and with the first that matches. */
  async until(pattern: RegExp): Promise<string[]> {
    const seen: string[] = [];
    do seen.push(await this.next()); while (!pattern.test(seen.at(-1)!));
    return seen;
  }

  /** Says something and returns the answer. */
  async ask(text: string): Promise<string> {
    await this.say(text);
    return await this.next();
  }

  /** Leaves, and waits until the process is gone. */
  async leave(): Promise<void> {
    await this.#orders.close().catch(() => {});
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), LIMIT_MS);
    while (!(await this.#lines.read()).done);
    await this.#child.status;
    clearTimeout(timer);
  }

  #order(order: Order): Promise<void> {
    return this.#orders.write(new TextEncoder().encode(`${JSON.stringify(order)}\n`));
  }

  async #line(): Promise<Heard> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const fail = (why: string): Error => new Error(`${why}; heard so far:\n${this.#heard.join("\n")}`);
    const timer = setTimeout(() => reject(fail(`nothing came for ${LIMIT_MS / 1000} s`)), LIMIT_MS);
    try {
      const { value } = await Promise.race([this.#lines.read(), late]);
      if (value === undefined) throw fail("the connection ended");
      return JSON.parse(value);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What a scenario works with. */
export interface Scenario extends TestLab {
  worker: WorkerHandle;
  client: RawClient;
  /** Base path of the backend `vast`, unless a scenario says otherwise. */
  base: string;
  /** The worker's scratch folder. */
  scratch: string;
}

/** How a scenario's worker is set up, when the lab is there. */
export interface ScenarioOptions {
  /** Storage sections of the configuration; default: the backend `vast` at `base`. */
  storage?: (test: TestLab) => string;
  args?: (test: TestLab) => string[];
  env?: (test: TestLab) => Record<string, string>;
  prefix?: (test: TestLab) => string[];
}

function startSpecWorker(test: TestLab, options: ScenarioOptions): Promise<WorkerHandle> {
  const storage = options.storage?.(test) ?? storageSection("vast", test.storage);
  const args = ["--scratch", join(test.folder, "scratch"), ...options.args?.(test) ?? []];
  const [env, prefix] = [options.env?.(test) ?? {}, options.prefix?.(test) ?? []];
  return test.lab.worker(`${storage}\n${SHELL_RUNS}`, args, { env, prefix });
}

/** Runs a scenario against a worker and a client that is connected to it; both are gone afterwards. */
export function scenario(
  body: (scenario: Scenario) => Promise<void>,
  options: ScenarioOptions = {},
): Promise<void> {
  return withLab(async (test) => {
    const worker = await startSpecWorker(test, options);
    const client = await RawClient.connect(test, worker);
    try {
      await body({ ...test, worker, client, base: test.storage, scratch: join(test.folder, "scratch") });
    } catch (error) {
      console.error(worker.process.output);
      throw error;
    } finally {
      await client.leave();
    }
  });
}

/** Begins the storage-backend flow for the user `alice`. */
export async function begin(client: RawClient, backend = "vast"): Promise<void> {
  assert.equal(await client.ask(`STORAGE_BACKEND::${backend}`), "PATH_VALIDATED::backend");
  await client.say("USER_SUBDIR::alice", `JOB_ID::${JOB}`, "FILE_META::pkg.zip:1:False");
}

/** Names both paths, which are accepted. */
export async function choosePaths(client: RawClient, input: string, output: string): Promise<void> {
  assert.equal(await client.ask(`SHARED_INPUT_PATH::${input}`), "PATH_VALIDATED::input");
  assert.equal(await client.ask(`SHARED_OUTPUT_PATH::${output}`), "PATH_VALIDATED::output");
}

/** Runs a storage job to its end; all that was said. */
export async function runJob(
  client: RawClient,
  input: string,
  output: string,
  backend = "vast",
): Promise<string[]> {
  await begin(client, backend);
  await choosePaths(client, input, output);
  await client.say("SHARED_STORAGE_JOB::start");
  return await client.until(/^JOB_(COMPLETE|FAILED)::/);
}

/** Waits until nothing of a job is left in the worker's scratch folder: that goes after the last word. */
export async function emptied(scratch: string): Promise<void> {
  const [own = ""] = (await namesIn(scratch)).filter((name) => name.startsWith("sleap-rtc-worker-"));
  await until(
    "an empty scratch folder",
    async () => (await namesIn(join(scratch, own))).length === 0 || undefined,
  );
}

/** Whether this is Linux, and we are root. */
export const isRoot: boolean = Deno.build.os === "linux" && Deno.uid() === 0;

/** A test that only root can run; its name says when it is skipped, what `needs` beyond root included. */
export function rootTest(name: string, fn: () => Promise<void>, has = true, needs = "root"): void {
  const ignore = !isRoot || !has;
  Deno.test({ name: ignore ? `${name} (skipped: needs ${needs})` : name, ignore, fn });
}

/** Runs a program, which must succeed. */
export async function sh(program: string, ...args: string[]): Promise<void> {
  assert.ok((await new Deno.Command(program, { args }).output()).success, `${program} ${args.join(" ")}`);
}
