/** What a signaling server says of a store that it cannot use, whichever way the program is run. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { LabProcess, type ProcessOptions } from "../../scripts/local_lab.ts";

const PORTS = ["--host", "127.0.0.1", "--http-port", "0", "--ws-port", "0", "--json"];

/** Starts the server that `command` runs with a store of its own. */
export function serverWith(file: string, command: readonly string[], options: ProcessOptions): LabProcess {
  return new LabProcess([...command, ...PORTS, "--store", `sqlite:${file}`], options);
}

/** Runs it with each kind of bad file in a folder that it may write to, and with one that is in use. */
export async function refusesBadStores(
  command: readonly string[],
  folder: string,
  options: ProcessOptions = {},
): Promise<void> {
  const refused = async (name: string, reason: RegExp): Promise<void> => {
    const server = serverWith(join(folder, name), command, options);
    const code = await server.exited();
    assert.equal(code, 1, server.output);
    assert.match(server.output, reason);
    assert.match(server.output, /hint: .*\ncode: STORE_FAILED$/);
  };
  const good = join(folder, "good.db");
  const server = serverWith(good, command, options);
  try {
    await server.line(/"listening"/);
    await refused("good.db", /good\.db is in use by another server$/m);
  } finally {
    server.kill("SIGKILL");
    await server.exited();
  }
  await change(good, join(folder, "newer.db"), "PRAGMA user_version = 7");
  await refused("newer.db", /newer\.db has version 7; this program knows version 1$/m);
  await change(undefined, join(folder, "other.db"), "CREATE TABLE birds (name TEXT)");
  await refused("other.db", /other\.db is a database of another program$/m);
  await damage(good, join(folder, "damaged.db"));
  await refused("damaged.db", /damaged\.db is damaged: /);
  await Deno.writeTextFile(join(folder, "letter"), "Dear Sir or Madam, ".repeat(500));
  await Deno.chmod(join(folder, "letter"), 0o666);
  await refused("letter", /letter is no SQLite database$/m);
  await refused("letter/store.db", /letter\/store\.db cannot be written: /);
}

/** A database at `path`, a copy of another or new, in which a statement was run. */
async function change(from: string | undefined, path: string, statement: string): Promise<void> {
  if (from !== undefined) await copy(from, path);
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA journal_mode = DELETE; ${statement}`);
  db.close();
  await Deno.chmod(path, 0o666);
}

/** All that a server that was killed has left. */
async function copy(from: string, to: string): Promise<void> {
  for (const part of ["", "-wal"]) await Deno.copyFile(from + part, to + part);
}

/** A copy of a store in which all but the header of the file was overwritten. */
async function damage(from: string, path: string): Promise<void> {
  await change(from, path, "VACUUM");
  const bytes = await Deno.readFile(path);
  bytes.fill(0xa5, 100);
  await Deno.writeFile(path, bytes);
}
