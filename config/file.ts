/** Reading `sleap-rtc.toml`: which file, what it says, and all that is wrong with it on this machine. */
import { join, relative, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { z } from "zod";
import { ConfigFileError, locate, type Mistake, mistakesOf, nearest, valueAt } from "./mistake.ts";
import { type FileContent, fileSchema, hasScheme } from "./schema.ts";
import { expandPath, platformKey, type Surroundings } from "./surroundings.ts";
import { ConfigError, errorText } from "./user_error.ts";

/** A file that was read, or the lack of one. */
export interface ConfigFile {
  /** Absolute; undefined when there is none. */
  file: string | undefined;
  toml: string;
  /** The parsed text; undefined when it is not TOML. */
  data: unknown;
  /** The defaults when there are mistakes. */
  content: FileContent;
  mistakes: readonly Mistake[];
}

/** Where a configuration file is looked for, in this order. */
export function configCandidates(at: Surroundings): readonly string[] {
  return [join(at.cwd, "sleap-rtc.toml"), join(at.home, ".sleap-rtc", "config.toml")];
}

/**
 * Reads the file that was asked for, or the first of the usual places. Throws {@link ConfigError} when a file is
 * there and cannot be read; its mistakes are not thrown.
 */
export function readConfigFile(explicit: string | undefined, at: Surroundings): ConfigFile {
  const candidates = explicit === undefined ? configCandidates(at) : [resolve(at.cwd, explicit)];
  for (const file of candidates) {
    let toml: string;
    try {
      toml = at.readText(file);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound && explicit === undefined) continue;
      throw new ConfigError(`cannot read the configuration file ${file}: ${errorText(error)}`, {
        cause: error,
      });
    }
    return { file, ...examine(toml, at) };
  }
  return { file: undefined, ...examine("", at) };
}

/** The content of a TOML text. Throws {@link ConfigFileError}; `file` is what its messages call the text. */
export function parseConfig(text: string, file: string): FileContent {
  const { content, mistakes } = examine(text);
  if (mistakes.length > 0) throw new ConfigFileError(file, mistakes);
  return content;
}

/** `file sleap-rtc.toml:12`, from where a value of the file came; undefined when the file does not have it. */
export function sourceInFile(
  { file, toml, data }: ConfigFile,
  path: readonly string[],
  cwd: string,
): string | undefined {
  if (file === undefined || valueAt(data, path) === undefined) return undefined;
  const below = relative(cwd, file);
  return `file ${below.startsWith("..") ? file : below}:${locate(toml, path)?.line ?? 1}`;
}

/** What a text says and what is wrong with it; what depends on the machine only when one is given. */
function examine(toml: string, at?: Surroundings): Omit<ConfigFile, "file"> {
  const failed = (data: unknown, mistakes: readonly Mistake[]): Omit<ConfigFile, "file"> => ({
    toml,
    data,
    content: fileSchema.parse({}),
    mistakes,
  });
  let data: unknown;
  try {
    data = parse(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const text = error.message.split("\n", 1)[0]?.replace("Invalid TOML document", "not valid TOML");
    return failed(undefined, [{
      line: error.line,
      column: error.column,
      key: "",
      text: text ?? "not valid TOML",
    }]);
  }
  const parsed = fileSchema.safeParse(data);
  const examined = { toml, data, keysAt: validKeys };
  const mistakes = [
    ...(parsed.success ? [] : mistakesOf(parsed.error.issues, examined)),
    // zod passes over this name in records.
    ...["storage", "environments"].filter((table) => tableKeys(data, table).includes("__proto__"))
      .map((table) => ({
        ...locate(toml, [table, "__proto__"]),
        key: `${table}.__proto__`,
        text: "this name cannot be used; choose another",
      })),
    ...unknownBackend(toml, data),
    ...(at ? pathMistakes(toml, data, at) : []),
  ];
  return parsed.success && mistakes.length === 0
    ? { toml, data, content: parsed.data, mistakes }
    : failed(data, mistakes);
}

/** The keys that a table at this path may hold, read off the schema. */
function validKeys(path: readonly PropertyKey[]): string[] {
  let schema: unknown = fileSchema;
  const unwrap = (each: unknown): unknown =>
    each instanceof z.ZodDefault || each instanceof z.ZodPrefault || each instanceof z.ZodOptional
      ? unwrap(each.unwrap())
      : each instanceof z.ZodUnion
      ? unwrap(each.options.find((option) => option instanceof z.ZodObject))
      : each;
  for (const key of path) {
    const table = unwrap(schema);
    schema = table instanceof z.ZodRecord
      ? table.valueType
      : table instanceof z.ZodArray
      ? table.element
      : table instanceof z.ZodObject
      ? table.shape[String(key)]
      : undefined;
  }
  const table = unwrap(schema);
  return table instanceof z.ZodObject ? Object.keys(table.shape) : [];
}

function isTable(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** The keys of a table of the file; none when it is no table. */
export function tableKeys(data: unknown, table: string): string[] {
  const value = valueAt(data, [table]);
  return isTable(value) ? Object.keys(value) : [];
}

/** Preferring a backend that the same file does not have. */
function unknownBackend(toml: string, data: unknown): Mistake[] {
  const path = ["client", "storage_backend"];
  const chosen = valueAt(data, path);
  const backends = tableKeys(data, "storage");
  if (typeof chosen !== "string" || chosen === "" || backends.length === 0 || backends.includes(chosen)) {
    return [];
  }
  const meant = nearest(chosen, backends);
  const expected = meant === undefined ? "" : `; did you mean "${meant}"?`;
  const text = `found "${chosen}", expected a backend of this file: ${backends.join(", ")}${expected}`;
  return [{ ...locate(toml, path), key: path.join("."), text }];
}

/** Paths that mean nothing on this machine. Works on what was written, so that other mistakes do not hide them. */
function pathMistakes(toml: string, data: unknown, at: Surroundings): Mistake[] {
  const key = platformKey(at.os);
  const paths = [["worker", "scratch"], ["client", "output_dir"]];
  const readable = valueAt(data, ["worker", "sandbox_read"]);
  if (Array.isArray(readable)) {
    paths.push(...readable.keys().map((index) => ["worker", "sandbox_read", String(index)]));
  }
  const mistakes: Mistake[] = [];
  const add = (path: readonly string[], mistake: { text: string; hint?: string }): void => {
    mistakes.push({ ...locate(toml, path), key: path.join("."), ...mistake });
  };
  for (const name of tableKeys(data, "storage")) {
    const path = ["storage", name, "base_path"];
    const value = valueAt(data, path);
    if (isTable(value) && valueAt(value, [key]) === undefined) {
      add(path, { text: `has no path for this system, ${at.os}`, hint: `add ${key} = "…" to it` });
    } else paths.push(isTable(value) ? [...path, key] : path);
  }
  for (const path of paths) {
    const value = valueAt(data, path);
    // The schema has its say about what is no text, and about addresses.
    if (typeof value !== "string" || value === "" || hasScheme(value)) continue;
    try {
      expandPath(value, at);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      add(path, { text: error.message });
    }
  }
  return mistakes;
}
