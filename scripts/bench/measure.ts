/** Figures by name; numbers only, units in the name. */
export type Figures = Record<string, number>;

/** How a benchmark is to be run. */
export interface BenchOptions {
  /** As small as it can be: shows that it works, and how fast only about. */
  quick: boolean;
  /** What the command line says with a value, by name. */
  given: ReadonlyMap<string, string>;
}

/** Median of some figures. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

/** Seconds that something takes. */
export async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

/** A figure with three significant digits. */
export function round(value: number): number {
  return Number(value.toPrecision(3));
}

/** Runs something with a temporary folder that goes afterwards. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "sleap-rtc-bench-" }));
  try {
    return await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
