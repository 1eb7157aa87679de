import type { z } from "zod";
import { SECRET_KEY } from "./schema.ts";
import { type Position, type TomlKey, tomlKeys } from "./toml_keys.ts";
import { ConfigError } from "./user_error.ts";

export type { Position };

/** One mistake of a configuration file, or of what is combined with it. */
export interface Mistake extends Partial<Position> {
  /** Dotted, e.g. `storage.vast.base_path`; empty when the text says what it is about. */
  key: string;
  text: string;
  /** What to do about it. */
  hint?: string;
  /** The mistake is not in the file but in a variable or a flag that the text names. */
  isOutside?: boolean;
}

/**
 * Everything that is wrong with a configuration, one line each, those of the file first:
 * `file:line:column: key: what is wrong`.
 */
export class ConfigFileError extends ConfigError {
  /** The mistakes in the order of the file. */
  readonly mistakes: readonly Mistake[];

  /** `file` is what messages call the file; undefined when only mistakes outside of it are told. */
  constructor(file: string | undefined, mistakes: readonly Mistake[]) {
    const sorted = mistakes.toSorted((a, b) => rank(a) - rank(b) || (a.column ?? 0) - (b.column ?? 0));
    const [only] = sorted.length === 1 ? sorted : [];
    const lines = sorted.map((mistake) => {
      const line = lineOf(file, mistake);
      return mistake.hint === undefined || only ? line : `${line}; ${mistake.hint}`;
    });
    super(lines.join("\n"), only?.hint === undefined ? {} : { hint: only.hint });
    this.mistakes = sorted;
  }
}

/** What orders mistakes: the line; those without one come first, those outside of the file last. */
function rank({ line, isOutside }: Mistake): number {
  return isOutside ? Number.MAX_SAFE_INTEGER : line ?? 0;
}

function lineOf(file: string | undefined, { line, column, key, text, isOutside }: Mistake): string {
  const place = file === undefined || isOutside
    ? []
    : [line === undefined ? file : `${file}:${line}:${column ?? 1}`];
  return [...place, ...(key === "" ? [] : [key]), text].join(": ");
}

/**
 * Where a key, or the nearest thing that holds it, stands in a valid TOML text: the place of the key, not of its
 * value; undefined when the text has nothing of it.
 */
export function locate(toml: string, path: readonly PropertyKey[]): Position | undefined {
  const wanted = path.map(String);
  let best: TomlKey | undefined;
  let bestScore = 0;
  for (const key of tomlKeys(toml)) {
    const differs = key.path.findIndex((part, depth) => part !== wanted[depth]);
    const common = differs < 0 ? key.path.length : differs;
    // The key itself, or a table around it, is nearer than something else of that table.
    const score = common === 0 ? 0 : 2 * common + (differs < 0 ? 1 : 0);
    if (score > bestScore) [best, bestScore] = [key, score];
  }
  return best && { line: best.line, column: best.column };
}

/** Number of single-letter edits between two words (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, substituted));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The word of a list nearest to what was written, if one is near enough to be meant. */
export function nearest(word: string, among: readonly string[]): string | undefined {
  const ranked = among.map((each) => ({ each, edits: distance(word.toLowerCase(), each.toLowerCase()) }))
    .toSorted((a, b) => a.edits - b.edits);
  const [first] = ranked;
  return first && first.edits <= Math.max(2, Math.floor(word.length / 3)) ? first.each : undefined;
}

/** A text without the user and password of addresses in it, those of STUN and TURN servers included. */
export function withoutCredentials(text: string): string {
  return text.replace(/(\/\/|\b(?:stun|turn)s?:)[^/@\s"]{0,1024}@/gi, "$1***@");
}

/** Whether a key holds a secret, at any place. */
function isSecret(key: PropertyKey | undefined): boolean {
  return key === "credential" || key === SECRET_KEY;
}

/** What stands at a path in parsed TOML, as it is shown in a message. */
function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const hidden = (key: string, each: unknown): unknown => isSecret(key) ? "***" : each;
  const text = withoutCredentials(typeof value === "number" ? String(value) : JSON.stringify(value, hidden));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** What stands at a path in parsed TOML; undefined when there is nothing. */
export function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, key)
        ? Reflect.get(value, key)
        : undefined,
    data,
  );
}

/** A parsed TOML text, and what its schema says about it. */
export interface Examined {
  toml: string;
  data: unknown;
  /** The valid keys of the table at a path. */
  keysAt: (path: readonly PropertyKey[]) => readonly string[];
}

/** zod's issues as mistakes with a place. */
export function mistakesOf(issues: readonly z.core.$ZodIssue[], examined: Examined): Mistake[] {
  return issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => unknownKey([...issue.path, key], examined));
    }
    const inner = issue.code === "invalid_union" ? meantOption(issue) : undefined;
    return inner ? mistakesOf(inner, examined) : [wrongValue(issue, examined)];
  });
}

/** A key that no schema knows, with the nearest that it does. */
function unknownKey(path: readonly PropertyKey[], { toml, keysAt }: Examined): Mistake {
  const valid = keysAt(path.slice(0, -1));
  const meant = nearest(String(path.at(-1)), valid);
  const expected = meant ? `did you mean "${meant}"?` : `valid keys: ${valid.join(", ") || "none"}`;
  return { ...locate(toml, path), key: path.map(String).join("."), text: `unknown key; ${expected}` };
}

/** The issues of the one alternative whose type the value has; undefined when that is not clear. */
function meantOption({ errors, path }: z.core.$ZodIssueInvalidUnion): z.core.$ZodIssue[] | undefined {
  const [meant, ...others] = errors.filter((issues) =>
    !issues.some((issue) => issue.code === "invalid_type" && issue.path.length === 0)
  );
  if (!meant || others.length > 0) return undefined;
  return meant.map((issue) => ({ ...issue, path: [...path, ...issue.path] }));
}

function wrongValue(issue: z.core.$ZodIssue, { toml, data }: Examined): Mistake {
  const found = valueAt(data, issue.path);
  const expected = issue.code === "invalid_type" && issue.message.startsWith("Invalid input")
    ? `a value of type ${issue.expected}`
    : issue.code === "invalid_key"
    ? issue.issues[0]?.message ?? issue.message
    : issue.message;
  const text = found === undefined
    ? `is missing; expected ${expected}`
    : issue.path.at(-1) === SECRET_KEY
    ? `found ${typeof found === "string" ? `${found.length} characters` : `no text`}, expected ${expected}`
    : `found ${isSecret(issue.path.at(-1)) ? "***" : show(found)}, expected ${expected}`;
  return { ...locate(toml, issue.path), key: issue.path.map(String).join("."), text };
}
