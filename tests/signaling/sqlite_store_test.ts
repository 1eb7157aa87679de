import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { TextLineStream } from "../../scripts/text_lines.ts";
import { UserError } from "../../config/user_error.ts";
import { SqliteStore } from "../../signaling/sqlite_store.ts";
import { storeCases } from "./store_cases.ts";

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sleap-rtc-store-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Opens without patience. */
function open(file: string): Promise<SqliteStore> {
  return SqliteStore.open(file, { busyWaitMs: 50 });
}

async function refusal(file: string): Promise<UserError> {
  const error = await open(file).then(() => undefined, (error) => error);
  assert.ok(error instanceof UserError, String(error));
  assert.ok(error.hint);
  return error;
}

storeCases("SQLite", (test) =>
  withFolder(async (folder) => {
    const store = await open(join(folder, "store.db"));
    await test(store);
    await store.close();
  }));

Deno.test("what was put is there when the file is opened again; the file is its owner's alone", () =>
  withFolder(async (folder) => {
    const file = join(folder, "deep/er/store.db");
    const first = await open(file);
    await first.put("room", "a", { token: "t" });
    for await (const { name } of Deno.readDir(join(folder, "deep/er"))) {
      const { mode } = await Deno.stat(join(folder, "deep/er", name));
      if (Deno.build.os !== "windows") assert.equal(mode! & 0o777, 0o600, name);
    }
    await first.close();
    await first.close();
    const second = await open(file);
    assert.deepEqual(await second.all("room"), new Map([["a", { token: "t" }]]));
    await second.close();
  }));

Deno.test("a second server on the same file is refused, the first goes on", () =>
  withFolder(async (folder) => {
    const file = join(folder, "store.db");
    const first = await open(file);
    assert.match((await refusal(file)).message, /store\.db is in use by another server$/);
    await first.put("job", "a", 1);
    assert.deepEqual([...await first.all("job")], [["a", 1]]);
    await first.close();
    await (await open(file)).close();
  }));

Deno.test("a file that is no store is refused and left as it is", () =>
  withFolder(async (folder) => {
    const text = join(folder, "text.db");
    await Deno.writeTextFile(text, "dear diary ".repeat(1000));
    assert.match((await refusal(text)).message, /text\.db is no SQLite database$/);
    assert.match(await Deno.readTextFile(text), /^dear diary/);

    const other = join(folder, "other.db");
    const db = new DatabaseSync(other);
    db.exec("CREATE TABLE recipes (name TEXT)");
    db.close();
    assert.match((await refusal(other)).message, /other\.db is a database of another program$/);

    const newer = join(folder, "newer.db");
    await (await open(newer)).close();
    const changed = new DatabaseSync(newer);
    changed.exec("PRAGMA user_version = 7");
    changed.close();
    assert.match((await refusal(newer)).message, /has version 7; this program knows version 1$/);
  }));

Deno.test("a damaged file is refused", () =>
  withFolder(async (folder) => {
    const file = join(folder, "store.db");
    const store = await open(file);
    for (let i = 0; i < 500; i++) await store.put("job", `j${i}`, "x".repeat(500));
    await store.close();
    const damaged = await Deno.open(file, { write: true });
    await damaged.seek(8192, Deno.SeekMode.Start);
    await damaged.write(new Uint8Array(40_000).fill(0xa5));
    damaged.close();
    assert.match((await refusal(file)).message, /store\.db is damaged: /);
  }));

Deno.test("a place that cannot be written is told", () =>
  withFolder(async (folder) => {
    assert.match((await refusal(folder)).message, /cannot be written/);
    await Deno.writeTextFile(join(folder, "file"), "");
    assert.match((await refusal(join(folder, "file/store.db"))).message, /cannot be written/);
  }));

Deno.test("what was acknowledged survives kill -9 in the middle of puts", () =>
  withFolder(async (folder) => {
    const file = join(folder, "store.db");
    const script = fileURLToPath(new URL("./store_writer.ts", import.meta.url));
    const args = ["run", "-A", script, file];
    const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
    let acknowledged = -1;
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
    for await (const line of lines) {
      acknowledged = Number(line);
      if (acknowledged === 2000) child.kill("SIGKILL");
    }
    await child.status;
    assert.ok(acknowledged >= 2000);
    const store = await open(file);
    const jobs = await store.all("job");
    await store.close();
    for (let i = 0; i <= acknowledged; i++) assert.deepEqual(jobs.get(`j${i}`), { number: i }, `j${i}`);
  }));

Deno.test("a put takes well under a millisecond", () =>
  withFolder(async (folder) => {
    const store = await open(join(folder, "store.db"));
    const value = { text: "x".repeat(1000) };
    const [count, start] = [5_000, performance.now()];
    for (let i = 0; i < count; i++) await store.put("job", `j${i % 500}`, value);
    const mean = (performance.now() - start) / count;
    await store.close();
    // 0.03 ms measured; the limit is for a machine with other work.
    assert.ok(mean < 0.5, `${mean} ms`);
  }));
