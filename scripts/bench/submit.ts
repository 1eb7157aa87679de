import { join } from "node:path";
import { makePackage } from "../../examples/make_package.ts";
import { buildBinaries } from "../local_binaries.ts";
import { clientRun, fromBinaries, LocalLab, storageSection } from "../local_lab.ts";
import { type BenchOptions, type Figures, median, round, withFolder } from "./measure.ts";

const [RUNS, QUICK_RUNS] = [21, 1];
/** A job that does nothing but leave a model. */
const NOTHING = `[worker.jobs.train]
command = ["/bin/sh", "-c", 'mkdir -p "models/$0" && : > "models/$0/model"', "{run_name}"]
`;

/** How long it takes to hand a job to an idle worker in place, and to see it end: all binaries, over the loopback. */
export async function benchSubmit(say: (text: string) => void, { quick }: BenchOptions): Promise<Figures> {
  return await withFolder(async (folder) => {
    await buildBinaries(join(folder, "bin"));
    const storage = join(folder, "storage");
    await Deno.mkdir(storage);
    const path = join(storage, "package.zip");
    await makePackage(path);
    const lab = await LocalLab.start(folder, [], {}, fromBinaries(join(folder, "bin")));
    try {
      const section = storageSection("lab", storage);
      const worker = await lab.worker(section + NOTHING, ["--scratch", join(folder, "scratch")]);
      const [starts, ends]: [number[], number[]] = [[], []];
      const args = ["train", path, "--session-string", worker.session];
      // The first one warms the machine's caches.
      for (let run = -1; run < (quick ? QUICK_RUNS : RUNS); run++) {
        const { start, end } = await submitOnce(lab, section, args);
        if (run < 0) continue;
        starts.push(start);
        ends.push(end);
        say(`${run + 1}: job started after ${round(start)} ms, ended after ${round(end)} ms`);
      }
      return { start_ms_p50: round(median(starts)), done_ms_p50: round(median(ends)) };
    } finally {
      await lab.stop();
    }
  });
}

/** Milliseconds from the start of the client's process to the start of the job, and to its own end. */
async function submitOnce(
  lab: LocalLab,
  config: string,
  args: readonly string[],
): Promise<{ start: number; end: number }> {
  const began = performance.now();
  let start = NaN;
  const onLine = (line: string): void => {
    if (line.includes('"event":"run_started"')) start = performance.now() - began;
  };
  const { code, stderr, summary } = await clientRun(await lab.client(config, args, { onLine }));
  const end = performance.now() - began;
  if (code !== 0 || summary?.method !== "in place") throw new Error(`the job failed\n${stderr}`);
  return { start, end };
}
