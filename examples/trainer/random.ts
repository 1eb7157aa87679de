/** Source of pseudo-random numbers: every call gives the next unsigned 32 bit integer. */
export type RandomSource = () => number;

/** Starts a source; the same `seed` (an integer) gives the same numbers on every machine. Not for secrets. */
export function randomSource(seed: number): RandomSource {
  // mulberry32: a counter through a mixer, so that seed 0 works like any other.
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** A number in [0, 1). */
export function uniform(random: RandomSource): number {
  return random() / 2 ** 32;
}

/** An integer in [0, limit). */
export function below(random: RandomSource, limit: number): number {
  return Math.floor(uniform(random) * limit);
}

/** Brings `items` into random order, in place. */
export function shuffle(random: RandomSource, items: Uint32Array): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = below(random, i + 1);
    const kept = items[i] ?? 0;
    items[i] = items[j] ?? 0;
    items[j] = kept;
  }
}
