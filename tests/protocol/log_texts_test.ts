import assert from "node:assert/strict";
import fc from "fast-check";
import { formatMessage, logTexts, MAX_LOG_BYTES, parseMessage } from "../../protocol/message.ts";
import { message, text } from "./generators.ts";

const size = (each: string): number => new TextEncoder().encode(each).length;

/** Checks everything that holds for the pieces of any text. */
function check(output: string): string[] {
  const pieces = logTexts(output);
  for (const piece of pieces) {
    assert.ok(size(piece) <= MAX_LOG_BYTES, `a piece has ${size(piece)} bytes`);
    assert.equal(parseMessage(piece).type, "LOG");
    assert.notEqual(piece, "KEEP_ALIVE");
    assert.ok(piece.isWellFormed());
  }
  // Nothing is lost or added but a blank in front of a piece.
  let rest = output;
  for (const piece of pieces) {
    const kept = rest.startsWith(piece) ? piece : piece.slice(1);
    assert.ok(kept === piece || piece.startsWith(" "));
    // Not `equal`: its report on long texts takes minutes.
    assert.ok(rest.startsWith(kept), `lost after ${output.length - rest.length} characters`);
    rest = rest.slice(kept.length);
  }
  assert.equal(rest.length, 0);
  return pieces;
}

Deno.test("output is one text when it fits", () => {
  assert.deepEqual(logTexts("Epoch 1\n"), ["Epoch 1\n"]);
  assert.deepEqual(logTexts("\rprogress"), ["\rprogress"]);
  assert.equal(check("x".repeat(MAX_LOG_BYTES)).length, 1);
  assert.equal(check("x".repeat(MAX_LOG_BYTES + 1)).length, 2);
});

Deno.test("output that looks like a message is not taken for one", () => {
  for (const each of ["END_OF_FILE", "FILE_META::a:1:b", "FILE_META::broken", "TRACK_LOG:x", "KEEP_ALIVE"]) {
    assert.deepEqual(check(each), [` ${each}`]);
  }
  fc.assert(fc.property(message, (each) => void check(formatMessage(each))));
});

Deno.test("a text that looks like a message stays within the limit with its blank", () => {
  const start = "JOB_ID::";
  for (let length = MAX_LOG_BYTES - 2; length <= MAX_LOG_BYTES + 2; length++) {
    check(start.padEnd(length, "x"));
  }
});

Deno.test("pieces of long output are not taken for messages, wherever the cut falls", () => {
  for (const word of ["END_OF_FILE", "FILE_META::a:1:b", "TRACK_LOG:x", "KEEP_ALIVE", "TRAINING_JOBS_DONE"]) {
    for (let before = MAX_LOG_BYTES - 3; before <= MAX_LOG_BYTES + 1; before++) {
      check("x".repeat(before) + word);
    }
  }
});

Deno.test("characters of several bytes are not cut apart", () => {
  for (const character of ["é", "€", "😀", "e\u0301"]) {
    for (let before = 0; before < 5; before++) check("x".repeat(before) + character.repeat(50_000));
  }
});

Deno.test("a byte order mark is a character like others", () => {
  check("\ufeff" + "x".repeat(MAX_LOG_BYTES));
  check("\ufeff".repeat(50_000));
});

Deno.test("any text arrives whole", () => {
  const long = fc.tuple(text, fc.integer({ min: 1, max: 30_000 })).map(([each, times]) => {
    return each.repeat(Math.min(times, Math.ceil(200_000 / Math.max(1, each.length))));
  });
  fc.assert(fc.property(fc.oneof(text, long), (each) => void check(each)), { numRuns: 150 });
});
