import assert from "node:assert/strict";
import fc from "fast-check";
import { printable, printableOutput } from "../../protocol/printable.ts";

const anything = fc.string({ unit: "binary", maxLength: 400 });
const ESCAPE = "\u001b";

Deno.test("control and invisible characters are replaced", () => {
  assert.equal(printable("a\nb\r\tc\0\u007f\u009b"), "a\ufffdb\ufffd\ufffdc\ufffd\ufffd\ufffd");
  assert.equal(printable("a\u202eb\u200bc\u2028d\ufeff"), "a\ufffdb\ufffdc\ufffdd\ufffd");
  assert.equal(printable("naïve 日本 😀"), "naïve 日本 😀");
  fc.assert(
    fc.property(anything, (text) => assert.doesNotMatch(printable(text), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)),
  );
});

Deno.test("long texts are cut, with a sign that they were", () => {
  assert.equal(printable("x".repeat(300)), "x".repeat(300));
  assert.equal(printable("x".repeat(301)), `${"x".repeat(300)}…`);
  assert.equal(printable("abcdef", 3), "abc…");
});

Deno.test("a cut leaves no half of a character", () => {
  assert.ok(printable("x" + "😀".repeat(200)).isWellFormed());
  const wellFormed = anything.filter((text) => text.isWellFormed());
  fc.assert(
    fc.property(wellFormed, fc.integer({ min: 1, max: 50 }), (text, length) => {
      assert.ok(printable(text, length).isWellFormed());
    }),
  );
});

Deno.test("output of a job loses colours, line ends and everything that drives a terminal, but no tabs", () => {
  assert.equal(printableOutput(`${ESCAPE}[1;31mred${ESCAPE}[0m\tplain\r\n`), "red\tplain");
  assert.equal(printableOutput(`${ESCAPE}[?25l${ESCAPE}[2Kx`), "x");
  assert.equal(printableOutput(`a${ESCAPE}[`), "a[");
  assert.doesNotMatch(printableOutput(`${ESCAPE}]0;title\u0007x`), /\p{Cc}/u);
  fc.assert(
    fc.property(
      anything,
      (text) => assert.doesNotMatch(printableOutput(text), /[^\P{Cc}\t]/u),
    ),
  );
});

Deno.test("output without control characters stays as it is", () => {
  const plain = fc.string({ unit: "grapheme" });
  fc.assert(fc.property(plain, (text) => assert.equal(printableOutput(text), text)));
});
