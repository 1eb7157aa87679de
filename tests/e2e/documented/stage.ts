/** Where the blocks of a page run: a lab, the programs that they call, and what is in their environment. */
import { join } from "node:path";
import { exampleTrainer, fromSource, storageSection, type WorkerHandle } from "../../../scripts/local_lab.ts";
import { PROGRAMS } from "../../../scripts/programs.ts";
import { LEFT_OUT, ROOT } from "../../docs/blocks.ts";
import { TestRedis } from "../../signaling/redis.ts";
import { packageIn, startWorker, type TestLab, withLab } from "../lab.ts";
import { makeFiles } from "./files.ts";

/** Scripts with the names of the programs that the pages call, and `submitted`. */
const BIN = join(import.meta.dirname!, "bin");
const ADMIN_KEY = "0123456789abcdef";
/** The packages that `submitted` knows: seconds are enough to come back to a job that runs. */
const PACKAGES = { ended: {}, short: { epoch_delay_s: 0.3 }, long: { epoch_delay_s: 5 } };
/** A block that takes longer, in seconds, hangs. */
const LIMIT_S = 240;

/** How a script ended. */
export interface Outcome {
  code: number;
  output: string;
}

/** What the blocks of one page have. */
export class Stage {
  /** Where programs are installed to. */
  readonly installed: string;
  #worker: Promise<WorkerHandle> | undefined;
  #redis: Promise<TestRedis> | undefined;
  #folders = 0;

  private constructor(readonly test: TestLab, private readonly env: Record<string, string>) {
    this.installed = join(test.folder, "installed");
  }

  /** Runs something on a stage of its own, of which nothing is left. */
  static with(play: (stage: Stage) => Promise<void>): Promise<void> {
    const options = { env: { SLEAP_RTC_ADMIN_KEY: ADMIN_KEY } };
    return withLab(
      async (test) => {
        const stage = new Stage(test, await environment(test));
        await Deno.mkdir(stage.installed);
        await Deno.mkdir(join(test.storage, "alice"));
        try {
          await play(stage);
        } finally {
          await (await stage.#redis)?.kill();
        }
      },
      [],
      options,
    );
  }

  /** A worker with a GPU, started when the first one asks for it. */
  worker(): Promise<WorkerHandle> {
    return this.#worker ??= this.#startWorker();
  }

  async #startWorker(): Promise<WorkerHandle> {
    const { test, env } = this;
    const alice = join(test.clientMount, "alice");
    await packageIn(join(alice, "project"), {}, "training.zip");
    for (const [name, config] of Object.entries(PACKAGES)) {
      await packageIn(join(test.folder, "packages"), { config }, `${name}.zip`);
    }
    await packageIn(alice, {}, "training.zip");
    const worker = await startWorker(test, { env });
    env["LAB_SESSION"] = worker.session;
    return worker;
  }

  /** The address of a Redis, started when the first one asks for it. */
  async redis(): Promise<string> {
    return (await (this.#redis ??= TestRedis.start(this.test.folder))).url;
  }

  /** Runs a script in a folder of its own, which has what the script speaks of. */
  async run(script: string): Promise<Outcome> {
    const folder = join(this.test.folder, `block-${++this.#folders}`);
    await Deno.mkdir(folder);
    const config = `${storageSection("vast", this.test.clientMount)}\n${exampleTrainer()}`;
    await Deno.writeTextFile(join(folder, "sleap-rtc.toml"), config);
    await makeFiles(script, folder);
    const process = this.test.lab.spawn(["timeout", String(LIMIT_S), "bash", "-c", script], {
      env: { ...this.test.lab.environment, ...this.env },
      cwd: folder,
    });
    return { code: await process.exited(), output: process.output };
  }
}

/** Settings of whoever runs the tests are left outside; what he has downloaded is not. */
async function environment(test: TestLab): Promise<Record<string, string>> {
  const [programs, leftOut] = [join(test.folder, "programs"), join(test.folder, "left-out")];
  await Deno.mkdir(programs);
  await Deno.mkdir(leftOut);
  for (const { entry } of PROGRAMS) {
    const words = fromSource(entry).map((word) => `'${word}'`).join(" ");
    await script(join(programs, entry.split("/")[0]!), `exec ${words} "$@"`);
  }
  for (const [call, why] of Object.entries(LEFT_OUT)) {
    await script(join(leftOut, call), `echo "${call}: ${why}"`);
  }
  const [path = "", home = ""] = [Deno.env.get("PATH"), Deno.env.get("HOME")];
  return {
    HOME: test.home,
    TMPDIR: test.folder,
    DENO_DIR: Deno.env.get("DENO_DIR") ?? join(home, ".cache/deno"),
    npm_config_cache: Deno.env.get("npm_config_cache") ?? join(home, ".npm"),
    PATH: [join(test.folder, "installed"), BIN, leftOut, path].join(":"),
    SLEAP_RTC_ADMIN_KEY: ADMIN_KEY,
    LAB_DENO: Deno.execPath(),
    LAB_PROJECT: ROOT,
    LAB_PATH: path,
    LAB_PROGRAMS: programs,
    LAB_LEFT_OUT: leftOut,
    LAB_PACKAGES: join(test.folder, "packages"),
  };
}

function script(path: string, line: string): Promise<void> {
  return Deno.writeTextFile(path, `#!/bin/sh\n${line}\n`, { mode: 0o755 });
}
