/** What tests of sandboxed jobs share: whether bubblewrap runs here, and processes seen from outside. */
import assert from "node:assert/strict";

/** Whether the real bubblewrap is installed and may run here. */
export const bwrapRuns = await canRun();

/** Behind the name of a test that needs it. */
export const SKIPPED = bwrapRuns ? "" : " (skipped: bubblewrap is not installed or cannot run here)";

async function canRun(): Promise<boolean> {
  const args = "--ro-bind / / --unshare-pid --unshare-net --proc /proc --dev /dev true".split(" ");
  const command = new Deno.Command("bwrap", { args, stdout: "null", stderr: "null" });
  return Deno.build.os === "linux" && await command.output().then(({ success }) => success, () => false);
}

/** Signals a process group; one that has ended is no error. */
export function killGroup(pid: number, signal: "SIGINT" | "SIGTERM" | "SIGKILL"): void {
  try {
    Deno.kill(-pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Processes of this machine, also inside of sandboxes, whose command line has this word. */
function runningWith(word: string): number[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((pid) => {
    if (!Number.isInteger(pid)) return false;
    try {
      return Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0").includes(word);
    } catch {
      return false;
    }
  });
}

async function waitUntil(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!isSo() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Waits until a process has this word in its command line: its absence later tells something only then. */
export async function waitUntilThere(word: string): Promise<void> {
  await waitUntil(() => runningWith(word).length > 0);
  assert.ok(runningWith(word).length > 0, `never seen: ${word}`);
}

/** Waits until no process has this word in its command line, at most twenty seconds; those left are killed. */
export async function waitUntilGone(word: string): Promise<void> {
  await waitUntil(() => runningWith(word).length === 0);
  const left = runningWith(word);
  for (const pid of left) Deno.kill(pid, "SIGKILL");
  assert.deepEqual(left, [], `left behind: ${word}`);
}
