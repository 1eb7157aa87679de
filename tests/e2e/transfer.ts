/** Looks at a transfer over the data channel from outside, while its two processes come and go. */
import { join } from "node:path";
import type { ClientRun, Credentials, LabProcess, WorkerHandle } from "../../scripts/local_lab.ts";
import { namesIn, startWorker, type TestLab } from "./lab.ts";

export const MIB = 2 ** 20;
/** How often files and processes are looked at, in milliseconds; nothing else tells of them. */
const LOOK_MS = 10;
/** A state that does not come within so many milliseconds does not come. */
const LIMIT_MS = 60_000;

/** A worker without storage, in a room that is there already or one of its own. */
export function channelWorker(test: TestLab, room?: Credentials): Promise<WorkerHandle> {
  const args = room ? ["--room-id", room.roomId, "--token", room.token] : [];
  return startWorker(test, { backends: "", args });
}

/** A client that sends a package over the channel; its results go to `out`. */
export function channelClient(test: TestLab, worker: WorkerHandle, path: string): Promise<LabProcess> {
  const args = ["train", path, "--session-string", worker.session, "--output-dir", join(test.folder, "out")];
  return test.lab.client("", args);
}

/** Waits until `look` makes something of the state of files and processes. Throws when nothing comes of it. */
export async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${LIMIT_MS / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Bytes of a package that the worker has on disk; 0 when it has none of it. */
export async function bytesOnDisk({ folder }: TestLab, name = "pkg.zip"): Promise<number> {
  const incoming = join(folder, "scratch/incoming");
  const [key = "none"] = await namesIn(incoming).catch(() => []);
  return (await Deno.stat(join(incoming, key, "files", name)).catch(() => undefined))?.size ?? 0;
}

/** How far a process has read a file that it has open; undefined when it has not. */
export async function readPosition({ pid }: LabProcess, path: string): Promise<number | undefined> {
  const descriptors = await namesIn(`/proc/${pid}/fd`).catch(() => []);
  for (const descriptor of descriptors) {
    const target = await Deno.readLink(`/proc/${pid}/fd/${descriptor}`).catch(() => undefined);
    if (target !== path) continue;
    const info = await Deno.readTextFile(`/proc/${pid}/fdinfo/${descriptor}`).catch(() => "");
    const position = /^pos:\s*(\d+)/m.exec(info)?.[1];
    if (position !== undefined) return Number(position);
  }
  return undefined;
}

/** What a client said, for messages. */
export function said(run: ClientRun, worker: WorkerHandle): string {
  const events = run.events.map((event) => JSON.stringify(event)).join("\n");
  return `${events}\n${run.stderr}\n--- worker:\n${worker.process.output}`;
}
