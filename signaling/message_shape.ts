/** What a message may look like before anybody looks at its fields. */

/** Deeper than anything that peers say, and shallow enough for whatever walks through it. */
const MAX_DEPTH = 64;
/** Longest text of the kinds that have one use, in UTF-16 units; a description of ours has a few thousand. */
const MAX_CHARS: ReadonlyMap<unknown, number> = new Map([
  ["offer", 128 * 1024],
  ["answer", 128 * 1024],
  ["mesh_connect", 128 * 1024],
  ["mesh_answer", 128 * 1024],
  ["candidate", 16 * 1024],
  ["ice_candidate", 16 * 1024],
  ["quit", 16 * 1024],
  ["error", 16 * 1024],
  ["discover_peers", 64 * 1024],
  ["job_submit", 128 * 1024],
  ["job_withdraw", 16 * 1024],
  ["job_answer", 16 * 1024],
  ["job_report", 16 * 1024],
]);

/** Whether a message of a type is longer than any honest one. */
export function isTooLong(type: unknown, text: string): boolean {
  return text.length > (MAX_CHARS.get(type) ?? Infinity);
}

/** Whether objects and lists lie in one another too deeply: recursive code would overflow its stack. */
export function isTooDeep(value: unknown): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return true;
    level = level.flatMap((each) => typeof each === "object" && each !== null ? Object.values(each) : []);
  }
  return false;
}
