import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { inspectLabels } from "../../../client/preflight/labels.ts";
import { readLabelsFile } from "../../../client/preflight/labels_file.ts";
import type { LabelsReport } from "../../../client/preflight/labels_facts.ts";
import { withTempDir } from "../../examples/trainer_run.ts";
import { makeLabels } from "./make_labels.ts";

const EXAMPLE = fileURLToPath(new URL("../../../examples/minimal_instance.pkg.slp", import.meta.url));
const NEVER = new AbortController().signal;

function read(bytes: Uint8Array<ArrayBuffer>): Promise<LabelsReport> {
  return readLabelsFile({ head: bytes, size: bytes.length });
}

Deno.test("labels: the example's frames, nodes and images are counted, by a Web Worker of its own", async () => {
  const { size } = await Deno.stat(EXAMPLE);
  const facts = {
    frames: 1,
    userFrames: 1,
    nodes: ["B", "A"],
    videos: [{ embedded: 1, files: [] }],
    videoCount: 1,
  };
  assert.deepEqual(await inspectLabels({ path: EXAMPLE, offset: 0, size }, NEVER), { facts });
  const head = await Deno.readFile(EXAMPLE);
  assert.deepEqual(await inspectLabels({ head, size }, NEVER), { facts });
});

Deno.test("labels: what lies in the midst of a file is read there", () =>
  withTempDir(async (dir) => {
    const path = join(await Deno.realPath(dir), "a.bin");
    const bytes = await makeLabels({ userFrames: 2, predictedFrames: 3, nodes: ["head"] });
    await Deno.writeFile(path, new Uint8Array([...new Uint8Array(1001).fill(7), ...bytes, 1, 2, 3]));
    const report = await readLabelsFile({ path, offset: 1001, size: bytes.length });
    assert.ok("facts" in report, JSON.stringify(report));
    const { frames, userFrames, nodes } = report.facts;
    assert.deepEqual([frames, userFrames, nodes], [5, 2, ["head"]]);
  }));

Deno.test("labels: videos are told as SLEAP and sleap-io name them", async () => {
  const report = await read(
    await makeLabels({
      videos: [
        3,
        { backend: { filename: "/data/a.mp4", grayscale: true } },
        { filename: "C:\\data\\b.mp4", backend: { type: "MediaVideo" } },
        { backend: { filename: "", filenames: ["/img/1.png", "/img/2.png"] } },
        { filename: ["/img/3.png"] },
        { backend: { filename: ".", dataset: "no/such" } },
      ],
    }),
  );
  assert.ok("facts" in report, JSON.stringify(report));
  assert.deepEqual(report.facts.videos, [
    { embedded: 3, files: [] },
    { embedded: undefined, files: ["/data/a.mp4"] },
    { embedded: undefined, files: ["C:/data/b.mp4"] },
    { embedded: undefined, files: ["/img/1.png", "/img/2.png"] },
    { embedded: undefined, files: ["/img/3.png"] },
    { embedded: 0, files: [] },
  ]);
});

Deno.test("labels: what is no labels file is told, with the reason", async () => {
  const whole = await makeLabels();
  const cases: [bytes: Uint8Array<ArrayBuffer>, fault: RegExp][] = [
    [new Uint8Array(), /damaged, or no HDF5/],
    [new TextEncoder().encode("not HDF5 at all"), /damaged, or no HDF5: .*signature/],
    [whole.slice(0, whole.length - 100), /truncated file/],
    [await makeLabels({ without: ["instances"] }), /no SLEAP labels: expected a table "instances"/],
  ];
  for (const [bytes, fault] of cases) {
    const report = await read(bytes);
    assert.ok("fault" in report, JSON.stringify(report));
    assert.match(report.fault, fault);
  }
});

Deno.test("labels: of a file that is there in part only, what cannot be seen is left out", async () => {
  const whole = await makeLabels({ videos: [20_000] });
  const report = await readLabelsFile({ head: whole.slice(0, 600), size: whole.length });
  assert.ok("leftOut" in report, JSON.stringify(report));
});

Deno.test("labels: damage of any kind gives a report, and the next file is read as ever", async () => {
  const whole = await Deno.readFile(EXAMPLE);
  const damage = fc.record({
    at: fc.nat(12_000),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }),
    end: fc.oneof(fc.constant(whole.length), fc.nat(whole.length)),
  });
  // The seed is fixed: HDF5 is a large format, and a test is not the place to find its endless loops.
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), async (damages) => {
      const copy = whole.slice();
      for (const { at, bytes } of damages) copy.set(bytes, at);
      const report = await read(copy.slice(0, damages[0]!.end));
      assert.ok("facts" in report || "fault" in report || "leftOut" in report);
    }),
    { numRuns: 300, seed: 6 },
  );
  assert.ok("facts" in await read(whole));
});

Deno.test("labels: a file that takes too long is not waited for", async () => {
  const head = await Deno.readFile(EXAMPLE);
  const report = await inspectLabels({ head, size: head.length }, NEVER, 0);
  assert.deepEqual(report, { leftOut: "it could not be read within 0 s" });
});

Deno.test("labels: Ctrl-C ends the reading", async () => {
  const head = await Deno.readFile(EXAMPLE);
  const abort = new AbortController();
  const reading = inspectLabels({ head, size: head.length }, abort.signal);
  abort.abort(new Error("enough"));
  await assert.rejects(reading, /enough/);
});
