/** A worker's session over channels of one process, with shell scripts as training runs. */
import { dirname, join } from "node:path";
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from "@zip-js/zip-js";
import type { Channel } from "../../rtc/channel.ts";
import { StorageConfig } from "../../storage/backend.ts";
import { Session } from "../../worker/session.ts";
import { StorageFlow } from "../../worker/storage_flow.ts";
import { type JobSettings } from "../../worker/job.ts";
import { Jobs } from "../../worker/jobs.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { type FakeNative, linkedChannels } from "../rtc/fake_native.ts";

/** A run that trains well. */
export const GOOD_RUN = 'mkdir -p "models/$1" && echo weights > "models/$1/best.ckpt" && echo "epoch 1"';

/** The config of a run is a shell script here; `$1` is the run's name. */
export const JOB: JobSettings = {
  trainCommand: ["/bin/sh", "-c", '. "./$0"', "{config}", "{run_name}"],
  trackCommand: ["/bin/sh", "{arguments}"],
  environment: { PATH: Deno.env.get("PATH") ?? "" },
  killGroup(pid, signal): void {
    try {
      Deno.kill(-pid, signal);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  },
};

/** A ZIP with these files. */
export async function zipOf(files: Record<string, string>): Promise<Uint8Array<ArrayBuffer>> {
  const zip = new ZipWriter(new Uint8ArrayWriter(), { useWebWorkers: false });
  for (const [name, text] of Object.entries(files)) {
    await zip.add(name, new Uint8ArrayReader(new TextEncoder().encode(text)));
  }
  return await zip.close() as Uint8Array<ArrayBuffer>;
}

/** A training package of runs by name. */
export function packageOf(stem: string, runs: Record<string, string>): Promise<Uint8Array<ArrayBuffer>> {
  const names = Object.keys(runs);
  return zipOf({
    [`${stem}/train-script.sh`]: names.map((name) => `sleap-nn train --config-name ${name}.sh\n`).join(""),
    ...Object.fromEntries(names.map((name) => [`${stem}/${name}.sh`, runs[name]!])),
  });
}

/** What a test has of a session. */
export interface Lab {
  /** Temporary folder of everything. */
  dir: string;
  /** Base path of the backend `vast`, and the legacy root. */
  base: string;
  scratch: string;
  client: Channel;
  clientNative: FakeNative;
  workerNative: FakeNative;
  /** Ends with the session. */
  running: Promise<void>;
  /** Where jobs are remembered. */
  jobs: Jobs;
  /** Ids of the jobs that run, whenever they change. */
  status: string[];
  say(...texts: string[]): Promise<void>;
  sendBytes(bytes: Uint8Array): Promise<void>;
  /** The next message; bytes as their length. */
  next(): Promise<string>;
  /** Messages up to and with the first that matches. */
  until(pattern: RegExp): Promise<string[]>;
  /** Puts a file below the base path. */
  put(path: string, content: Uint8Array | string): Promise<void>;
}

/** Runs a test against a session, which is ended afterwards. */
export function withSession(
  test: (lab: Lab) => Promise<void>,
  { legacy = true, job = JOB }: { legacy?: boolean; job?: JobSettings } = {},
): Promise<void> {
  return withTempDir(async (made) => {
    const dir = await Deno.realPath(made);
    const [base, scratch] = [join(dir, "base"), join(dir, "scratch")];
    await Deno.mkdir(base);
    await Deno.mkdir(scratch);
    const { near, far, nearNative, farNative } = linkedChannels();
    const backends = new StorageConfig([{ name: "vast", basePath: base, type: "local", description: "" }]);
    const storage = new StorageFlow(backends, legacy ? base : undefined, "client");
    const status: string[] = [];
    const folder = await Deno.makeTempDir({ prefix: "sleap-rtc-test-jobs-" });
    const jobs: Jobs = new Jobs({
      folder,
      scratch,
      settings: job,
      gpus: [],
      onChange: () => status.push(jobs.running.map(({ id }) => id).join()),
    });
    const session = new Session(far, {
      scratch,
      incoming: scratch,
      storage,
      jobs,
      room: "room",
      comesBack: false,
      visits: false,
    });
    const running = session.run();
    // A test that looks at its outcome does so later.
    running.catch(() => {});
    const messages = near[Symbol.asyncIterator]();
    const next = async (): Promise<string> => {
      const { value } = await messages.next();
      if (value === undefined) throw new Error("the channel ended");
      return typeof value === "string" ? value : `${value.length} bytes`;
    };
    try {
      await test({
        dir,
        base,
        scratch,
        client: near,
        clientNative: nearNative,
        workerNative: farNative,
        running,
        jobs,
        status,
        next,
        async say(...texts): Promise<void> {
          for (const text of texts) await near.send(text);
        },
        sendBytes: (bytes) => near.send(bytes),
        async until(pattern): Promise<string[]> {
          const seen: string[] = [];
          do seen.push(await next()); while (!pattern.test(seen.at(-1)!));
          return seen;
        },
        async put(path, content): Promise<void> {
          await Deno.mkdir(dirname(join(base, path)), { recursive: true });
          if (typeof content === "string") await Deno.writeTextFile(join(base, path), content);
          else await Deno.writeFile(join(base, path), content);
        },
      });
    } finally {
      near.close();
      await running.catch(() => {});
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/** Results that wait for a client, by path below the job's folder, with the runs in `models`. */
export async function keptRuns(jobs: Jobs, id: string): Promise<string[]> {
  const { models } = await jobs.get(id)?.results() ?? {};
  return models === undefined ? [] : names(models);
}

/** Names in a folder. */
export function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).toSorted();
}

/** The messages of the storage-backend flow before the start, one string each. */
export function v2(input: string, output: string, id = "job_1a2b3c4d", subdir = "alice"): string[] {
  return [
    "STORAGE_BACKEND::vast",
    `USER_SUBDIR::${subdir}`,
    `JOB_ID::${id}`,
    "FILE_META::pkg.zip:1:False",
    `SHARED_INPUT_PATH::${input}`,
    `SHARED_OUTPUT_PATH::${output}`,
    "SHARED_STORAGE_JOB::start",
  ];
}
