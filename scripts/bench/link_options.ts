const UNITS: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };

/** Bits per second of a text such as `300mbit`; Infinity when nothing is given. */
export function parseRate(text: string | undefined): number {
  if (text === undefined) return Infinity;
  const found = /^(\d+(?:\.\d+)?)(bit|kbit|mbit|gbit)$/.exec(text);
  if (!found || Number(found[1]) === 0) throw new Error(`"${text}" is no rate, such as 300mbit`);
  return Number(found[1]) * UNITS[found[2]!]!;
}

/** Probability, 0 to 1, of a text such as `0.1%`; 0 when nothing is given. */
export function parseLoss(text: string | undefined): number {
  if (text === undefined) return 0;
  const found = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (!found || Number(found[1]) > 100) throw new Error(`"${text}" is no share, such as 0.1%`);
  return Number(found[1]) / 100;
}
