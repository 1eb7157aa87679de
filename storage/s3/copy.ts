import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { fault } from "../faults.ts";
import { metadataOf, type S3Access, type S3Head } from "./access.ts";
import { inParallel } from "./parallel.ts";

/** How long a failed copy waits for its parts to be removed, in milliseconds. */
const CLEANUP_MS = 5_000;

/**
 * Copies an object inside the store, its metadata too; no byte travels through this machine. A large one is copied
 * in parts: the service refuses more than 5 GiB at once. Throws {@link FilesystemError} and the abort reason.
 */
export async function copyObject(
  access: S3Access,
  from: string,
  to: string,
  head: S3Head,
  signal: AbortSignal | undefined,
): Promise<void> {
  const CopySource = encodeURIComponent(`${access.bucket}/${access.fileKeyOf(from)}`).replaceAll("%2F", "/");
  const source = { CopySource, CopySourceIfMatch: head.etag };
  const target = { Bucket: access.bucket, Key: access.fileKeyOf(to) };
  if (head.size >= access.copyPartBytes) {
    return await new PartCopy(access, to, { source, target, head, signal }).run();
  }
  const command = new CopyObjectCommand({ ...source, ...target });
  const ms = access.partDeadline;
  await access.request(to, signal, (http) => access.client.send(command, http), { ms });
}

/** What is copied where. */
interface Task {
  source: { CopySource: string; CopySourceIfMatch: string };
  target: { Bucket: string; Key: string };
  head: S3Head;
  signal: AbortSignal | undefined;
}

/** Some servers say the whole object's checksum for each of its parts, and make nonsense of them in the end. */
class WrongPartChecksum extends Error {}

class PartCopy {
  readonly #access: S3Access;
  readonly #to: string;
  readonly #task: Task;

  constructor(access: S3Access, to: string, task: Task) {
    this.#access = access;
    this.#to = to;
    this.#task = task;
  }

  async run(): Promise<void> {
    const checked = this.#task.head.crc !== undefined;
    try {
      await this.#attempt(checked);
    } catch (error) {
      if (!(error instanceof WrongPartChecksum)) throw error;
      await this.#attempt(false);
    }
  }

  /** `checked`: the service makes a checksum of the new object and compares it with the old one's. */
  async #attempt(checked: boolean): Promise<void> {
    const { target, head: { modified, mode, crc, size }, signal } = this.#task;
    const kept = { ...(modified && { modified }), ...(mode !== undefined && { mode }) };
    const kind = checked ? { ChecksumType: "FULL_OBJECT" } as const : {};
    const begin = new CreateMultipartUploadCommand({
      ...target,
      ...kind,
      ...(checked && { ChecksumAlgorithm: "CRC32" }),
      Metadata: metadataOf(kept),
    });
    const { UploadId } = await this.#send(signal, (http) => this.#access.client.send(begin, http));
    if (UploadId === undefined) throw fault("failed", this.#to);
    try {
      const Parts = await this.#copyParts(UploadId);
      const complete = new CompleteMultipartUploadCommand({
        ...target,
        ...kind,
        ...(checked && { ChecksumCRC32: crc }),
        UploadId,
        MultipartUpload: { Parts },
        MpuObjectSize: size,
      });
      await this.#send(signal, (http) => this.#access.client.send(complete, http));
    } catch (error) {
      const command = new AbortMultipartUploadCommand({ ...target, UploadId });
      await this.#send(undefined, (http) => this.#access.client.send(command, http), CLEANUP_MS).catch(
        () => {},
      );
      throw error;
    }
  }

  async #copyParts(UploadId: string): Promise<CompletedPart[]> {
    const { source, target, head, signal } = this.#task;
    const { copyPartBytes, parallel, client } = this.#access;
    const parts: CompletedPart[] = [];
    const count = Math.ceil(head.size / copyPartBytes);
    await inParallel(count, parallel, signal, async (index, stop) => {
      const [offset, end] = [index * copyPartBytes, Math.min(head.size, (index + 1) * copyPartBytes)];
      const PartNumber = index + 1;
      const command = new UploadPartCopyCommand({
        ...source,
        ...target,
        UploadId,
        PartNumber,
        CopySourceRange: `bytes=${offset}-${end - 1}`,
      });
      const { CopyPartResult } = await this.#send(stop, (http) => client.send(command, http));
      const { ETag, ChecksumCRC32 } = CopyPartResult ?? {};
      if (ETag === undefined) throw fault("failed", this.#to);
      if (count > 1 && ChecksumCRC32 !== undefined && ChecksumCRC32 === head.crc) {
        throw new WrongPartChecksum();
      }
      parts[index] = { PartNumber, ETag, ChecksumCRC32 };
    });
    return parts;
  }

  #send<T>(
    signal: AbortSignal | undefined,
    send: (http: { abortSignal: AbortSignal }) => Promise<T>,
    ms = this.#access.partDeadline,
  ): Promise<T> {
    return this.#access.request(this.#to, signal, send, { ms });
  }
}
