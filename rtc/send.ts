import { formatMessage, MAX_MESSAGE_BYTES } from "../protocol/message.ts";
import { readAhead } from "../storage/read_ahead.ts";
import { isKeepAlive } from "./channel.ts";
import type { Pipe } from "./pipe.ts";
import { TransferError } from "./transfer_error.ts";

/** Bytes per read from disk: a longer read keeps the connection's threads from running. */
const READ_BYTES = 128 * 1024;

/** A file about to travel. */
export interface OutgoingFile {
  /** Announced name; without `:` and without folders. */
  name: string;
  /** Bytes; exactly as many are read. */
  size: number;
  /** Third field of `FILE_META`: the gui flag towards a worker, a folder towards a client. */
  hint: string;
  file: Pick<Deno.FsFile, "read">;
}

/**
 * Sends a file as the Python peers do: `FILE_META`, binary messages, `END_OF_FILE` (PROTOCOL.md section 11.3).
 * Never holds more than one read and the channel's queue. Throws {@link TransferError} when the file has another
 * size than announced, `ConnectionError` when the channel closes, the abort reason.
 */
export async function sendFile(
  channel: Pipe,
  outgoing: OutgoingFile,
  { signal, onProgress, chunkBytes = MAX_MESSAGE_BYTES }: {
    signal?: AbortSignal;
    onProgress?: (done: number, total: number) => void;
    chunkBytes?: number;
  } = {},
): Promise<void> {
  const { name, size, hint, file } = outgoing;
  if (name.includes(":")) {
    throw new TransferError(`the name "${name}" has a colon, which the wire format cannot carry`);
  }
  await channel.send(formatMessage({ type: "FILE_META", name, size, hint }));
  let done = 0;
  for await (const block of readAhead(file, Infinity, READ_BYTES)) {
    signal?.throwIfAborted();
    done += block.length;
    if (done > size) break;
    for (let start = 0; start < block.length; start += chunkBytes) {
      for (const chunk of unmistakable(block.subarray(start, start + chunkBytes))) {
        await channel.send(chunk, signal);
      }
    }
    onProgress?.(done, size);
  }
  if (done !== size) {
    throw new TransferError(`${name} changed while it was sent: announced with ${size} bytes, now ${done}`);
  }
  await channel.send("END_OF_FILE");
}

/** A chunk that looks like a keep-alive would be dropped by the receiver (PROTOCOL.md section 11.3): it goes in two. */
function unmistakable(chunk: Uint8Array): Uint8Array[] {
  return isKeepAlive(chunk) ? [chunk.subarray(0, 1), chunk.subarray(1)] : [chunk];
}
