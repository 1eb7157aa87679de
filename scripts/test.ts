/** Runs the tests and closes with one plain line: `N passed, N failed`, and `, N skipped` where there are any. */

const ROOT = new URL("..", import.meta.url);
/**
 * One process each: the native WebRTC library can be loaded by one isolate of a process only, and every test file is
 * an isolate.
 */
const GROUPS: readonly string[][] = Deno.args.length > 0
  ? [Deno.args]
  : [["tests/", "--ignore=tests/e2e/"], ["tests/e2e/"]];

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
}

async function runTests(args: readonly string[]): Promise<Outcome> {
  const run = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdout: "piped",
  }).spawn();
  const decoder = new TextDecoder();
  let tail = "";
  for await (const bytes of run.stdout) {
    await Deno.stdout.write(bytes);
    tail = (tail + decoder.decode(bytes, { stream: true })).slice(-4096);
  }
  const { code } = await run.status;
  const summary = /\| (\d+) passed(?: \([^)]*\))? \| (\d+) failed(?: \([^)]*\))?(?: \| (\d+) ignored)?/g;
  const [passed, failed, skipped] = [1, 2, 3].map((group) =>
    Number([...tail.matchAll(summary)].at(-1)?.[group] ?? 0)
  );
  // A runner that fails without a failed test (a module that does not load, a crash) has failed all the same.
  return { passed: passed ?? 0, failed: Math.max(failed ?? 0, code === 0 ? 0 : 1), skipped: skipped ?? 0 };
}

const total: Outcome = { passed: 0, failed: 0, skipped: 0 };
for (const group of GROUPS) {
  const { passed, failed, skipped } = await runTests(group);
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
}
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
Deno.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);
