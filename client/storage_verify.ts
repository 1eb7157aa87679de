/** Tries a storage backend: is it there, does it take and give back bytes, how quick, how full. */
import { sizeText } from "../config/progress.ts";
import { errorText, UserError } from "../config/user_error.ts";
import type { StorageBackend } from "../storage/backend.ts";
import type { Filesystem } from "../storage/filesystem.ts";
import { listJobEntries } from "../storage/job_folders.ts";
import { withFilesystem } from "../storage/open.ts";

/** One thing that was looked at. */
export interface Check {
  check: "there" | "write and read" | "free space" | "leftovers";
  ok: boolean;
  /** What was found, for people. */
  detail: string;
  /** The same for scripts; bytes and milliseconds, the unit in the name. */
  figures: Readonly<Record<string, number | null>>;
}

/** Bytes of the file that is written and read back. */
const TEST_BYTES = 1024 * 1024;
/** With less than this free, in bytes, hardly any package fits. */
const LITTLE_SPACE = 2 ** 30;
/** What is left of a copy counts as left behind after so long, in milliseconds. */
const LEFT_BEHIND_MS = 3_600_000;

/**
 * Looks at a backend. It is written to in the user's folder, where there is one: the base path itself often belongs
 * to somebody else. Never throws; what goes wrong is a check that is not `ok`.
 */
export async function* verifyBackend(
  backend: StorageBackend,
  userSubdir: string | undefined,
): AsyncGenerator<Check> {
  const there = await attempt(
    "there",
    () => withFilesystem(backend, (storage) => lookThere(backend, storage)),
  );
  yield there;
  if (!there.ok) return;
  yield await attempt("write and read", () =>
    withFilesystem(backend, async (storage) => {
      const own = userSubdir !== undefined && userSubdir !== "" && await storage.exists(userSubdir);
      return await writeAndRead(storage, own ? userSubdir : "");
    }));
  yield await attempt("free space", () => withFilesystem(backend, measureSpace));
  if (!backend.isObjectStore) yield await attempt("leftovers", () => findLeftovers(backend.basePath));
}

type Finding = Pick<Check, "detail" | "figures"> & { ok?: boolean };

async function attempt(check: Check["check"], look: () => Promise<Finding>): Promise<Check> {
  try {
    return { check, ok: true, ...await look() };
  } catch (error) {
    const hint = error instanceof UserError && error.hint !== undefined ? ` (${error.hint})` : "";
    return { check, ok: false, detail: errorText(error) + hint, figures: {} };
  }
}

async function lookThere(backend: StorageBackend, storage: Filesystem): Promise<Finding> {
  const [{ basePath }, began] = [backend, performance.now()];
  const there = backend.isObjectStore ? await storage.exists("") : (await storage.stat("")).isFolder;
  if (!there) {
    throw new UserError(`${basePath} is not a folder`, { code: "STORAGE_GONE", hint: "is it mounted?" });
  }
  return { detail: basePath, figures: { latency_ms: since(began) } };
}

function since(began: number): number {
  return Math.round((performance.now() - began) * 100) / 100;
}

async function writeAndRead(storage: Filesystem, folder: string): Promise<Finding> {
  const name = `.sleap-rtc-verify-${crypto.randomUUID()}`;
  const path = folder === "" ? name : `${folder}/${name}`;
  const bytes = new Uint8Array(TEST_BYTES);
  for (let at = 0; at < TEST_BYTES; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  try {
    const began = performance.now();
    await storage.write(path, new Blob([bytes]).stream(), { size: TEST_BYTES });
    const written = since(began);
    const reading = performance.now();
    const back = new Uint8Array(await new Response(await storage.read(path)).arrayBuffer());
    const read = since(reading);
    if (back.length !== bytes.length || back.some((byte, index) => byte !== bytes[index])) {
      throw new UserError("other bytes were read than had been written", { code: "FILE_CORRUPT" });
    }
    return {
      detail: `${sizeText(TEST_BYTES)} written and flushed in ${written} ms, read back in ${read} ms`,
      figures: { write_ms: written, read_ms: read },
    };
  } finally {
    await storage.remove(path).catch(() => {});
  }
}

async function measureSpace(storage: Filesystem): Promise<Finding> {
  const free = await storage.freeSpace();
  if (free === undefined) return { detail: "no bound is known", figures: { free_bytes: null } };
  const ok = free >= LITTLE_SPACE;
  return {
    ok,
    detail: `${sizeText(free)} free${ok ? "" : "; a package hardly fits (see `storage clean`)"}`,
    figures: { free_bytes: free },
  };
}

/** Not a fault by itself: an interrupted copy may still be gone on with. */
async function findLeftovers(basePath: string): Promise<Finding> {
  const now = Date.now();
  let [count, bytes] = [0, 0];
  for await (const entry of listJobEntries(basePath, now)) {
    if (entry.kind !== "partial" || entry.held || now - entry.newest < LEFT_BEHIND_MS) continue;
    count += 1;
    bytes += entry.bytes;
  }
  const found = `${count} ${count === 1 ? "copy" : "copies"} left unfinished, ${sizeText(bytes)}`;
  return {
    detail: count === 0 ? "none" : `${found} (see \`storage clean\`)`,
    figures: { partial_files: count, partial_bytes: bytes },
  };
}
