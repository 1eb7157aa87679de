import { join } from "node:path";
import { differences, issueChallenge } from "../../storage/proof.ts";
import { type BenchOptions, type Figures, median, round, seconds, withFolder } from "./measure.ts";

const [RUNS, QUICK_RUNS] = [50, 3];
const SIZES: readonly [name: string, bytes: number][] = [["1_mib", 2 ** 20], ["1_gib", 2 ** 30], [
  "8_gib",
  8 * 2 ** 30,
]];

/** Both sides of the proof that a storage is the same, one after the other, in milliseconds, by the file's size. */
export function benchProof(say: (text: string) => void, { quick }: BenchOptions): Promise<Figures> {
  return withFolder(async (folder) => {
    const figures: Figures = {};
    for (const [name, bytes] of SIZES) {
      const path = join(folder, name);
      // Sparse: what is measured is the sampling, which touches a megabyte of it.
      await Deno.writeTextFile(path, "x");
      await Deno.truncate(path, bytes);
      const times: number[] = [];
      for (let run = 0; run < (quick ? QUICK_RUNS : RUNS); run++) {
        times.push(
          await seconds(async () => {
            const { challenge, withdraw } = await issueChallenge(path);
            using file = await Deno.open(path, { read: true });
            const found = await differences({ file, info: await file.stat() }, challenge);
            await withdraw();
            if (found.length > 0) throw new Error(found.join());
          }),
        );
      }
      figures[`ms_${name}`] = round(median(times) * 1000);
      say(`${name}: ${figures[`ms_${name}`]} ms`);
    }
    return figures;
  });
}
