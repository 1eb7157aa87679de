import assert from "node:assert/strict";
import { join } from "node:path";
import { ERROR_CODES, type ErrorCode, EXIT, exitCodeOf, isErrorCode } from "../../config/error_code.ts";
import { CANCEL_CODES, CANCEL_ERRORS } from "../../protocol/files.ts";
import { queueRefusalSchema } from "../../protocol/queue.ts";
import { DISK_FULL_TEXT, PATH_CODES, PATH_TEXTS, refusalCode } from "../../protocol/refusal.ts";
import type { RelayFailure } from "../../protocol/relay.ts";
import { FilesystemError } from "../../storage/filesystem.ts";
import { DiskFullError, isDiskFull } from "../../storage/space.ts";
import { faultOf } from "../../storage/faults.ts";

const ROOT = join(import.meta.dirname!, "../..");
const TABLE = join("config", "error_code.ts");
const FOLDERS = ["client", "worker", "signaling", "rtc", "storage", "protocol", "config"];

/** The text of every source file, by its path from the project's folder. */
async function sources(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const visit = async (folder: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(join(ROOT, folder))) {
      const path = join(folder, name);
      if (isDirectory) await visit(path);
      else if (name.endsWith(".ts")) found.set(path, await Deno.readTextFile(join(ROOT, path)));
    }
  };
  for (const folder of FOLDERS) await visit(folder);
  return found;
}

Deno.test("every code is unlike the others, and has an exit code, a meaning and a remedy", () => {
  const exits: ReadonlySet<number> = new Set(Object.values(EXIT));
  for (const [code, { exit, meaning, remedy }] of ERROR_CODES) {
    assert.match(code, /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/);
    assert.ok(exits.has(exit) && exit !== EXIT.done, `${code}: ${exit}`);
    for (const text of [meaning, remedy]) assert.match(text, /^\S.{5,}[^.\s]$/, code);
  }
  assert.equal(new Set([...ERROR_CODES.values()].map(({ meaning }) => meaning)).size, ERROR_CODES.size);
  assert.deepEqual([isErrorCode("NO_SPACE"), isErrorCode("NONSENSE"), isErrorCode(undefined)], [
    true,
    false,
    false,
  ]);
  assert.equal(exitCodeOf("INTERRUPTED"), 130);
});

Deno.test("every code that the source names is in the table, and every code of the table is named", async () => {
  const files = await sources();
  assert.ok(files.delete(TABLE) && files.size > 100);
  for (const [path, text] of files) {
    const named = text.matchAll(/\b(?:code\b[^\n]{0,20}?|sendError\([^"\n]*|fail\()"([A-Z][A-Z_]+)"/g);
    for (const [, code] of named) {
      // Node's and the system's own codes
      if (/^(E[A-Z]+|ERR_.*)$/.test(code!)) continue;
      assert.ok(isErrorCode(code), `${path} names ${code}, which the table has not`);
    }
  }
  const all = [...files.values()].join("\n");
  const unused = [...ERROR_CODES.keys()].filter((code) => !all.includes(`"${code}"`));
  assert.deepEqual(unused, []);
});

Deno.test("the wire's codes are in the table", () => {
  const queue: readonly ErrorCode[] = queueRefusalSchema.options;
  const relay: Record<RelayFailure, ErrorCode> = {
    RELAY_REFUSED: "RELAY_REFUSED",
    INVALID_MESSAGE: "INVALID_MESSAGE",
    NOT_IN_ROOM: "NOT_IN_ROOM",
    PEER_NOT_FOUND: "PEER_NOT_FOUND",
    DELIVERY_FAILED: "DELIVERY_FAILED",
  };
  for (const code of [...queue, ...Object.values(relay)]) assert.ok(isErrorCode(code), code);
  assert.deepEqual(Object.keys(CANCEL_ERRORS).toSorted(), [...CANCEL_CODES].toSorted());
});

Deno.test("the fixed texts of a worker say which code they are; other texts do not", () => {
  for (const refusal of ["outside", "missing", "denied", "changed", "corrupt"] as const) {
    assert.equal(refusalCode(`${PATH_TEXTS[refusal]}: alice/x.zip`, "JOB_REFUSED"), PATH_CODES[refusal]);
  }
  assert.equal(refusalCode(DISK_FULL_TEXT, "JOB_FAILED"), "DISK_FULL");
  assert.equal(refusalCode("1 of 1 runs failed", "JOB_FAILED"), "JOB_FAILED");
});

Deno.test("a full disk keeps its code and its fault through the layers", () => {
  const full = new DiskFullError("/mnt", 1, 2, Object.assign(new Error(), { code: "ENOSPC" }));
  assert.deepEqual([full.code, isDiskFull(full), faultOf(full)], ["DISK_FULL", true, "full"]);
  assert.equal(new FilesystemError("full", "x", "no space").code, "DISK_FULL");
});
