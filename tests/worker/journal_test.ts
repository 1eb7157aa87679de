import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { type JobHeader, Journal } from "../../worker/journal.ts";
import { withTempDir } from "../storage/temp.ts";

const HEADER: JobHeader = {
  id: "job_1",
  name: "pkg.zip",
  room: "r",
  began: "2026-01-01T00:00:00Z",
  folder: "/x",
};

async function textsOf(journal: Journal, after = 0): Promise<string[]> {
  const events = await Array.fromAsync(journal.read(after, new AbortController().signal));
  return events.map(({ seq, text, end }) => `${seq} ${text}${end === undefined ? "" : ` (${end})`}`);
}

Deno.test("journal: a reader sees what was there, what comes, and the end, each once", () =>
  withTempDir(async (dir) => {
    const journal = await Journal.create(join(dir, "j"), HEADER);
    await journal.append("one");
    const reading = textsOf(journal);
    const late = textsOf(journal, 2);
    for (const text of ["two\n", "\rthree é"]) await journal.append(text);
    await journal.append("over", "complete");
    await journal.append("after the end");
    assert.deepEqual(await reading, ["1 one", "2 two\n", "3 \rthree é", "4 over (complete)"]);
    assert.deepEqual(await late, ["3 \rthree é", "4 over (complete)"]);
    assert.deepEqual(await textsOf(journal, 99), ["4 over (complete)"], "the end is told in any case");
    await journal.close();
  }));

Deno.test("journal: a reader that is not interested any more is let go", () =>
  withTempDir(async (dir) => {
    const journal = await Journal.create(join(dir, "j"), HEADER);
    await journal.append("one");
    const abort = new AbortController();
    const seen: string[] = [];
    const reading = (async (): Promise<void> => {
      for await (const { text } of journal.read(0, abort.signal)) {
        seen.push(text);
        setTimeout(() => abort.abort(new Error("enough")));
      }
    })();
    await assert.rejects(reading, /enough/);
    assert.deepEqual(seen, ["one"]);
    await journal.close();
  }));

Deno.test("journal: however it was torn, it is read up to the last whole event and goes on from there", () =>
  withTempDir(async (dir) => {
    const text = fc.string({ unit: "grapheme", maxLength: 40 });
    let number = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { maxLength: 6 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (texts, share) => {
          const path = join(dir, String(number++));
          const journal = await Journal.create(path, HEADER);
          const header = (await Deno.stat(path)).size;
          for (const each of texts) await journal.append(each);
          await journal.close();
          const size = header + Math.floor(share * ((await Deno.stat(path)).size - header));
          await Deno.truncate(path, size);
          const whole = new TextDecoder().decode(await Deno.readFile(path)).split("\n").length - 2;
          const opened = await Journal.open(path);
          assert.equal(opened?.events, whole);
          await opened!.append("the end", "interrupted");
          await opened!.close();
          const expected = [
            ...texts.slice(0, whole).map((each, index) => `${index + 1} ${each}`),
            `${whole + 1} the end (interrupted)`,
          ];
          assert.deepEqual(await textsOf((await Journal.open(path))!), expected);
        },
      ),
      { numRuns: 100 },
    );
  }));

Deno.test("journal: a file that is none is not taken for one", () =>
  withTempDir(async (dir) => {
    for (const text of ["", "{}", "garbage\n", '{"seq":1}\n', "\0\n"]) {
      await Deno.writeTextFile(join(dir, "j"), text);
      assert.equal(await Journal.open(join(dir, "j")), undefined, text);
    }
  }));

Deno.test("journal: output that never stops is cut, what is said of the job is not", () =>
  withTempDir(async (dir) => {
    const journal = await Journal.create(join(dir, "j"), HEADER);
    const piece = "x".repeat(1024 * 1024);
    for (let each = 0; each < 260; each++) await journal.append(piece);
    await journal.append("TRAIN_JOB_END::a");
    await journal.append("JOB_COMPLETE::j::.", "complete");
    const tail = (await textsOf(journal, 255)).map((text) => text.slice(0, 40));
    assert.deepEqual(tail, [
      `256 ${"x".repeat(36)}`,
      "257 (the output is too long: the rest of",
      "258 TRAIN_JOB_END::a",
      "259 JOB_COMPLETE::j::. (complete)",
    ]);
    await journal.close();
  }));
