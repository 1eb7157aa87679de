/**
 * The next `length` bytes of a file, or those to its end, in blocks of at most `blockBytes`: while one is used, the next
 * is read. A block holds until the next is asked for; the file is idle when the last was, or nobody asks any more.
 * Throws Deno's file errors.
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
    const coming = left > 0 ? file.read(buffer.subarray(0, Math.min(size, left))) : Promise.resolve(null);
    // A failure of it is met at the next turn, or does not matter any more.
    coming.catch(() => {});
    return coming;
  };
  let coming = readOn();
  try {
    for (let read; (read = await coming) !== null;) {
      const block = buffer.subarray(0, read);
      left -= read;
      [buffer, spare] = [spare, buffer];
      coming = readOn();
      yield block;
    }
  } finally {
    await coming.catch(() => {});
  }
}
