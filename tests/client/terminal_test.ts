import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ClientEvent } from "../../client/screen.ts";
import { withTempDir } from "../examples/trainer_run.ts";
import { hasPty, Pty, PTY_NOTE, type PtyOptions } from "./pty.ts";

const SCREEN = new URL("../../client/screen.ts", import.meta.url).href;
const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));

/** Runs TypeScript that draws on `screen`, on a terminal; `key()` waits for a line from the test. */
async function onTerminal(
  code: string,
  body: (pty: Pty) => Promise<void>,
  options: PtyOptions = {},
): Promise<Pty> {
  let kept!: Pty;
  await withTempDir(async (dir) => {
    const file = join(dir, "program.ts");
    const program = `import { screenFor } from "${SCREEN}"; const screen = await screenFor({});
      const key = async () => { await Deno.stdin.read(new Uint8Array(100)); };
      const show = (events) => { for (const event of events) screen.show(event); };\n${code}`;
    await Deno.writeTextFile(file, program);
    const redirect = options.env?.["OUT"] === undefined ? "" : ` > ${options.env["OUT"]}`;
    const command = `${Deno.execPath()} run -q --no-check -A --config ${CONFIG} ${file}${redirect}`;
    // Keys that are waited for are not to be seen.
    const pty = kept = new Pty(`sh -c 'stty -echo; exec ${command}'`, options);
    try {
      await body(pty);
      assert.equal(await pty.exited(), 0, pty.text);
    } finally {
      await pty.kill();
    }
  });
  return kept;
}

const show = (events: readonly ClientEvent[]): string => `show(${JSON.stringify(events)});`;
const KEY = "await key();";
const CLOSE = "screen.close();";

/** Epochs of a run whose losses fall from `high` to `low`. */
function epochs(count: number, high = 1, low = 0.1): ClientEvent[] {
  return Array.from({ length: count }, (_, index) => {
    const loss = high * (low / high) ** (index / (count - 1));
    return {
      event: "training",
      run: "centroid",
      epoch: index + 1,
      epochs: 200,
      metrics: { "train/loss": loss, "val/loss": loss * 1.5 },
      epoch_done: true,
      printed: false,
    };
  });
}

const logs = (count: number): ClientEvent[] =>
  Array.from({ length: count }, (_, index) => ({ event: "log", text: `line ${index + 1}\n` }));

function test(name: string, fn: () => Promise<unknown>): void {
  Deno.test({ name: `terminal: ${name}${PTY_NOTE}`, ignore: !hasPty, fn: async () => void await fn() });
}

const isChart = (line: string): boolean => /[\u2801-\u28ff]/.test(line);

test("what a trainer writes over is written over, other lines stay", async () => {
  const training = { event: "training", run: "c", epochs: null, epoch_done: false, printed: false } as const;
  const first = show([
    { event: "run_started", name: "c" },
    { event: "log", text: "begin\n" },
    { event: "log", text: "\r10%" },
    { event: "log", text: "\r20%" },
    { ...training, epoch: 1, metrics: { other: 0.5 } },
  ]);
  const second = show([{ event: "log", text: "a line\n" }, {
    ...training,
    epoch: 2,
    metrics: { other: 0.25 },
  }]);
  const end = show([{ event: "run_ended", name: "c", exit_code: 0 }]);
  await onTerminal(first + KEY + second + KEY + end + CLOSE, async (pty) => {
    await pty.until(/other 0\.5[^]*20%/);
    assert.deepEqual(pty.lines, ["run c begins", "begin", "c: epoch 1, other 0.5", "20%"]);
    await pty.type("\n");
    await pty.until(/other 0\.25/);
    assert.deepEqual(pty.lines, ["run c begins", "begin", "a line", "c: epoch 2, other 0.25"]);
    await pty.type("\n");
    await pty.until(/done/);
    await pty.exited();
    assert.deepEqual(pty.lines, ["run c begins", "begin", "a line", "run c is done"]);
  });
});

test("the losses are drawn below a log that scrolls, and the drawing goes with the run", async () => {
  const code = show([{ event: "run_started", name: "centroid" }, ...epochs(30), ...logs(200)]);
  const end = show([...logs(1), { event: "run_ended", name: "centroid", exit_code: 0 }]);
  const pty = await onTerminal(code + KEY + end + CLOSE, async (pty) => {
    await pty.until(/line 200[^]*epoch 30 of 200/);
    const { lines } = pty;
    assert.deepEqual(lines.slice(0, 201), [
      "run centroid begins",
      ...Array.from({ length: 200 }, (_, index) => `line ${index + 1}`),
    ]);
    assert.match(lines[201]!, /─ train\/loss {2}┄ val\/loss, lowest 0\.15 in epoch 30/);
    assert.equal(lines.filter(isChart).length, 6);
    assert.match(lines[202]!, /^ *1\.5 ┤/);
    assert.match(lines[207]!, /^ *0\.1 ┤/);
    assert.match(lines[208]!, /^centroid: epoch 30 of 200, train\/loss 0\.1, val\/loss 0\.15$/);
    assert.equal(lines.length, 209);
    await pty.type("\n");
  });
  assert.deepEqual(pty.lines.slice(-2), ["line 1", "run centroid is done"]);
  assert.equal(pty.lines.filter(isChart).length, 0);
  // A frame for each line would be two hundred.
  assert.ok(pty.raw.split("\x1b[?2026h").length < 100);
});

test("losses over decades are drawn on a logarithmic scale, straight down", async () => {
  const code = show([{ event: "run_started", name: "c" }, ...epochs(50, 10, 0.001)]);
  await onTerminal(code + KEY + CLOSE, async (pty) => {
    await pty.until(/; logarithmic[^]*epoch 50 of/);
    const rows = pty.lines.filter(isChart).map((line) => line.slice(line.indexOf("┤")));
    const begins = rows.map((row) => row.search(/[\u2801-\u28ff]/));
    assert.deepEqual(begins, begins.toSorted((a, b) => a - b));
    const steps = begins.slice(1).map((begin, index) => begin - begins[index]!);
    assert.ok(Math.max(...steps.slice(1)) - Math.min(...steps.slice(1)) <= 3, `${steps}`);
    await pty.type("\n");
  });
});

test("a terminal of another size is drawn anew, with nothing left over", async () => {
  const code = show([{ event: "run_started", name: "centroid" }, ...logs(3), ...epochs(30)]);
  const more = show([{ event: "log", text: "more\n" }]);
  await onTerminal(code + KEY + more + KEY + CLOSE, async (pty) => {
    await pty.until(/epoch 30 of 200/);
    const before = pty.lines.filter(isChart);
    await pty.resize(50, 24);
    await pty.until(/epoch 30 of 200, train\/loss 0\.1, v/);
    await pty.type("\n");
    await pty.until(/more/);
    const { lines } = pty;
    assert.deepEqual(lines.slice(0, 5), ["run centroid begins", "line 1", "line 2", "line 3", "more"]);
    assert.equal(lines.filter(isChart).length, 6);
    assert.equal(lines.length, 13, pty.text);
    assert.ok(lines.every((line) => line.length < 50), pty.text);
    assert.notDeepEqual(lines.filter(isChart), before);
    await pty.resize(100, 12);
    await pty.until(/more\ncentroid: epoch 30 of 200, train\/loss 0\.1, val\/loss 0\.15$/);
    await pty.type("\n");
  });
});

test("bytes on their way are a bar with rate and time left, and a line when they are there", async () => {
  const at = (done: number): string =>
    show([{ event: "progress", what: "sending pkg.zip", done, total: 100 * 2 ** 20 }]);
  const wait = "await new Promise((resolve) => setTimeout(resolve, 300));";
  await onTerminal(at(0) + wait + at(25 * 2 ** 20) + KEY + at(100 * 2 ** 20) + CLOSE, async (pty) => {
    await pty.until(/sending pkg\.zip █{6}░{18} {2}25% {2}\d+\.\d MiB\/s, 0:\d\d left/);
    await pty.type("\n");
    await pty.until(/sending pkg\.zip: 100\.0 MiB \(\d+\.\d MiB\/s\)/);
  });
});

test("two losses are told apart by colours, and without them by the line", async () => {
  const code = show([{ event: "run_started", name: "c" }, ...epochs(30)]) + KEY + CLOSE;
  const look = async (pty: Pty): Promise<void> => {
    await pty.until(/epoch 30 of/);
    await pty.type("\n");
  };
  const colored = await onTerminal(code, look);
  const plain = await onTerminal(code, look, { env: { NO_COLOR: "1" } });
  assert.ok(colored.raw.includes("\x1b[33m"));
  assert.ok(!["\x1b[33m", "\x1b[36m", "\x1b[0m"].some((color) => plain.raw.includes(color)));
});

for (const [name, options] of [["dumb", { env: { TERM: "dumb" } }], ["small", { columns: 20 }]] as const) {
  test(`a ${name} one gets plain lines`, async () => {
    const pty = await onTerminal(
      show([{ event: "run_started", name: "c" }, ...epochs(3), { event: "log", text: "x\n" }]) + CLOSE,
      async (pty) => void await pty.exited(),
      options,
    );
    assert.ok(!pty.raw.includes("\x1b"), JSON.stringify(pty.raw));
    assert.match(pty.raw, /run c begins\r\ncentroid: epoch 1 of 200/);
  });
}

test("what goes to a file goes there, and is not drawn", () =>
  withTempDir(async (dir) => {
    const out = join(dir, "out.txt");
    const code = show([{ event: "run_started", name: "c" }, ...epochs(3), ...logs(2)]) + CLOSE;
    const pty = await onTerminal(code, async (pty) => void await pty.exited(), { env: { OUT: out } });
    assert.equal(await Deno.readTextFile(out), "line 1\nline 2\n");
    assert.deepEqual(pty.lines, ["run c begins"]);
  }));
