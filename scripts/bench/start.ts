import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildBinaries, type BuiltBinary } from "../local_binaries.ts";
import { type BenchOptions, median, round, seconds, withFolder } from "./measure.ts";

const MIB = 2 ** 20;
const [RUNS, QUICK_RUNS] = [21, 1];
const MODULES = fileURLToPath(new URL("../../node_modules/.deno", import.meta.url));

/** Figures of one binary. */
interface BinaryFigures {
  /** Milliseconds of `--version`. */
  start_ms_p50: number;
  size_mib: number;
  /** MiB of what it is made of. */
  parts: { runtime: number; native_addon: number; own: number; packages: number };
  /** MiB of `node_modules` that are not in it. */
  left_out_mib: number;
}

/** How long the binaries take to start, how large they are, and why. */
export async function benchStart(
  say: (text: string) => void,
  { quick }: BenchOptions,
): Promise<{ binaries: Record<string, BinaryFigures> }> {
  const installed = await bytesBelow(MODULES);
  return await withFolder(async (folder) => {
    const built = await buildBinaries(join(folder, "bin"));
    const times = new Map<string, number[]>(built.map(({ file }) => [file, []]));
    // In turn, so that what else the machine does is shared out.
    for (let run = 0; run < (quick ? QUICK_RUNS : RUNS); run++) {
      for (const { file } of built) times.get(file)!.push(1000 * await seconds(() => version(file)));
    }
    const binaries = Object.fromEntries(built.map((binary) => {
      const figures = { start_ms_p50: round(median(times.get(binary.file)!)), ...sizes(binary, installed) };
      say(`${basename(binary.file)}: ${figures.start_ms_p50} ms, ${figures.size_mib} MiB`);
      return [basename(binary.file), figures];
    }));
    return { binaries };
  });
}

async function version(file: string): Promise<void> {
  const { success } = await new Deno.Command(file, { args: ["--version"] }).output();
  if (!success) throw new Error(`${file} --version failed`);
}

function sizes({ bytes, parts }: BuiltBinary, installed: number): Omit<BinaryFigures, "start_ms_p50"> {
  const { own = 0, "native addon": addon = 0, ...imported } = parts;
  const packages = Object.values(imported).reduce((sum, size) => sum + size, 0);
  const mib = (size: number): number => round(size / MIB);
  return {
    size_mib: mib(bytes),
    parts: {
      runtime: mib(bytes - own - addon - packages),
      native_addon: mib(addon),
      own: mib(own),
      packages: mib(packages),
    },
    left_out_mib: mib(installed - addon - packages),
  };
}

/** Links are not followed: what they lead to lies below as well. */
async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0;
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) bytes += await bytesBelow(path);
    else if (isFile) bytes += (await Deno.stat(path)).size;
  }
  return bytes;
}
