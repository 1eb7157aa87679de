import assert from "node:assert/strict";
import fc from "fast-check";
import { join } from "node:path";
import { checkRelativePath, isInside, PathValidationError } from "../../storage/containment.ts";
import { HARMLESS, HOSTILE } from "./hostile.ts";

/** The components, or the refusal. */
function check(text: string): readonly string[] | PathValidationError {
  try {
    return checkRelativePath(text);
  } catch (error) {
    if (error instanceof PathValidationError) return error;
    throw error;
  }
}

Deno.test("there are at least 1,000 hostile texts", () => {
  assert.ok(HOSTILE.length >= 1_000, `only ${HOSTILE.length}`);
});

Deno.test("every hostile text is refused as outside", () => {
  const accepted = HOSTILE.filter((text) => {
    const found = check(text);
    return !(found instanceof PathValidationError) || found.refusal !== "outside";
  });
  assert.deepEqual(accepted, []);
});

Deno.test("a refusal of a hostile text is one short line without control characters", () => {
  for (const text of HOSTILE) {
    const error = check(text);
    assert.ok(error instanceof PathValidationError);
    assert.equal(error.received, text);
    assert.ok(error.message.startsWith("Path outside shared storage: "));
    assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    assert.ok(error.message.length < 400);
    assert.notEqual(error.detail, "");
  }
});

Deno.test("device names with blanks before the extension are refused, as Windows drops the blanks", () => {
  for (const name of ["nul ", "nul .txt", "a/con  ", "COM1 .tar.gz", "aux:"]) {
    assert.ok(check(name) instanceof PathValidationError, JSON.stringify(name));
  }
});

for (const [text, components] of HARMLESS) {
  Deno.test(`accepts ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.deepEqual(checkRelativePath(text), components);
  });
}

Deno.test("a refusal names what the peer sent, not what it was made into", () => {
  assert.throws(() => checkRelativePath("../x", "sent"), (error: unknown) => {
    assert.ok(error instanceof PathValidationError);
    assert.equal(error.message, "Path outside shared storage: sent");
    return true;
  });
});

Deno.test("what is accepted stays below any root, joined as text", () => {
  const part = fc.oneof(
    fc.string({ unit: "binary", maxLength: 6 }),
    fc.constantFrom("..", ".", "/", "//", "\\", "a", "%2e", "\uff0e", "\u2024", " ", "C:", "nul"),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 10 }), (parts) => {
      const found = check(parts.join(""));
      if (found instanceof PathValidationError) return;
      for (const root of ["/vast", "/", "/a b/c"]) assert.ok(isInside(join(root, ...found), root));
      for (const name of found) {
        assert.notEqual(name, "");
        assert.doesNotMatch(name.normalize("NFKC"), /^\.{1,2}$|[/\\\0]/);
      }
      assert.deepEqual(check(found.join("/")), found);
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("a root contains itself and what is below it, not its neighbours", () => {
  const table: readonly [string, string, boolean][] = [
    ["/vast", "/vast", true],
    ["/vast/a", "/vast", true],
    ["/vast2", "/vast", false],
    ["/vast2/a", "/vast", false],
    ["/vast.bak", "/vast", false],
    ["/vas", "/vast", false],
    ["/", "/vast", false],
    ["/a", "/", true],
    ["/", "/", true],
    ["/vast/a", "/vast/", true],
    ["/Vast/a", "/vast", false],
    ["", "/vast", false],
  ];
  for (const [path, root, expected] of table) {
    assert.equal(isInside(path, root), expected, `${path} in ${root}`);
  }
});

Deno.test("a long text is judged fast", () => {
  const started = performance.now();
  check("../".repeat(300_000));
  check("a".repeat(1_000_000));
  assert.ok(performance.now() - started < 2_000);
});
