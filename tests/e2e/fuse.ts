/** FUSE mounts, whose process a test can slow down, halt or kill. */

async function succeeds(program: string, args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;
export const canMount: boolean = isRoot &&
  await succeeds("sh", ["-c", "command -v bindfs && test -c /dev/fuse"]);

/** Shows the folder `source` at `target`, a new folder, as long as `use` runs; `options` are those of bindfs. */
export async function withFuse(
  source: string,
  target: string,
  options: readonly string[],
  use: (bindfs: Deno.ChildProcess) => Promise<void>,
): Promise<void> {
  await Deno.mkdir(target);
  const fresh = "attr_timeout=0,entry_timeout=0,negative_timeout=0";
  const args = ["-f", ...options, "-o", fresh, source, target];
  const bindfs = new Deno.Command("bindfs", { args, stdout: "null", stderr: "null" }).spawn();
  try {
    while (!await succeeds("mountpoint", ["-q", target])) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await use(bindfs);
  } finally {
    try {
      bindfs.kill("SIGKILL");
    } catch {
      // The test has killed it already.
    }
    await bindfs.status;
    await succeeds("umount", ["-l", target]);
  }
}
