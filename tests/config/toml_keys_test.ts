import assert from "node:assert/strict";
import fc from "fast-check";
import { parse } from "smol-toml";
import { locate } from "../../config/mistake.ts";
import { tomlKeys } from "../../config/toml_keys.ts";

/** Where a key is, as `line:column`. */
function place(toml: string, ...path: string[]): string {
  parse(toml);
  const found = locate(toml, path);
  return found ? `${found.line}:${found.column}` : "nowhere";
}

const CASES: readonly (readonly [name: string, toml: string, path: readonly string[], expected: string])[] = [
  ["a key of a section", "[a]\n  b = 1", ["a", "b"], "2:3"],
  ["a section", "\n  [a]\nb = 1", ["a"], "2:3"],
  ["a section by its longer header", "[a.b]\nc = 1", ["a"], "1:1"],
  ["a dotted key", "[a]\nx = 1\nb . c = 1", ["a", "b", "c"], "3:1"],
  ["the table that a dotted key makes", "[a]\nb.c = 1", ["a", "b"], "2:1"],
  ["a key of an inline table", "a = { b = 1, c = { d = 2 } }", ["a", "c", "d"], "1:20"],
  ["a key of an inline table over several lines", "a = {\n  b = 1, # {\n  c = 2,\n}", ["a", "c"], "3:3"],
  ["a quoted key", '["a.b"]\n"c d" = 1', ["a.b", "c d"], "2:1"],
  ["a quoted key with escapes", '"\\u0061\\"" = 1\nb = 2', ['a"'], "1:1"],
  ["a literal key keeps its backslash", "'a\\n' = 1\nb = 2", ["a\\n"], "1:1"],
  ["an empty key", '[a]\n"" = 1', ["a", ""], "2:1"],
  ["a key after an array of several lines", 'a = [\n "b = 1", # c = 3\n]\nc = 2', ["c"], "4:1"],
  ["an element of an array, by the key of the array", "x = 1\na = [\n 1,\n 2 ]", ["a", "1"], "2:1"],
  ["a key of a table in an array", "a = [ { b = 1 },\n { b = 2 } ]", ["a", "1", "b"], "2:4"],
  ["a key below arrays in arrays", "a = [[1], [{ b = 2 }]]", ["a", "1", "0", "b"], "1:14"],
  ["not what a text of several lines holds", 'a = """\n[s]\nb = 1\n"""\n[s]\nb = 2', ["s", "b"], "6:1"],
  ["not what a literal text holds", "a = '''\nb = 1\n'''\nb = 2", ["b"], "4:1"],
  ["a key after escaped quotes", 'a = """\n\\"""\nb = 1 """\nb = 2', ["b"], "4:1"],
  ["a key after a text that ends in quotes", 'a = """x"""""\nb = 2', ["b"], "2:1"],
  ["a key after an empty text", "a = ''''''\nb = ''\nc = 1", ["c"], "3:1"],
  ["a key after a text with a sharp", 'a = "# \\" ["\nb = 2', ["b"], "2:1"],
  ["not what a comment holds", "# b = 1\n  # [b]\nb = 2", ["b"], "3:1"],
  ["a key after Windows line ends", '[a]\r\nx = """\r\nb = 1\r\n"""\r\n b = 1\r\n', ["a", "b"], "5:2"],
  ["a key after a byte order mark", "\ufeffa = 1", ["a"], "1:1"],
  ["the second of an array of tables", "[[a]]\nb = 1\n[[a]]\nb = 2", ["a", "1", "b"], "4:1"],
  ["a section below an array of tables", "[[a]]\n[[a]]\n[a.c]\nb = 2", ["a", "1", "c", "b"], "4:1"],
  [
    "arrays of tables in arrays of tables",
    "[[a]]\n[[a.b]]\n[[a]]\n[[a.b]]\nc = 1",
    ["a", "1", "b", "0", "c"],
    "5:1",
  ],
  [
    "a key that looks like a number or a date",
    "[a]\n1 = 1979-05-27 07:32:00\n2.3 = 1",
    ["a", "2", "3"],
    "3:1",
  ],
  ["a missing key by its section", "[b]\n[a]\nx = 1\n[a.c]", ["a", "gone"], "2:1"],
  ["a missing key by a neighbour when there is no section", "x = 1\na.b = 1", ["a", "gone"], "2:1"],
  ["a section that comes after its child", "[a.b]\n[a]\nc = 1", ["a"], "2:1"],
  ["nothing", "a = 1", ["b"], "nowhere"],
  ["nothing for the whole text", "a = 1", [], "nowhere"],
];

for (const [name, toml, path, expected] of CASES) {
  Deno.test(`finds ${name}`, () => assert.equal(place(toml, ...path), expected));
}

Deno.test("a quoted key that is no TOML is taken as it stands", () => {
  assert.deepEqual(tomlKeys("'\0' = 1").map(({ path }) => path), [["\0"]]);
  assert.deepEqual(tomlKeys('"\\q" = 1').map(({ path }) => path), [["\\q"]]);
});

Deno.test("any text is gone through, TOML or not", () => {
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 5 }),
    fc.constantFrom("[", "]", "{", "}", ",", "=", "\n", '"""', "'", '"', "a", ".", "#", " ", "\\"),
  );
  fc.assert(fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
    tomlKeys(pieces.join(""));
  }));
});

/** A key as it may be written, and what it stands for. */
interface Written {
  name: string;
  text: string;
}

/** A name as a basic string of TOML. */
function quoted(name: string): string {
  return JSON.stringify(name).replaceAll("\x7f", "\\u007f");
}

const written: fc.Arbitrary<Written> = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9_-]{1,6}$/).map((name) => ({ name, text: name })),
  fc.string({ maxLength: 6 }).map((name) => ({ name, text: quoted(name) })),
  fc.stringMatching(/^[a-z.=#[{" ]{0,6}$/).map((name) => ({ name, text: `'${name}'` })),
);

/** A value as lines of TOML; a table is a list of keys with values. */
type Value = string | { keys: readonly [Written, Value][] } | { elements: readonly Value[] };

const scalar = fc.constantFrom(
  "1",
  "-3.5e2",
  "true",
  "1979-05-27T07:32:00Z",
  '"a = [1, { # "',
  "'b = \"'",
  '"""\nk = 1\n[s]\n\\""" \\\\"""',
  '"""two quotes"""""',
  "'''\nk = '1'\n'''",
  '""',
);

const uniqueKeys = <T>(value: fc.Arbitrary<T>, maxLength = 4): fc.Arbitrary<[Written, T][]> =>
  fc.uniqueArray(fc.tuple(written, value), { maxLength, selector: ([{ name }]) => name });

const { value } = fc.letrec<{ value: Value; table: Value; array: Value }>((tie) => ({
  value: fc.oneof({ maxDepth: 3, withCrossShrink: true }, scalar, tie("table"), tie("array")),
  table: uniqueKeys(tie("value")).map((keys) => ({ keys })),
  array: fc.array(tie("value"), { maxLength: 3 }).map((elements) => ({ elements })),
}));

/** Writes TOML and keeps what was written where. */
class Writer {
  text = "";
  readonly places: [path: string[], line: number, column: number][] = [];
  readonly newline: string;

  constructor(newline: string) {
    this.newline = newline;
  }

  put(text: string): void {
    this.text += text.replaceAll("\n", this.newline);
  }

  mark(path: string[]): void {
    const lines = this.text.split("\n");
    this.places.push([path, lines.length, (lines.at(-1)?.length ?? 0) + 1]);
  }

  assign(path: string[], key: Written, value: Value): void {
    const here = [...path, key.name];
    this.mark(here);
    this.put(`${key.text} = `);
    this.value(here, value);
  }

  value(path: string[], value: Value): void {
    if (typeof value === "string") return this.put(value);
    if ("keys" in value) {
      this.put("{");
      value.keys.forEach(([key, inner], index) => {
        this.put(index > 0 ? ", " : " ");
        this.assign(path, key, inner);
      });
      return this.put(" }");
    }
    this.put("[");
    value.elements.forEach((inner, index) => {
      this.put(" # ] k = 1\n  ");
      this.value([...path, String(index)], inner);
      this.put(",");
    });
    this.put("\n]");
  }
}

interface Section {
  isArray: boolean;
  below: Written | undefined;
  keys: readonly [Written, Value][];
}

const sections = uniqueKeys<Section[]>(
  fc.array(
    fc.record({
      isArray: fc.boolean(),
      below: fc.option(written, { nil: undefined }),
      keys: uniqueKeys(value),
    }),
    { minLength: 1, maxLength: 2 },
  ),
);

function write(
  root: readonly [Written, Value][],
  all: readonly [Written, Section[]][],
  newline: string,
): Writer {
  const writer = new Writer(newline);
  const body = (path: string[], keys: readonly [Written, Value][]): void => {
    for (const [key, inner] of keys) {
      writer.put("\t# k = 1\n ");
      writer.assign(path, key, inner);
      writer.put(" # end\n");
    }
  };
  const taken = new Set(all.map(([{ name }]) => name));
  body([], root.filter(([{ name }]) => !taken.has(name)));
  for (const [name, [first, second]] of all) {
    if (!first) continue;
    const [open, close] = first.isArray ? ["[[", "]]"] : ["[", "]"];
    for (const [index, section] of (first.isArray && second ? [first, second] : [first]).entries()) {
      const below = first.isArray ? undefined : section.below;
      const path = [name.name, ...(below ? [below.name] : []), ...(first.isArray ? [String(index)] : [])];
      writer.put("  ");
      writer.mark(path);
      writer.put(`${open} ${name.text}${below ? ` . ${below.text}` : ""} ${close}\n`);
      body(path, section.keys);
    }
  }
  return writer;
}

Deno.test("locate finds every key of any TOML document", () => {
  const newline = fc.constantFrom("\n", "\r\n");
  fc.assert(
    fc.property(uniqueKeys(value), sections, newline, (root, all, lineEnd) => {
      const { text, places } = write(root, all, lineEnd);
      parse(text);
      for (const [path, line, column] of places) {
        assert.deepEqual(locate(text, path), { line, column }, JSON.stringify(path));
      }
      assert.equal(tomlKeys(text).length, places.length);
    }),
    { numRuns: 500 },
  );
});
