/** Writes all of the bytes where a file stands: a single write may take fewer. Throws Deno's file errors. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}
