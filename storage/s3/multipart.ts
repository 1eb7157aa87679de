import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type ListPartsCommandOutput,
  type Part as ListedPart,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { createHash } from "node:crypto";
import { fault } from "../faults.ts";
import { FilesystemError } from "../filesystem.ts";
import type { S3Access } from "./access.ts";
import { crcText } from "./checksum.ts";
import { serviceCode } from "./errors.ts";
import type { Part } from "./parts.ts";

/** Unfinished uploads of one key that are looked at, newest first. */
const MAX_CANDIDATES = 5;
/** How long a failed upload waits for its parts to be removed, in milliseconds. */
const CLEANUP_MS = 5_000;
/** How often that is tried, and how much longer is waited each time, in milliseconds. */
const [CLEANUP_ATTEMPTS, CLEANUP_PAUSE_MS] = [4, 100];

/** Whether a part that the service has is the one in hand: by size and CRC-32, or MD5 where it keeps no checksum. */
function isSame(listed: ListedPart | undefined, { bytes, crc }: Part): boolean {
  if (!listed || listed.Size !== bytes.length) return false;
  if (listed.ChecksumCRC32 !== undefined) return listed.ChecksumCRC32 === crcText(crc);
  // With some kinds of encryption this is no MD5 of the content; then the part is sent again.
  return listed.ETag?.replaceAll('"', "") === createHash("md5").update(bytes).digest("hex");
}

/**
 * An object that is sent in parts. Nothing is visible before {@link complete}.
 *
 * An upload that was interrupted — the connection broke, the process ended — leaves its parts with the service, and
 * the next upload of that key goes on with them. The stream is read again from its begin, and each part that the
 * service lists with the same number, size and checksum is not sent again: what is resumed was verified against the
 * bytes in hand. An unfinished upload is taken up when its first part is the same; time and mode are those that it
 * began with. After an abort, or an error that another attempt would meet again, the parts are removed.
 */
export class MultipartUpload {
  readonly #access: S3Access;
  readonly #path: string;
  readonly #id: string;
  /** Parts that the service had when this began. */
  readonly #listed: ReadonlyMap<number, ListedPart>;
  readonly #done: CompletedPart[] = [];

  private constructor(access: S3Access, path: string, id: string, listed: readonly ListedPart[]) {
    this.#access = access;
    this.#path = path;
    this.#id = id;
    this.#listed = new Map(listed.map((part) => [part.PartNumber ?? 0, part]));
  }

  /** Takes up an unfinished upload that begins with the same part, or begins a new one. */
  static async begin(
    access: S3Access,
    path: string,
    first: Part,
    metadata: Record<string, string>,
    signal: AbortSignal,
  ): Promise<MultipartUpload> {
    const unfinished = await findUnfinished(access, path, first, signal);
    if (unfinished) return new MultipartUpload(access, path, unfinished.id, unfinished.parts);
    // Not cut off by an abort: the service would keep an upload whose id nobody knows.
    const { UploadId } = await access.request(path, signal, () => {
      const command = new CreateMultipartUploadCommand({
        Bucket: access.bucket,
        Key: access.fileKeyOf(path),
        Metadata: metadata,
        ChecksumAlgorithm: "CRC32",
        ChecksumType: "FULL_OBJECT",
      });
      return access.client.send(command);
    }, {
      late: ({ UploadId }) => new MultipartUpload(access, path, UploadId ?? "", []).giveUp(signal.reason),
    });
    if (UploadId === undefined) throw fault("failed", path);
    return new MultipartUpload(access, path, UploadId, []);
  }

  get #place(): { Bucket: string; Key: string; UploadId: string } {
    return { Bucket: this.#access.bucket, Key: this.#access.fileKeyOf(this.#path), UploadId: this.#id };
  }

  /** Sends one part, unless the service has it. */
  async send(part: Part, signal: AbortSignal): Promise<void> {
    const known = this.#listed.get(part.number);
    let ETag = isSame(known, part) ? known?.ETag : undefined;
    const ChecksumCRC32 = crcText(part.crc);
    if (ETag === undefined) {
      const command = new UploadPartCommand({
        ...this.#place,
        PartNumber: part.number,
        Body: part.bytes,
        ContentLength: part.bytes.length,
        ChecksumCRC32,
      });
      const ms = this.#access.partDeadline;
      const send = (http: { abortSignal: AbortSignal }): Promise<{ ETag?: string | undefined }> =>
        this.#access.client.send(command, http);
      ({ ETag } = await this.#access.request(this.#path, signal, send, { ms }));
    }
    if (ETag === undefined) throw fault("failed", this.#path);
    this.#done[part.number - 1] = { PartNumber: part.number, ETag, ChecksumCRC32 };
  }

  /** Makes the parts one object, whose CRC-32 and size the service compares. */
  async complete(crc: number, size: number, signal: AbortSignal): Promise<void> {
    const command = new CompleteMultipartUploadCommand({
      ...this.#place,
      MultipartUpload: { Parts: this.#done },
      ChecksumCRC32: crcText(crc),
      ChecksumType: "FULL_OBJECT",
      MpuObjectSize: size,
    });
    const ms = this.#access.partDeadline;
    try {
      await this.#access.request(this.#path, signal, (http) => this.#access.client.send(command, http), {
        ms,
      });
    } catch (error) {
      // The answer to an attempt that succeeded was lost, or another process finished the same upload.
      if (serviceCode(error) !== "NoSuchUpload" || !await this.#isThere(crc, size, signal)) throw error;
    }
  }

  async #isThere(crc: number, size: number, signal: AbortSignal): Promise<boolean> {
    const head = await this.#access.head(this.#path, signal);
    return head.size === size && head.crc === crcText(crc);
  }

  /** Removes the parts, unless the next attempt can go on with them. Never throws. */
  async giveUp(reason: unknown): Promise<void> {
    if (reason instanceof FilesystemError && reason.fault === "gone") return;
    const place = this.#place;
    const { client } = this.#access;
    const ask = <T>(send: (http: { abortSignal: AbortSignal }) => Promise<T>): Promise<T> =>
      this.#access.request(this.#path, undefined, send, { ms: CLEANUP_MS });
    try {
      // A part that was under way may arrive after the first of these; it is gone when the service knows no more.
      for (let attempt = 0; attempt < CLEANUP_ATTEMPTS; attempt++) {
        await ask((http) => client.send(new AbortMultipartUploadCommand(place), http));
        await new Promise((resolve) => setTimeout(resolve, CLEANUP_PAUSE_MS * attempt));
        await ask((http) => client.send(new ListPartsCommand(place), http));
      }
    } catch {
      /* the service knows no such upload any more, which is what was wanted; or it cannot be helped */
    }
  }
}

async function findUnfinished(
  access: S3Access,
  path: string,
  first: Part,
  signal: AbortSignal,
): Promise<{ id: string; parts: ListedPart[] } | undefined> {
  try {
    for (const id of await unfinishedUploads(access, path, signal)) {
      const parts = await partsOfUpload(access, path, id, signal);
      if (parts && isSame(parts.find(({ PartNumber }) => PartNumber === 1), first)) return { id, parts };
    }
  } catch (error) {
    // Not every service lists them, nor lets everybody: then there is nothing to go on with.
    if (!(error instanceof FilesystemError) || error.fault === "gone") throw error;
  }
  return undefined;
}

/** Ids of the key's unfinished uploads, newest first. */
async function unfinishedUploads(access: S3Access, path: string, signal: AbortSignal): Promise<string[]> {
  const key = access.fileKeyOf(path);
  const { Uploads = [] } = await access.request(path, signal, (http) => {
    return access.client.send(new ListMultipartUploadsCommand({ Bucket: access.bucket, Prefix: key }), http);
  });
  return Uploads.filter(({ Key }) => Key === key)
    .toSorted((a, b) => (b.Initiated?.getTime() ?? 0) - (a.Initiated?.getTime() ?? 0))
    .slice(0, MAX_CANDIDATES)
    .flatMap(({ UploadId }) => UploadId ?? []);
}

/** All parts of an unfinished upload; undefined when it was begun with another kind of checksum. */
async function partsOfUpload(
  access: S3Access,
  path: string,
  id: string,
  signal: AbortSignal,
): Promise<ListedPart[] | undefined> {
  const place = { Bucket: access.bucket, Key: access.fileKeyOf(path), UploadId: id };
  const parts: ListedPart[] = [];
  let after: string | undefined;
  do {
    const page: ListPartsCommandOutput = await access.request(path, signal, (http) => {
      return access.client.send(new ListPartsCommand({ ...place, PartNumberMarker: after }), http);
    });
    if ((page.ChecksumAlgorithm ?? "CRC32") !== "CRC32") return undefined;
    if ((page.ChecksumType ?? "FULL_OBJECT") !== "FULL_OBJECT") return undefined;
    parts.push(...page.Parts ?? []);
    after = page.IsTruncated ? page.NextPartNumberMarker : undefined;
  } while (after !== undefined);
  return parts;
}
