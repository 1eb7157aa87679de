/** A signaling server, workers and clients as separate processes on this machine; for the demo, benchmarks and tests. */
import { programOf, runArguments } from "./programs.ts";
import { TextLineStream } from "./text_lines.ts";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ClientEvent, Summary } from "../client/screen.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** A process gets this long to start, in milliseconds. */
const START_LIMIT_MS = 60_000;

/** Options that every process takes. */
export interface ProcessOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** Put in front of the command, e.g. to run it in a namespace of its own. */
  prefix?: readonly string[];
  /** Called with each line of standard output as it comes. */
  onLine?: (line: string) => void;
}

/** The command that runs a program, by its entry point. */
export type Programs = (entry: string) => string[];

/** The command that runs a program from source, from any folder. */
export function fromSource(entry: string): string[] {
  return [Deno.execPath(), ...runArguments(entry).with(-1, join(ROOT, entry))];
}

/** The commands that run the binaries in a folder. */
export function fromBinaries(folder: string): Programs {
  return (entry) => [join(folder, programOf(entry).name)];
}

/** Settings of this project must not leak in from whoever runs the lab. */
function cleanEnvironment(extra: Record<string, string> = {}): Record<string, string> {
  const kept = Object.entries(Deno.env.toObject()).filter(([name]) =>
    !/^(SLEAP_RTC_|SHARED_STORAGE_)/.test(name)
  );
  return { ...Object.fromEntries(kept), NO_COLOR: "1", ...extra };
}

/** A running program whose output is kept, line by line. */
export class LabProcess {
  readonly #child: Deno.ChildProcess;
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #drained: Promise<unknown>;

  constructor(args: readonly string[], { env, cwd = ROOT, prefix = [], onLine }: ProcessOptions = {}) {
    const [program = "", ...rest] = [...prefix, ...args];
    this.#child = new Deno.Command(program, {
      args: rest,
      cwd,
      clearEnv: true,
      env: cleanEnvironment(env),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#drained = Promise.all([
      this.#collect(this.#child.stdout, this.stdout, onLine),
      this.#collect(this.#child.stderr, this.stderr),
    ]);
  }

  get pid(): number {
    return this.#child.pid;
  }

  async #collect(
    stream: ReadableStream<Uint8Array>,
    lines: string[],
    onLine?: (line: string) => void,
  ): Promise<void> {
    for await (const line of stream.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())) {
      lines.push(line);
      onLine?.(line);
      for (const wake of this.#waiting) wake();
    }
    for (const wake of this.#waiting) wake();
  }

  /** The first line of either output that matches. Throws with all output when the process ends, or time runs out. */
  async line(pattern: RegExp, limitMs = START_LIMIT_MS): Promise<string> {
    let [ended, late] = [false, false];
    void this.exited().then(() => {
      ended = true;
      for (const wake of this.#waiting) wake();
    });
    const timer = setTimeout(() => {
      late = true;
      for (const wake of this.#waiting) wake();
    }, limitMs);
    try {
      for (;;) {
        const found = [...this.stdout, ...this.stderr].find((line) => pattern.test(line));
        if (found !== undefined) return found;
        if (ended || late) {
          throw new Error(
            `${ended ? "it ended" : "time ran out"} without a line like ${pattern}:\n${this.output}`,
          );
        }
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            this.#waiting.delete(wake);
            resolve();
          };
          this.#waiting.add(wake);
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** All output so far, for messages. */
  get output(): string {
    return [...this.stdout, ...this.stderr].join("\n");
  }

  /** Exit code, after all output was read. */
  async exited(): Promise<number> {
    const { code } = await this.#child.status;
    await this.#drained;
    return code;
  }

  /** Peak resident memory in MiB, where the system tells it; undefined when the process is gone. */
  peakMemory(): Promise<number | undefined> {
    return this.#memory(/^VmHWM:\s+(\d+) kB/m);
  }

  /** Resident memory now, as {@link peakMemory}. */
  memory(): Promise<number | undefined> {
    return this.#memory(/^VmRSS:\s+(\d+) kB/m);
  }

  async #memory(line: RegExp): Promise<number | undefined> {
    try {
      const kib = line.exec(await Deno.readTextFile(`/proc/${this.pid}/status`))?.[1];
      return kib === undefined ? undefined : Number(kib) / 1024;
    } catch {
      return undefined;
    }
  }

  /** Sends a signal; one that has ended is no error. */
  kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** Ends it as Ctrl-C does, and returns its exit code. */
  stop(): Promise<number> {
    this.kill("SIGINT");
    return this.exited();
  }
}

/** What a worker tells when it is ready. */
export interface WorkerHandle extends Credentials {
  process: LabProcess;
}

/** How to reach a worker. */
export interface Credentials {
  session: string;
  roomId: string;
  token: string;
  peerId: string;
}

/** How a client run ended. */
export interface ClientRun {
  code: number;
  events: ClientEvent[];
  stderr: string;
  /** Undefined when the job was never begun. */
  summary: Summary | undefined;
}

function signalingServer(
  httpPort: string,
  wsPort: string,
  args: readonly string[] = [],
  options: ProcessOptions = {},
  programs: Programs = fromSource,
): LabProcess {
  const ports = ["--host", "127.0.0.1", "--http-port", httpPort, "--ws-port", wsPort, "--json"];
  // Labs at the same time must not meet in one file.
  const store = args.includes("--store") ? [] : ["--store", "memory"];
  return new LabProcess([...programs("signaling/main.ts"), ...ports, ...store, ...args], options);
}

/** The processes of one lab; stop it, or they stay. */
export class LocalLab {
  /** Absolute; configuration files and whatever the caller puts there. */
  readonly folder: string;
  readonly httpUrl: string;
  readonly wsUrl: string;
  readonly #processes: LabProcess[] = [];
  readonly #signalingArgs: readonly string[];
  #signaling: LabProcess;
  readonly #programs: Programs;
  #configs = 0;

  private constructor(
    folder: string,
    programs: Programs,
    signaling: LabProcess,
    signalingArgs: readonly string[],
    urls: { http: string; websocket: string },
  ) {
    this.#programs = programs;
    this.folder = folder;
    this.#signaling = signaling;
    this.#signalingArgs = signalingArgs;
    this.httpUrl = urls.http;
    this.wsUrl = urls.websocket;
    this.#processes.push(signaling);
  }

  /** Starts a signaling server on free ports. `folder` must exist. */
  static async start(
    folder: string,
    args: readonly string[] = [],
    options: ProcessOptions = {},
    programs: Programs = fromSource,
  ): Promise<LocalLab> {
    const signaling = signalingServer("0", "0", args, options, programs);
    const line = await signaling.line(/"listening"/);
    return new LocalLab(folder, programs, signaling, args, JSON.parse(line));
  }

  /** Kills the signaling server and starts it again at its ports; it forgets its rooms unless it has a `--store`. */
  async restartSignaling(): Promise<void> {
    this.#signaling.kill("SIGKILL");
    await this.#signaling.exited();
    const [http, websocket] = [this.httpUrl, this.wsUrl].map((url) => new URL(url).port);
    this.#signaling = signalingServer(http!, websocket!, this.#signalingArgs, {}, this.#programs);
    this.#processes.push(this.#signaling);
    await this.#signaling.line(/"listening"/);
  }

  /** The environment that points a program at this lab's server, and its records at this lab's folder. */
  get environment(): Record<string, string> {
    return {
      SLEAP_RTC_SIGNALING_HTTP: this.httpUrl,
      SLEAP_RTC_SIGNALING_WS: this.wsUrl,
      SLEAP_RTC_JOBS_DIR: join(this.folder, "submitted"),
    };
  }

  /** Runs any program until the lab stops. */
  spawn(args: readonly string[], options: ProcessOptions = {}): LabProcess {
    const process = new LabProcess(args, options);
    this.#processes.push(process);
    return process;
  }

  /** Writes a configuration file into the lab's folder and returns its path. */
  async writeConfig(toml: string): Promise<string> {
    const path = join(this.folder, `config-${++this.#configs}.toml`);
    await Deno.writeTextFile(path, toml);
    return path;
  }

  /** Starts a worker and waits until it is in its room. `toml` is its configuration file. */
  async worker(
    toml: string,
    args: readonly string[] = [],
    options: ProcessOptions = {},
  ): Promise<WorkerHandle> {
    const config = await this.writeConfig(toml);
    const process = this.spawn(
      [...this.#programs("worker/main.ts"), "--config", config, "--json", ...args],
      { ...options, env: { ...this.environment, ...options.env } },
    );
    const { session, room_id, token, peer_id } = JSON.parse(await process.line(/"event":"registered"/));
    return { process, session, roomId: room_id, token, peerId: peer_id };
  }

  /** Starts a client; `args` follow its program name. */
  async client(toml: string, args: readonly string[], options: ProcessOptions = {}): Promise<LabProcess> {
    const config = await this.writeConfig(toml);
    const [command = "", ...rest] = args;
    return this.spawn(
      [...this.#programs("client/main.ts"), command, "--config", config, "--json", ...rest],
      { ...options, env: { ...this.environment, ...options.env } },
    );
  }

  /** Runs a client to its end. */
  async runClient(toml: string, args: readonly string[], options: ProcessOptions = {}): Promise<ClientRun> {
    return clientRun(await this.client(toml, args, options));
  }

  /** Ends all processes. */
  async stop(): Promise<void> {
    const running = this.#processes.splice(0).toReversed();
    for (const process of running) process.kill("SIGINT");
    const timer = setTimeout(() => running.forEach((process) => process.kill("SIGKILL")), 10_000);
    await Promise.all(running.map((process) => process.exited()));
    clearTimeout(timer);
  }
}

/** Waits for a client's end and reads its events. */
export async function clientRun(process: LabProcess): Promise<ClientRun> {
  const code = await process.exited();
  const events = process.stdout.map((line): ClientEvent => JSON.parse(line));
  const summary = events.flatMap((event) => event.event === "summary" ? [event.summary] : [])[0];
  return { code, events, stderr: process.stderr.join("\n"), summary };
}

/** A `[worker.jobs.train]` section that runs the example trainer in place of `sleap-nn`. */
export function exampleTrainer(): string {
  const trainer = join(ROOT, "examples/trainer/main.ts");
  const command = [
    Deno.execPath(),
    "run",
    "--no-prompt",
    "--allow-read",
    "--allow-write=.",
    trainer,
    "train",
    "--config-name",
    "{config}",
    "--config-dir",
    ".",
    "trainer_config.ckpt_dir=models",
    "trainer_config.run_name={run_name}",
  ];
  return `[worker]\njob_environment = ["DENO_DIR"]\n\n[worker.jobs.train]\ncommand = ${
    JSON.stringify(command)
  }\n`;
}

/** A `[storage.NAME]` section. */
export function storageSection(name: string, basePath: string): string {
  return `[storage.${name}]\nbase_path = ${JSON.stringify(basePath)}\n`;
}
