/**
 * Writes all of the bytes where a file stands, or to a connection: a single write may take fewer. Throws Deno's errors.
 */
export async function writeAll(file: Pick<Deno.FsFile, "write">, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}
