/** Where the keys of a TOML text stand. The TOML parser tells positions of syntax errors only. */
import { parse } from "smol-toml";

/** Where something stands in a text; both counted from 1, columns in UTF-16 code units. */
export interface Position {
  line: number;
  column: number;
}

/** One header or key of a TOML text; elements of arrays count as keys "0", "1", …. */
export interface TomlKey extends Position {
  path: readonly string[];
}

const BLANK = /(?:[ \t\r\n]|#[^\n]*)*/y;
const KEY = /"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+/y;
const DOT = /[ \t]*\.[ \t]*/y;
const EQUALS = /[ \t]*=[ \t]*/y;
/** Texts of several lines may end with up to two quotes of their own. */
const TEXT = /"""(?:[^\\]|\\[^])*?"""(?:"{0,2})|'''[^]*?'''(?:'{0,2})|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'/y;
const BARE = /[^,\]}\n#]*/y;

interface Header {
  keys: readonly string[];
  /** `[[…]]`, an element of an array of tables. */
  isArray: boolean;
}

/** The name that a bare or quoted key stands for; of one that is no TOML, what stands between the quotes. */
function keyName(raw: string): string {
  if (!/^["']/.test(raw)) return raw;
  try {
    // The parser knows the escapes.
    return String(parse(`k = ${raw}`)["k"]);
  } catch {
    return raw.slice(1, -1);
  }
}

class Scanner {
  readonly found: TomlKey[] = [];
  readonly #text: string;
  #at = 0;
  /** Number of elements of each array of tables, by the path of the array as JSON. */
  readonly #arrays = new Map<string, number>();

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    let section: readonly string[] = [];
    while (this.#skip(BLANK) !== undefined && this.#at < this.#text.length) {
      const start = this.#at;
      const header = this.#header();
      if (header) {
        section = this.#sectionOf(header);
        this.#add(section, start);
      } else if (!this.#assignment(section)) return;
    }
  }

  /** What a pattern matches here, passed over; undefined when it does not match. */
  #skip(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #add(path: readonly string[], offset: number): void {
    const before = this.#text.slice(0, offset);
    const line = before.split("\n").length;
    this.found.push({ path, line, column: offset - before.lastIndexOf("\n") });
  }

  #keys(): string[] {
    const keys: string[] = [];
    do {
      const raw = this.#skip(KEY);
      if (raw === undefined) break;
      keys.push(keyName(raw));
    } while (this.#skip(DOT) !== undefined);
    return keys;
  }

  #header(): Header | undefined {
    const open = this.#skip(/\[\[?[ \t]*/y);
    if (open === undefined) return undefined;
    const keys = this.#keys();
    this.#skip(/[ \t]*\]\]?/y);
    return { keys, isArray: open.startsWith("[[") };
  }

  /** The path of a header: below an array of tables, that of its last element. */
  #sectionOf({ keys, isArray }: Header): string[] {
    const path: string[] = [];
    for (const [index, key] of keys.entries()) {
      path.push(key);
      const id = JSON.stringify(path);
      const isNew = isArray && index === keys.length - 1;
      if (isNew) this.#arrays.set(id, (this.#arrays.get(id) ?? 0) + 1);
      const count = this.#arrays.get(id);
      if (count !== undefined) path.push(String(count - 1));
    }
    return path;
  }

  /** Reads `a.b = value`; false when there is none. */
  #assignment(section: readonly string[]): boolean {
    const start = this.#at;
    const path = [...section, ...this.#keys()];
    if (this.#skip(EQUALS) === undefined) return false;
    this.#add(path, start);
    this.#value(path);
    return true;
  }

  #value(path: readonly string[]): void {
    if (this.#skip(TEXT) !== undefined) return;
    if (this.#skip(/\[/y)) {
      for (let index = 0; !this.#ends(/\]/y); index++) {
        const before = this.#at;
        this.#value([...path, String(index)]);
        if (this.#at === before) return;
      }
    } else if (this.#skip(/\{/y)) {
      while (!this.#ends(/\}/y)) if (!this.#assignment(path)) return;
    } else this.#skip(BARE);
  }

  /** Passes over blanks and a comma; true at the end of the array or inline table, or of the text. */
  #ends(close: RegExp): boolean {
    this.#skip(BLANK);
    this.#skip(/,/y);
    this.#skip(BLANK);
    return this.#skip(close) !== undefined || this.#at >= this.#text.length;
  }
}

/**
 * The headers and keys of a valid TOML text in their order: the place of a header is its bracket, that of a dotted
 * key its beginning.
 */
export function tomlKeys(toml: string): readonly TomlKey[] {
  // A byte order mark is no column.
  const scanner = new Scanner(toml.replace(/^\ufeff/, ""));
  scanner.document();
  return scanner.found;
}
