import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
} from "@aws-sdk/client-s3";
import { checkRelativePath } from "./containment.ts";
import { boundsOf, fault } from "./faults.ts";
import {
  type ByteRange,
  type FileStat,
  type Filesystem,
  FilesystemError,
  type FolderEntry,
  type WriteOptions,
} from "./filesystem.ts";
import { isNameable } from "./local/disk.ts";
import { S3Access, type S3Options } from "./s3/access.ts";
import { ObjectBody } from "./s3/body.ts";
import { crcOf, crcText } from "./s3/checksum.ts";
import { copyObject } from "./s3/copy.ts";
import { download, type DownloadOptions } from "./s3/download.ts";
import { upload } from "./s3/upload.ts";

export type { S3Options } from "./s3/access.ts";
export { newS3Client } from "./s3/client.ts";
export type { DownloadOptions } from "./s3/download.ts";

/**
 * A bucket of an S3-compatible store, below a prefix. Endpoint, region and credentials come from where the AWS SDK
 * looks (`AWS_ENDPOINT_URL_S3`, `AWS_REGION`, `AWS_PROFILE`, the other `AWS_` variables, `~/.aws`) and are neither
 * kept nor logged here. Folders are what the names say: there is one as long as something is in it.
 *
 * Every file and every part is sent with its CRC-32, which the service verifies. An interrupted write or
 * {@link S3Filesystem.download} is gone on with by the next one; see `MultipartUpload`. One writer per file at a time:
 * of two with different content one wins, and the other may fail. Parts that nobody went on with cost money until they
 * are removed; a lifecycle rule of the bucket does that.
 */
export class S3Filesystem implements Filesystem {
  readonly #access: S3Access;

  /** `url` is `s3://bucket/prefix`, the prefix may be missing. Throws `ConfigError`, `PathValidationError`. */
  constructor(url: string, options: S3Options = {}) {
    this.#access = new S3Access(url, options);
  }

  /** Ends the connections that are kept for the next request; nothing works afterwards. */
  close(): void {
    this.#access.close();
  }

  async exists(path: string, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.stat(path, signal);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async stat(path: string, signal?: AbortSignal): Promise<FileStat> {
    const folder = { isFile: false, isFolder: true, size: 0, modified: undefined, mode: undefined };
    if (this.#access.keyOf(path) === "") {
      await this.#access.isFolder(path, signal);
      return folder;
    }
    try {
      const { size, modified, mode } = await this.#access.head(path, signal);
      return { isFile: true, isFolder: false, size, modified, mode };
    } catch (error) {
      if (error instanceof FilesystemError && error.fault === "not a file") return folder;
      throw error;
    }
  }

  async *list(path: string, signal?: AbortSignal): AsyncGenerator<FolderEntry, void, void> {
    const prefix = this.#access.folderPrefixOf(path);
    let nothing = true;
    for await (const page of this.#pages(path, signal, "/")) {
      for (const { Prefix = "" } of page.CommonPrefixes ?? []) {
        nothing = false;
        const name = Prefix.slice(prefix.length, -1);
        if (isNameable(name)) yield { name, isFile: false, isFolder: true };
      }
      for (const { Key = "" } of page.Contents ?? []) {
        nothing = false;
        const name = Key.slice(prefix.length);
        // An empty name is a marker that some programs leave for an empty folder.
        if (name !== "" && isNameable(name)) yield { name, isFile: true, isFolder: false };
      }
    }
    if (!nothing || this.#access.keyOf(path) === "") return;
    await this.#access.head(path, signal);
    throw fault("not a folder", path);
  }

  /** The keys below a folder, in the service's pages; with a delimiter those of its own entries. */
  async *#pages(
    path: string,
    signal: AbortSignal | undefined,
    Delimiter?: string,
  ): AsyncGenerator<ListObjectsV2CommandOutput, void, void> {
    const { bucket: Bucket, client } = this.#access;
    const query = { Bucket, Prefix: this.#access.folderPrefixOf(path), Delimiter };
    let ContinuationToken: string | undefined;
    do {
      const page: ListObjectsV2CommandOutput = await this.#access.request(path, signal, (http) => {
        return client.send(new ListObjectsV2Command({ ...query, ContinuationToken }), http);
      });
      yield page;
      ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (ContinuationToken !== undefined);
  }

  /** A file that is read to its end is compared with the service's checksum; `corrupt` fails the stream. */
  async read(path: string, range?: ByteRange, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { offset, length } = boundsOf(range);
    const head = await this.#access.head(path, signal);
    const end = Math.min(head.size, offset + length);
    if (offset >= end) return new Blob([]).stream();
    const body = await ObjectBody.open(this.#access, path, head, [offset, end], signal);
    const expected = end - offset === head.size ? head.crc : undefined;
    let crc = 0;
    return new ReadableStream<Uint8Array>({
      pull: async (controller): Promise<void> => {
        const chunk = await body.next();
        if (chunk) {
          if (expected !== undefined) crc = crcOf(chunk, crc);
          controller.enqueue(chunk);
        } else if (expected !== undefined && expected !== crcText(crc)) {
          controller.error(fault("corrupt", path, undefined, "checksum differs"));
        } else controller.close();
      },
      cancel: () => body.close(),
    }, { highWaterMark: 0 });
  }

  async write(
    path: string,
    content: ReadableStream<Uint8Array>,
    options: WriteOptions = {},
    signal?: AbortSignal,
  ): Promise<void> {
    try {
      this.#access.fileKeyOf(path);
    } catch (error) {
      void content.cancel(error).catch(() => {});
      throw error;
    }
    await upload(this.#access, path, content, options, signal);
  }

  /**
   * Downloads a file to an absolute path on this machine's disk, in ranges side by side; goes on with what an
   * interrupted download of the same object left. Throws {@link FilesystemError} and the abort reason.
   */
  download(path: string, target: string, options: DownloadOptions = {}): Promise<void> {
    return download(this.#access, path, target, options);
  }

  /** Checks the path and does nothing: a folder is there when something is in it. */
  makeFolder(path: string, signal?: AbortSignal): Promise<void> {
    return this.#nothing(path, signal);
  }

  async copy(from: string, to: string, signal?: AbortSignal): Promise<void> {
    const target = this.#access.fileKeyOf(to);
    const head = await this.#access.head(from, signal);
    if (this.#access.keyOf(from) === target) return;
    await copyObject(this.#access, from, to, head, signal);
  }

  /** Copies and then removes: for a moment both are there. */
  async move(from: string, to: string, signal?: AbortSignal): Promise<void> {
    await this.copy(from, to, signal);
    if (this.#access.keyOf(from) === this.#access.keyOf(to)) return;
    await this.#removeObject(from, signal);
  }

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    if (this.#access.keyOf(path) === "") throw fault("denied", path, undefined, "it is the root");
    await this.#removeObject(path, signal);
    for await (const { Contents = [] } of this.#pages(path, signal)) {
      const keys = Contents.flatMap(({ Key }) => Key === undefined ? [] : [{ Key }]);
      if (keys.length > 0) await this.#removeObjects(path, keys, signal);
    }
  }

  async #removeObject(path: string, signal: AbortSignal | undefined): Promise<void> {
    const { bucket: Bucket, client } = this.#access;
    const command = new DeleteObjectCommand({ Bucket, Key: this.#access.fileKeyOf(path) });
    try {
      await this.#access.request(path, signal, (http) => client.send(command, http));
    } catch (error) {
      // Servers that keep objects as files say so where there is nothing, or a folder.
      const nothing = isMissing(error) ||
        error instanceof FilesystemError && (error.fault === "not a file" || error.fault === "not a folder");
      if (!nothing) throw error;
    }
  }

  async #removeObjects(
    path: string,
    keys: { Key: string }[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { bucket: Bucket, client } = this.#access;
    const command = new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys, Quiet: true } });
    const { Errors = [] } = await this.#access.request(path, signal, (http) => client.send(command, http));
    const [first] = Errors;
    if (!first) return;
    throw fault(first.Code === "AccessDenied" ? "denied" : "failed", path, undefined, first.Code);
  }

  /** Unknown: an object store has no bound. */
  async freeSpace(signal?: AbortSignal): Promise<undefined> {
    await this.#nothing("", signal);
  }

  /** What is visible is durable. */
  flush(path: string, signal?: AbortSignal): Promise<void> {
    return this.#nothing(path, signal);
  }

  // deno-lint-ignore require-await -- so that a refused path rejects like everywhere
  async #nothing(path: string, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    checkRelativePath(path);
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof FilesystemError && error.fault === "missing";
}
