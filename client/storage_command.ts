/** `storage ls`, `storage du`, `storage verify` and `storage clean` of the client's command line. */
import type { Command } from "commander";
import { type Config, type ConfigFlags, loadConfig } from "../config/load.ts";
import { ExitCode, withOutputFlags } from "../config/program.ts";
import { sizeText } from "../config/progress.ts";
import { realSurroundings, type Surroundings } from "../config/surroundings.ts";
import { ConfigError, errorText, UserError } from "../config/user_error.ts";
import { printable } from "../protocol/printable.ts";
import { type StorageBackend, StorageConfig } from "../storage/backend.ts";
import type { Filesystem } from "../storage/filesystem.ts";
import { type JobEntry, listJobEntries, mayGo, removeJobEntry } from "../storage/job_folders.ts";
import { withFilesystem } from "../storage/open.ts";
import { table } from "./screen.ts";
import { verifyBackend } from "./storage_verify.ts";

interface StorageFlags extends ConfigFlags {
  json?: boolean;
  quiet?: boolean;
}

interface CleanFlags extends StorageFlags {
  /** Milliseconds. */
  olderThan: number;
  dryRun?: boolean;
}

const EXAMPLES = `
Examples:
  The backends of this machine, and what is in one:
    sleap-rtc-client storage ls
    sleap-rtc-client storage ls vast/alice/jobs
  Can it be written to, how quick is it, how full?
    sleap-rtc-client storage verify vast
  What jobs have left, and away with what is older than two weeks; --dry-run first only says what would go:
    sleap-rtc-client storage du
    sleap-rtc-client storage clean --older-than 14d --dry-run`;

const HOUR_MS = 3_600_000;
const UNITS_MS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: HOUR_MS,
  d: 24 * HOUR_MS,
  w: 7 * 24 * HOUR_MS,
};
/** Entries of a folder that are asked about at a time. */
const PARALLEL = 16;

/**
 * Adds `storage ls`, `du`, `verify` and `clean` to a program. Their actions throw `UserError`s; what was asked for is
 * on stdout, with `--json` one object a line: sizes in bytes, times in ISO 8601, what is not known null.
 * `surroundings` is asked when a command runs; replaced in tests.
 */
export function addStorageCommands(
  program: Command,
  surroundings: () => Surroundings = realSurroundings,
): void {
  const storage = program.command("storage")
    .description("Look at shared storage, check it, and clean it up.")
    .addHelpText("after", EXAMPLES);
  const add = (usage: string, description: string, example: string): Command =>
    withOutputFlags(storage.command(usage))
      .description(description)
      .addHelpText("after", `\nExamples:\n  sleap-rtc-client storage ${example}`)
      .option("--config <file>", "configuration file")
      .option("--shared-storage-root <folder>", "one shared folder, the backend `default`");
  const load = (flags: ConfigFlags): Config => loadConfig(flags, surroundings());
  add("ls [path]", "List the backends, or a folder of one: BACKEND[/PATH].", "ls vast/alice/jobs")
    .action((path: string | undefined, flags: StorageFlags) => list(path, flags, load(flags)));
  add("du [backend]", "Size and age of the folders that jobs have left.", "du vast")
    .action((name: string | undefined, flags: StorageFlags) => usage(name, flags, load(flags)));
  add(
    "verify [backend]",
    "Write, flush, read back; free space; exit code 1 when something is wrong.",
    "verify vast --json",
  )
    .action((name: string | undefined, flags: StorageFlags) => verify(name, flags, load(flags)));
  add(
    "clean [backend]",
    "Remove old job folders, never a running job's, and what is left of interrupted copies.",
    "clean --older-than 14d --dry-run",
  )
    .requiredOption("--older-than <age>", "only what was last written to so long ago: 14d, 36h, 2w", parseAge)
    .option("--dry-run", "only say what would go")
    .action((name: string | undefined, flags: CleanFlags) => clean(name, flags, load(flags)));
}

/** An age from the command line (`90m`, `36h`, `14d`, `2w`), in milliseconds. Throws {@link ConfigError}. */
export function parseAge(text: string): number {
  const [, digits = "", unit = ""] = /^(\d{1,6})([mhdw])$/.exec(text) ?? [];
  const age = Number(digits) * (UNITS_MS[unit] ?? 0);
  if (age > 0) return age;
  throw new ConfigError(`expected an age such as 14d, 36h or 2w, found "${text}"`);
}

/** The backend of that name, or all. Throws `StorageBackendNotFound`, `UserError` when there is none at all. */
function chosen(config: Config, name: string | undefined): StorageBackend[] {
  const storage = StorageConfig.fromConfig(config);
  if (name !== undefined) return [storage.getBackend(name)];
  if (storage.listBackends().length > 0) {
    return storage.listBackends().map((each) => storage.getBackend(each));
  }
  throw new UserError("no storage backend is configured", {
    code: "NO_BACKEND",
    hint: "add a [storage.NAME] section to sleap-rtc.toml",
  });
}

/** Those of the chosen backends that are folders; what holds for the others is said on stderr. */
function folders(config: Config, name: string | undefined): StorageBackend[] {
  return chosen(config, name).filter((backend) => {
    if (!backend.isObjectStore) return true;
    const text = `${backend.name} is an object store: a lifecycle rule of the bucket removes what is old`;
    if (name !== undefined) throw new UserError(text, { code: "STORAGE_GONE" });
    console.error(text);
    return false;
  });
}

function print(flags: StorageFlags, heading: readonly string[], rows: readonly Row[], nothing: string): void {
  if (flags.json) { for (const { json } of rows) console.log(JSON.stringify(json)); }
  else console.log(rows.length > 0 ? table([heading, ...rows.map(({ cells }) => cells)]) : nothing);
}

/** One line, for people and for scripts. */
interface Row {
  cells: readonly string[];
  json: Readonly<Record<string, unknown>> & { event: "backend" | "entry" | "leftover" };
}

async function list(path: string | undefined, flags: StorageFlags, config: Config): Promise<void> {
  if (path === undefined) {
    const rows = await Promise.all(chosen(config, undefined).map(backendRow));
    return print(flags, ["backend", "path", "type", "there", "free"], rows, "");
  }
  const [name = "", ...rest] = path.split("/");
  const [backend] = chosen(config, name);
  const rows = await withFilesystem(backend!, (storage) => folderRows(storage, rest.join("/")));
  print(flags, ["name", "size", "modified"], rows, "nothing is in it");
}

async function backendRow(backend: StorageBackend): Promise<Row> {
  const { name, basePath: path, type } = backend;
  try {
    const free = await withFilesystem(backend, async (storage) => {
      if (!backend.isObjectStore) await storage.stat("");
      else if (!await storage.exists("")) {
        throw new UserError("the store does not answer", { code: "STORAGE_GONE" });
      }
      return await storage.freeSpace();
    });
    return {
      cells: [name, path, type, "yes", free === undefined ? "" : sizeText(free)],
      json: { event: "backend", backend: name, path, type, there: true, free: free ?? null, error: null },
    };
  } catch (error) {
    return {
      cells: [name, path, type, "no", ""],
      json: {
        event: "backend",
        backend: name,
        path,
        type,
        there: false,
        free: null,
        error: errorText(error),
      },
    };
  }
}

async function folderRows(storage: Filesystem, path: string): Promise<Row[]> {
  if (!(await storage.stat(path)).isFolder) {
    return [await fileRow(storage, path, path.split("/").at(-1) ?? path)];
  }
  const names = (await Array.fromAsync(storage.list(path))).map(({ name }) => name).toSorted();
  const rows: Row[] = [];
  for (let first = 0; first < names.length; first += PARALLEL) {
    const batch = names.slice(first, first + PARALLEL);
    rows.push(...await Promise.all(batch.map((name) => fileRow(storage, `${path}/${name}`, name))));
  }
  return rows;
}

async function fileRow(storage: Filesystem, path: string, name: string): Promise<Row> {
  // A link to elsewhere is listed, and that is all.
  const stat = await storage.stat(path.replace(/^\/+/, "")).catch(() => undefined);
  const kind = stat?.isFolder ? "folder" : stat?.isFile ? "file" : "other";
  const modified = stat?.modified?.toISOString() ?? null;
  const size = stat?.isFile ? stat.size : null;
  return {
    cells: [
      printable(name) + (kind === "folder" ? "/" : ""),
      size === null ? "" : sizeText(size),
      modified?.slice(0, 16).replace("T", " ") ?? "",
    ],
    json: { event: "entry", name, kind, size, modified },
  };
}

/** An age in the largest unit that fits; milliseconds. */
function ageText(age: number): string {
  const hours = Math.max(0, Math.floor(age / HOUR_MS));
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

function entryRow(backend: string, entry: JobEntry, now: number, state: string): Row {
  const { path, kind, files, bytes, newest, held } = entry;
  const known = Number.isFinite(newest);
  return {
    cells: [
      backend,
      printable(path),
      String(files),
      sizeText(bytes),
      known ? ageText(now - newest) : "?",
      state,
    ],
    json: {
      event: "leftover",
      backend,
      path,
      kind,
      files,
      bytes,
      newest: known ? new Date(newest).toISOString() : null,
      running: held,
      ...(state === "" || state === "running" ? {} : { action: state }),
    },
  };
}

async function usage(name: string | undefined, flags: StorageFlags, config: Config): Promise<void> {
  const [rows, now]: [Row[], number] = [[], Date.now()];
  let bytes = 0;
  for (const backend of folders(config, name)) {
    for await (const entry of listJobEntries(backend.basePath, now)) {
      rows.push(entryRow(backend.name, entry, now, entry.held ? "running" : ""));
      // What is left of a copy inside a job's folder is in that folder's sum.
      if (entry.kind !== "partial" || entry.path.split("/").at(-2) === "jobs") bytes += entry.bytes;
    }
  }
  print(flags, ["backend", "folder", "files", "size", "age", ""], rows, "jobs have left nothing");
  if (!flags.json && rows.length > 0) console.log(`${sizeText(bytes)} in all`);
}

async function clean(name: string | undefined, flags: CleanFlags, config: Config): Promise<void> {
  const [rows, now]: [Row[], number] = [[], Date.now()];
  let [bytes, failed] = [0, false];
  for (const backend of folders(config, name)) {
    for await (const entry of listJobEntries(backend.basePath, now)) {
      if (!mayGo(entry, flags.olderThan, now)) continue;
      const action = flags.dryRun ? "would go" : await removed(entry, now);
      if (action !== "failed") bytes += entry.bytes;
      failed ||= action === "failed";
      rows.push(entryRow(backend.name, entry, now, action));
    }
  }
  print(flags, ["backend", "folder", "files", "size", "age", ""], rows, "nothing is that old");
  if (!flags.json && rows.length > 0) {
    console.log(`${sizeText(bytes)} ${flags.dryRun ? "would be freed" : "freed"}`);
  }
  if (failed) throw new ExitCode(1);
}

async function removed(entry: JobEntry, now: number): Promise<string> {
  try {
    return await removeJobEntry(entry, now) ? "removed" : "kept, in use";
  } catch (error) {
    // One that another person made must not keep the others from going.
    console.error(`error: ${printable(entry.path)}: ${errorText(error)}`);
    return "failed";
  }
}

async function verify(name: string | undefined, flags: StorageFlags, config: Config): Promise<void> {
  let wrong = false;
  for (const backend of chosen(config, name)) {
    for await (const { check, ok, detail, figures } of verifyBackend(backend, config.client.userSubdir)) {
      wrong ||= !ok;
      if (ok && flags.quiet) continue;
      if (flags.json) {
        console.log(JSON.stringify({ event: "check", backend: backend.name, check, ok, detail, ...figures }));
      } else console.log(`${ok ? "ok  " : "FAIL"}  ${backend.name}: ${check}: ${detail}`);
    }
  }
  if (wrong) throw new ExitCode(1);
}
