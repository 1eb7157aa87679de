/** Runs the tests and closes with one plain line: `N passed, N failed`, and `, N skipped` where there are any. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Processes at a time: end-to-end tests wait more than they compute. */
const AT_ONCE = 2;

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * What each process runs. Every end-to-end file has one of its own: the native WebRTC library can be loaded by one
 * isolate of a process only, and every test file is an isolate.
 */
async function groups(): Promise<string[][]> {
  if (Deno.args.length > 0) return [Deno.args];
  return [["tests/", "--ignore=tests/e2e/"], ...(await testsIn("tests/e2e")).map((file) => [file])];
}

/** The test files below a folder, in order. */
async function testsIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(ROOT, folder))) {
    if (isDirectory) found.push(...await testsIn(`${folder}/${name}`));
    else if (name.endsWith("_test.ts")) found.push(`${folder}/${name}`);
  }
  return found.sort();
}

/** Shows what several processes say as if they ran one after the other. */
class Output {
  readonly #streams: { pieces: Uint8Array[]; hasEnded: boolean }[] = [];

  /** Where the next process' output goes; `end` is called when there is no more of it. */
  open(): { write(bytes: Uint8Array): void; end(): void } {
    const stream = { pieces: [] as Uint8Array[], hasEnded: false };
    this.#streams.push(stream);
    return {
      write: (bytes): void => {
        stream.pieces.push(bytes);
        this.#show();
      },
      end: (): void => {
        stream.hasEnded = true;
        this.#show();
      },
    };
  }

  #show(): void {
    for (let first; (first = this.#streams[0]) !== undefined;) {
      for (const bytes of first.pieces.splice(0)) {
        for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
      }
      if (!first.hasEnded) return;
      this.#streams.shift();
    }
  }
}

async function runTests(args: readonly string[], output: Output): Promise<Outcome> {
  const run = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdout: "piped",
  }).spawn();
  const decoder = new TextDecoder();
  const shown = output.open();
  let tail = "";
  for await (const bytes of run.stdout) {
    shown.write(bytes);
    tail = (tail + decoder.decode(bytes, { stream: true })).slice(-4096);
  }
  const { code } = await run.status;
  shown.end();
  const summary = /\| (\d+) passed(?: \([^)]*\))? \| (\d+) failed(?: \([^)]*\))?(?: \| (\d+) ignored)?/g;
  const [passed, failed, skipped] = [1, 2, 3].map((group) =>
    Number([...tail.matchAll(summary)].at(-1)?.[group] ?? 0)
  );
  // A runner that fails without a failed test (a module that does not load, a crash) has failed all the same.
  return { passed: passed ?? 0, failed: Math.max(failed ?? 0, code === 0 ? 0 : 1), skipped: skipped ?? 0 };
}

const total: Outcome = { passed: 0, failed: 0, skipped: 0 };
const waiting = await groups();
const output = new Output();
const runner = async (): Promise<void> => {
  for (let group; (group = waiting.shift()) !== undefined;) {
    const { passed, failed, skipped } = await runTests(group, output);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
};
await Promise.all(Array.from({ length: AT_ONCE }, runner));
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
Deno.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);
