import { join } from "node:path";
import { StorageConfig } from "../../storage/backend.ts";
import { StorageResolver } from "../../storage/resolver.ts";
import { type BenchOptions, type Figures, median, round, seconds, withFolder } from "./measure.ts";

const [CALLS, QUICK_CALLS] = [20_000, 200];
const RUNS = 5;
const MANY = 10_000;

async function rate(resolver: StorageResolver, backend: string, calls: number): Promise<number> {
  const rates: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const taken = await seconds(async () => {
      for (let call = 0; call < calls; call++) {
        await resolver.resolve(backend, "alice", "project/day 1/pkg.zip");
      }
    });
    rates.push(calls / taken);
  }
  return median(rates);
}

/** Checked resolutions of one existing path, one after the other; with one backend and with 10,000. */
export function benchResolve(say: (text: string) => void, { quick }: BenchOptions): Promise<Figures> {
  const calls = quick ? QUICK_CALLS : CALLS;
  return withFolder(async (folder) => {
    const entry = (name: string): ConstructorParameters<typeof StorageConfig>[0][number] => ({
      name,
      basePath: folder,
      type: "local",
      description: "",
    });
    await Deno.mkdir(join(folder, "alice/project/day 1"), { recursive: true });
    await Deno.writeTextFile(join(folder, "alice/project/day 1/pkg.zip"), "");
    const one = await rate(new StorageResolver(new StorageConfig([entry("vast")])), "vast", calls);
    say(`one backend: ${Math.round(one)} per second`);
    const names = Array.from({ length: MANY }, (_, index) => `backend-${index}`);
    const many = await rate(
      new StorageResolver(new StorageConfig(names.map(entry))),
      `backend-${MANY / 2}`,
      calls,
    );
    say(`${MANY} backends: ${Math.round(many)} per second`);
    return { per_s: round(one), per_s_many_backends: round(many), many_ratio: round(many / one) };
  });
}
