/** A store in one SQLite file, for one server at a time. Why so: docs/decisions/0010-store.md. */
import { dirname, resolve } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { errorText } from "../config/user_error.ts";
import type { Kind, Store } from "./store.ts";
import { StoreError } from "./store_error.ts";

/** Marks the file as ours: "slrt". */
const APPLICATION_ID = 0x736c_7274;
/** Of the tables below; a newer program may change them. */
const SCHEMA_VERSION = 1;
/** A predecessor that is just ending gets this long to let go of the file, in milliseconds. */
const BUSY_WAIT_MS = 2_000;

/** Forgets nothing, even if the process is killed. */
export class SqliteStore implements Store {
  readonly #db: DatabaseSync;
  readonly #all: StatementSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;

  /**
   * Opens the file, or makes it, for its owner alone, with its folder; nobody else can open it until it is closed.
   * Throws {@link StoreError} for one that is no store, damaged, of a newer program, in use, or not writable.
   */
  static async open(file: string, { busyWaitMs = BUSY_WAIT_MS } = {}): Promise<SqliteStore> {
    const path = resolve(file);
    try {
      await Deno.mkdir(dirname(path), { recursive: true, mode: 0o700 });
      // SQLite would make it readable for everybody.
      (await Deno.open(path, { write: true, create: true, mode: 0o600 })).close();
    } catch (error) {
      throw new StoreError(`the store ${path} cannot be written: ${errorText(error)}`, {
        hint: "check the folder and its rights, or choose another file: --store sqlite:PATH",
        cause: error,
      });
    }
    return new SqliteStore(path, busyWaitMs);
  }

  private constructor(path: string, busyWaitMs: number) {
    let db: DatabaseSync | undefined;
    try {
      db = new DatabaseSync(path);
      // Whether the file is in use, damaged, or no database, shows here: `prepare` does not say why it fails in
      // Deno 2.5.
      db.exec(`PRAGMA busy_timeout = ${busyWaitMs}; PRAGMA locking_mode = EXCLUSIVE;
        BEGIN EXCLUSIVE; SELECT count(*) FROM sqlite_schema; COMMIT`);
      checkOurs(db, path);
      // Of a file that was there; SQLite gives its other files the same mode.
      if (Deno.build.os !== "windows") Deno.chmodSync(path, 0o600);
      takeOver(db);
      this.#db = db;
      this.#all = db.prepare("SELECT key, value FROM entry WHERE kind = ?");
      this.#put = db.prepare(
        "INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
      );
      this.#delete = db.prepare("DELETE FROM entry WHERE kind = ? AND key = ?");
    } catch (error) {
      db?.close();
      throw error instanceof StoreError ? error : openingError(path, error);
    }
  }

  all(kind: Kind): Promise<Map<string, unknown>> {
    return attempt(() =>
      new Map(this.#all.all(kind).map(({ key, value }) => [String(key), JSON.parse(String(value))]))
    );
  }

  put(kind: Kind, key: string, value: unknown): Promise<void> {
    return attempt(() => void this.#put.run(kind, key, JSON.stringify(value)));
  }

  delete(kind: Kind, key: string): Promise<void> {
    return attempt(() => void this.#delete.run(kind, key));
  }

  close(): Promise<void> {
    return attempt(() => {
      if (this.#db.isOpen) this.#db.close();
    });
  }
}

/** What fails at once fails as what is awaited does. */
function attempt<Result>(step: () => Result): Promise<Result> {
  return new Promise((done) => done(step()));
}

/** Throws {@link StoreError} for a file that this program should not write to. */
function checkOurs(db: DatabaseSync, path: string): void {
  const check = single(db, "PRAGMA quick_check(1)");
  if (check !== "ok") throw damaged(path, check);
  const isOurs = single(db, "PRAGMA application_id") === APPLICATION_ID;
  if (!isOurs && single(db, "SELECT count(*) FROM sqlite_schema") !== 0) {
    throw new StoreError(`${path} is a database of another program`, { hint: "choose another file" });
  }
  const version = single(db, "PRAGMA user_version");
  if (isOurs && version !== SCHEMA_VERSION) {
    throw new StoreError(
      `the store ${path} has version ${version}; this program knows version ${SCHEMA_VERSION}`,
      { hint: "use the program that made it, or choose another file" },
    );
  }
}

/** Takes the file for this process alone, and makes its table. */
function takeOver(db: DatabaseSync): void {
  // Exclusive: a second server, which would route the same jobs, cannot open it; a killed one lets go by itself.
  // NORMAL: in the log before a put returns, flushed now and then: a power cut may cost the last seconds, never the file.
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
    BEGIN EXCLUSIVE;
    PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION};
    CREATE TABLE IF NOT EXISTS entry (
      kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID;
    COMMIT`);
}

/** The one value that a query gives. */
function single(db: DatabaseSync, query: string): unknown {
  return Object.values(db.prepare(query).get() ?? {})[0];
}

function damaged(path: string, cause: unknown): StoreError {
  return new StoreError(`the store ${path} is damaged: ${errorText(cause)}`, {
    hint: "put a backup in its place, or move it away: rooms and jobs are forgotten then",
    cause,
  });
}

/** SQLite's result codes do not reach us, but its texts for them are part of its interface. */
function openingError(path: string, error: unknown): StoreError {
  const text = errorText(error);
  if (/locked|busy/.test(text)) {
    return new StoreError(`the store ${path} is in use by another server`, {
      hint:
        "stop that one, or give each its own: --store sqlite:PATH; for several servers see --store redis://",
      cause: error,
    });
  }
  if (/not a database/.test(text)) {
    return new StoreError(`${path} is no SQLite database`, { hint: "choose another file", cause: error });
  }
  if (/malformed/.test(text)) return damaged(path, error);
  return new StoreError(`the store ${path} cannot be used: ${text}`, {
    hint: "check the file and its rights, or choose another: --store sqlite:PATH",
    cause: error,
  });
}
