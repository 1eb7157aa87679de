import { PutObjectCommand } from "@aws-sdk/client-s3";
import { chunksOf } from "../deadline.ts";
import { checkSize, fault } from "../faults.ts";
import { FilesystemError, type WriteOptions } from "../filesystem.ts";
import { metadataOf, type S3Access } from "./access.ts";
import { crcText, joinCrc } from "./checksum.ts";
import { MultipartUpload } from "./multipart.ts";
import { type Part, partsOf } from "./parts.ts";

/** The service's limit for one object. */
const MAX_PARTS = 10_000;
/** How long parts that are under way when an upload fails may take to end, in milliseconds. */
const SETTLE_MS = 2_000;
const MIB = 2 ** 20;

/** Size of a file's parts: never more than the limit of them, never a buffer larger than the file. */
function partSize(least: number, size: number | undefined): number {
  if (size === undefined) return least;
  const needed = Math.ceil(size / MAX_PARTS / MIB) * MIB;
  return Math.max(1, Math.min(Math.max(least, needed), size));
}

/**
 * Writes an object from a stream: in one request when it fits one part, else in parts that are sent side by side.
 * The object appears when all of it is there and the service has verified its checksum. See {@link MultipartUpload}
 * for what happens to parts when it fails. Throws {@link FilesystemError}, the stream's error, the abort reason.
 */
export async function upload(
  access: S3Access,
  path: string,
  content: ReadableStream<Uint8Array>,
  options: WriteOptions,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Ended by the caller or by the first part that fails.
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal?.reason);
  if (signal?.aborted) onAbort();
  else signal?.addEventListener("abort", onAbort);
  const parts = partsOf(chunksOf(content, stop.signal), {
    bytes: partSize(access.partBytes, options.size),
    parallel: access.parallel,
    signal: stop.signal,
  });
  try {
    const first = (await parts.next()).value;
    if (!first) throw fault("failed", path);
    if (first.last) await putWhole(access, path, first, options, stop.signal);
    else await putParts(access, path, first, parts, options, stop);
  } finally {
    await parts.return();
    signal?.removeEventListener("abort", onAbort);
  }
}

async function putWhole(
  access: S3Access,
  path: string,
  { bytes, crc }: Part,
  options: WriteOptions,
  signal: AbortSignal,
): Promise<void> {
  checkSize(path, bytes.length, options.size);
  const command = new PutObjectCommand({
    Bucket: access.bucket,
    Key: access.fileKeyOf(path),
    Body: bytes,
    ContentLength: bytes.length,
    ChecksumCRC32: crcText(crc),
    Metadata: metadataOf(options),
  });
  await access.request(path, signal, (http) => access.client.send(command, http), {
    ms: access.partDeadline,
  });
}

async function putParts(
  access: S3Access,
  path: string,
  first: Part,
  rest: AsyncIterable<Part>,
  options: WriteOptions,
  stop: AbortController,
): Promise<void> {
  const multipart = await MultipartUpload.begin(access, path, first, metadataOf(options), stop.signal);
  const sending = new Set<Promise<void>>();
  const requests = new AbortController();
  let [crc, size] = [0, 0];
  const send = (part: Part): void => {
    if (part.number > MAX_PARTS) {
      throw new FilesystemError(
        "failed",
        path,
        `more than ${MAX_PARTS} parts; its size must be known before`,
      );
    }
    crc = joinCrc(crc, part.crc, part.bytes.length);
    size += part.bytes.length;
    const sent = multipart.send(part, requests.signal).then(part.release);
    sending.add(sent);
    sent.then(() => sending.delete(sent), (error: unknown) => stop.abort(error));
  };
  try {
    send(first);
    for await (const part of rest) send(part);
    await Promise.all(sending);
    checkSize(path, size, options.size);
    await multipart.complete(crc, size, stop.signal);
  } catch (error) {
    stop.abort(error);
    // A part that arrives after the upload was given up would be kept, and paid for. One whose bytes the service has
    // ends in a moment; one that is cut off before is never stored.
    const timer = setTimeout(() => requests.abort(stop.signal.reason), SETTLE_MS);
    await Promise.allSettled(sending);
    clearTimeout(timer);
    await multipart.giveUp(stop.signal.reason);
    throw stop.signal.reason;
  }
}
