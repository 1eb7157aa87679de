import { join } from "node:path";
import { copyFile } from "../../storage/copy.ts";
import { type BenchOptions, type Figures, median, round, seconds, withFolder } from "./measure.ts";

const MIB = 2 ** 20;
const FULL = { bytes: 4096 * MIB, runs: 5 };
const QUICK = { bytes: 64 * MIB, runs: 1 };

async function fill(path: string, bytes: number): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const block = new Uint8Array(4 * MIB);
  for (let done = 0; done < block.length; done += 65_536) {
    crypto.getRandomValues(block.subarray(done, done + 65_536));
  }
  for (let done = 0; done < bytes; done += block.length) await file.write(block);
  // What is still on its way to the disk would slow the first runs.
  await file.sync();
}

/** `cp` and a flush, since our copy flushes as well. */
async function plainCopy(source: string, target: string): Promise<void> {
  const { success } = await new Deno.Command("cp", { args: [source, target] }).output();
  if (!success) throw new Error("cp failed");
  using file = await Deno.open(target, { read: true, write: true });
  await file.sync();
}

/**
 * Copies 4 GiB with `storage/copy` and with `cp`, in turn, on one disk; both flush. The order changes from pair to
 * pair, a first pair is not counted. Medians of five pairs; `ratio` is that of the pairs' ratios.
 */
export function benchCopy(say: (text: string) => void, { quick }: BenchOptions): Promise<Figures> {
  const { bytes, runs } = quick ? QUICK : FULL;
  return withFolder(async (folder) => {
    const [source, target] = [join(folder, "source"), join(folder, "target")];
    await fill(source, bytes);
    const before = Deno.memoryUsage().rss;
    let peak = before;
    const onProgress = (): void => void (peak = Math.max(peak, Deno.memoryUsage().rss));
    const timed = async (work: () => Promise<void>): Promise<number> => {
      const time = await seconds(work);
      await Deno.remove(target);
      return time;
    };
    const copyTheirs = (): Promise<number> => timed(() => plainCopy(source, target));
    const copyOurs = (): Promise<number> => timed(() => copyFile(source, target, { onProgress }));
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let run = 0; run <= runs; run++) {
      const early = run % 2 === 0 ? await copyTheirs() : undefined;
      const our = await copyOurs();
      const their = early ?? await copyTheirs();
      say(`${run === 0 ? "not counted" : `run ${run}`}: cp ${their.toFixed(2)} s, ours ${our.toFixed(2)} s`);
      if (run === 0) continue;
      ours.push(our);
      theirs.push(their);
    }
    const ratios = theirs.map((their, index) => their / ours[index]!);
    return {
      ratio: round(median(ratios)),
      mib_per_s: round(bytes / MIB / median(ours)),
      cp_mib_per_s: round(bytes / MIB / median(theirs)),
      rss_growth_mib: round((peak - before) / MIB),
    };
  });
}
