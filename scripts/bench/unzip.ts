import { join } from "node:path";
import { LineChild } from "./child.ts";
import { type BenchOptions, type Figures, median, round, seconds, withFolder } from "./measure.ts";
import { writeMixedPackage } from "./mixed_package.ts";

const MIB = 2 ** 20;
/** Part of the package, and pairs. */
const FULL = { share: 1, runs: 5 };
const QUICK = { share: 1 / 16, runs: 1 };

async function run(program: string, args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, stderr: "piped" }).output();
  if (!success) throw new Error(`${program} failed: ${new TextDecoder().decode(stderr)}`);
}

/**
 * Unpacks a mixed package of 1 GiB with `storage/archive`, each time in a new process with a sandbox like the
 * worker's, and with `unzip -q`, in turn, on one disk. The order changes from pair to pair, a first pair is not
 * counted; what was written goes to the disk between the runs. Medians of five pairs; `ratio`, theirs by ours, is that
 * of the pairs' ratios; `rss_growth_mib` the most that a process grew.
 */
export function benchUnzip(say: (text: string) => void, { quick }: BenchOptions): Promise<Figures> {
  const { share, runs } = quick ? QUICK : FULL;
  return withFolder(async (folder) => {
    const [archive, target] = [join(folder, "package.zip"), join(folder, "target")];
    await writeMixedPackage(archive, share);
    const { size } = await Deno.stat(archive);
    say(`the package has ${Math.round(size / MIB)} MiB`);
    let growth = 0;
    const timed = async (work: () => Promise<number>): Promise<number> => {
      await Deno.mkdir(target);
      const time = await work();
      await run("sync", ["-f", folder]);
      await Deno.remove(target, { recursive: true });
      await run("sync", ["-f", folder]);
      return time;
    };
    const unpackTheirs = (): Promise<number> =>
      timed(() => seconds(() => run("unzip", ["-q", archive, "-d", target])));
    const unpackOurs = (): Promise<number> =>
      timed(async () => {
        await using child = new LineChild("./unzip_child.ts", [archive]);
        const before = Number(await child.line()) / MIB;
        await child.tell(target);
        const time = Number(await child.line());
        growth = Math.max(growth, await child.peakRssMib() - before);
        return time;
      });
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let pair = 0; pair <= runs; pair++) {
      const early = pair % 2 === 0 ? await unpackTheirs() : undefined;
      const our = await unpackOurs();
      const their = early ?? await unpackTheirs();
      const name = pair === 0 ? "not counted" : `pair ${pair}`;
      say(`${name}: unzip ${their.toFixed(2)} s, ours ${our.toFixed(2)} s`);
      if (pair === 0) continue;
      ours.push(our);
      theirs.push(their);
    }
    return {
      ratio: round(median(theirs.map((their, index) => their / ours[index]!))),
      mib_per_s: round(size / MIB / median(ours)),
      unzip_mib_per_s: round(size / MIB / median(theirs)),
      rss_growth_mib: round(growth),
      package_mib: round(size / MIB),
    };
  });
}
