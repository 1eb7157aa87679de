import assert from "node:assert/strict";
import fc from "fast-check";
import { execute, type ExecutorOptions, JobError, OutputCutter } from "../../worker/executor.ts";
import { withTempDir } from "../examples/trainer_run.ts";

const OPTIONS: ExecutorOptions = {
  environment: { PATH: Deno.env.get("PATH") ?? "" },
  killGroup(pid, signal): void {
    try {
      Deno.kill(-pid, signal);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  },
};

/** Runs a shell script; returns status and output. */
async function shell(script: string, options = OPTIONS): Promise<{ status: number; pieces: string[] }> {
  const pieces: string[] = [];
  const sink = (piece: string): Promise<void> => Promise.resolve(void pieces.push(piece));
  const status = await execute(["sh", "-c", script], "/", sink, new AbortController().signal, options);
  return { status, pieces };
}

/** Whether a process is there and not a zombie. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

/** Waits for the end of a process, at most six seconds; kills it when it does not end. */
async function assertEnds(pid: number): Promise<void> {
  const deadline = performance.now() + 6_000;
  while (isAlive(pid) && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (!isAlive(pid)) return;
  Deno.kill(pid, "SIGKILL");
  assert.fail(`process ${pid} was left behind`);
}

function cut(chunks: readonly Uint8Array[]): string[] {
  const cutter = new OutputCutter();
  return [...chunks.flatMap((chunk) => cutter.push(chunk)), ...cutter.end()];
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

for (
  const [text, pieces] of [
    ["a\nb\n", ["a\n", "b\n"]],
    ["10%\r20%\r", ["\r10%", "\r20%"]],
    ["a\r\nb", ["\ra", "b\n"]],
    ["\n\r\n\n", []],
    ["", []],
    ["rest", ["rest\n"]],
    ["é\u{1f600}\n", ["é\u{1f600}\n"]],
  ] as const
) {
  Deno.test(`output: ${JSON.stringify(text)} is cut into ${JSON.stringify(pieces)}`, () => {
    assert.deepEqual(cut([bytes(text)]), pieces);
  });
}

Deno.test("output: bytes that are not UTF-8 become U+FFFD, also at the end", () => {
  assert.deepEqual(cut([Uint8Array.of(0x61, 0xff, 0x0a, 0xe2, 0x82)]), ["a\ufffd\n", "\ufffd\n"]);
});

Deno.test("output: more than 65536 characters without a separator come out before the end", () => {
  const cutter = new OutputCutter();
  assert.deepEqual(cutter.push(bytes("x".repeat(65_536))), []);
  assert.deepEqual(cutter.push(bytes("y")), [`\r${"x".repeat(65_536)}y`]);
  assert.deepEqual(cutter.end(), []);
});

Deno.test("output: however the bytes are chunked, the pieces are the same", () => {
  const text = fc.array(fc.oneof(fc.constantFrom("\r", "\n", "\r\n", "é", "\u{1f600}"), fc.string()))
    .map((parts) => bytes(parts.join("")));
  fc.assert(fc.property(text, fc.array(fc.nat()), (whole, cuts) => {
    const places = [...cuts.map((each) => each % (whole.length + 1)), 0, whole.length].toSorted((a, b) =>
      a - b
    );
    const chunks = places.slice(1).map((end, index) => whole.subarray(places[index], end));
    assert.deepEqual(cut(chunks), cut([whole]));
  }));
});

Deno.test("execute: output of both streams and the exit status", async () => {
  const { status, pieces } = await shell("echo out; echo err >&2; exit 7");
  assert.equal(status, 7);
  assert.deepEqual(pieces.toSorted(), ["err\n", "out\n"]);
});

for (
  const [name, number] of [["KILL", 9], ["TERM", 15], ["SEGV", 11], ["BUS", 7], ["USR1", 10], ["XCPU", 24]]
) {
  Deno.test(`execute: a program killed by SIG${name} ends with -${number}`, async () => {
    assert.equal((await shell(`kill -${name} $$`)).status, -Number(number));
  });
}

Deno.test("execute: the environment is what is given and PYTHONUNBUFFERED, nothing of this process", async () => {
  const environment = { ...OPTIONS.environment, ONLY: "this" };
  const { pieces } = await shell("exec env", { ...OPTIONS, environment });
  const names = pieces.map((piece) => piece.split("=")[0]).filter((name) =>
    !["PWD", "SHLVL", "_", "OLDPWD"].includes(name!)
  );
  assert.deepEqual(names.toSorted(), ["ONLY", "PATH", "PYTHONUNBUFFERED"]);
  assert.ok(pieces.includes("PYTHONUNBUFFERED=1\n"));
});

Deno.test("execute: it runs in the given folder with an empty standard input", () =>
  withTempDir(async (dir) => {
    const pieces: string[] = [];
    const sink = (piece: string): Promise<void> => Promise.resolve(void pieces.push(piece));
    const folder = await Deno.realPath(dir);
    await execute(["sh", "-c", "pwd; cat"], folder, sink, new AbortController().signal, OPTIONS);
    assert.deepEqual(pieces, [`${folder}\n`]);
  }));

Deno.test("execute: a program that is not installed is a JobError that names it", async () => {
  const sink = (): Promise<void> => Promise.resolve();
  await assert.rejects(
    execute(["no-such-program-here"], "/", sink, new AbortController().signal, OPTIONS),
    (error) => error instanceof JobError && /no-such-program-here/.test(error.message) && !!error.hint,
  );
});

Deno.test("execute: nothing is started for an aborted signal", async () => {
  const reason = new Error("enough");
  const sink = (): Promise<void> => Promise.resolve();
  await assert.rejects(execute(["sh"], "/", sink, AbortSignal.abort(reason), OPTIONS), reason);
});

/** Aborts a script as soon as it has printed two process ids, and checks that both processes end. */
async function abortScript(script: string): Promise<void> {
  const abort = new AbortController();
  const reason = new Error("enough");
  let pids: number[] = [];
  const sink = (piece: string): Promise<void> => {
    pids = piece.trim().split(" ").map(Number);
    abort.abort(reason);
    return Promise.resolve();
  };
  await assert.rejects(execute(["sh", "-c", script], "/", sink, abort.signal, OPTIONS), reason);
  assert.equal(pids.length, 2);
  for (const pid of pids) await assertEnds(pid);
}

Deno.test("execute: an abort ends the program and what it started", () =>
  abortScript("sleep 600 & echo $$ $!; wait"));

Deno.test("execute: an abort also ends a program that ignores SIGTERM", () =>
  abortScript("trap '' TERM; sleep 600 & echo $$ $!; while :; do wait; done"));

Deno.test("execute: an abort also ends a child that ignores SIGTERM and let go of the output", () =>
  abortScript("(trap '' TERM; exec sleep 600 >/dev/null 2>&1) & echo $$ $!; wait"));

Deno.test("execute: when the output cannot be passed on, the program is ended and not left behind", async () => {
  const failure = new Error("nobody listens");
  let pid = 0;
  const sink = (piece: string): Promise<void> => {
    pid = Number(piece);
    return Promise.reject(failure);
  };
  const running = execute(
    ["sh", "-c", "echo $$; exec sleep 600"],
    "/",
    sink,
    new AbortController().signal,
    OPTIONS,
  );
  await assert.rejects(running, failure);
  await assertEnds(pid);
});

Deno.test("execute: what a program leaves behind with its output open does not hold the job up", async () => {
  let strays = 0;
  const pids: number[] = [];
  const status = await execute(
    ["/bin/sh", "-c", "sleep 600 & echo pid $!"],
    ".",
    (piece) => {
      pids.push(Number(piece.split(" ")[1]));
      return Promise.resolve();
    },
    new AbortController().signal,
    { ...OPTIONS, killStrays: () => void strays++ },
  );
  assert.deepEqual([status, strays], [0, 1]);
  await assertEnds(pids[0]!);
});
