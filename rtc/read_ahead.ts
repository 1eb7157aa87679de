/**
 * The next `length` bytes of a file, or those to its end, in blocks of at most `blockBytes`: while one is used, the next
 * is read. A block holds until the next is asked for. Throws Deno's file errors.
 */
export async function* readAhead(
  file: Pick<Deno.FsFile, "read">,
  length: number,
  blockBytes: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const size = Math.min(blockBytes, Math.max(1, length));
  let [buffer, spare] = [new Uint8Array(size), new Uint8Array(size)];
  let left = length;
  const readOn = (): Promise<number | null> => {
    const coming = left === 0 ? Promise.resolve(null) : file.read(buffer.subarray(0, Math.min(size, left)));
    // Nobody waits for it when its user stops before.
    coming.catch(() => {});
    return coming;
  };
  for (let read, coming = readOn(); (read = await coming) !== null;) {
    const block = buffer.subarray(0, read);
    left -= read;
    [buffer, spare] = [spare, buffer];
    coming = readOn();
    yield block;
  }
}
