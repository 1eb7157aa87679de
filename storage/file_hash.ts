import { createHash } from "node:crypto";

/** Bytes per read. */
const READ_BYTES = 1024 * 1024;

/** SHA-256 of a file, in hex, and its size in bytes as it was read. Throws the abort reason, Deno's file errors. */
export async function hashFile(
  path: string,
  signal?: AbortSignal,
): Promise<{ size: number; sha256: string }> {
  using file = await Deno.open(path, { read: true });
  const hash = createHash("sha256");
  const buffer = new Uint8Array(READ_BYTES);
  let size = 0;
  for (let read; (read = await file.read(buffer)) !== null;) {
    signal?.throwIfAborted();
    hash.update(buffer.subarray(0, read));
    size += read;
  }
  return { size, sha256: hash.digest("hex") };
}
