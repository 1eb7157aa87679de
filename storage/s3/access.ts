import {
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  type S3Client,
} from "@aws-sdk/client-s3";
import { ConfigError } from "../../config/user_error.ts";
import { checkRelativePath } from "../containment.ts";
import { CHUNK_DEADLINE_MS, DEADLINE_MS, type Deadlines, within } from "../deadline.ts";
import { fault } from "../faults.ts";
import { FilesystemError, type WriteOptions } from "../filesystem.ts";
import { newS3Client } from "./client.ts";
import { s3Fault } from "./errors.ts";

const MIB = 2 ** 20;
/**
 * What the service is to answer as `Content-Encoding`, whatever an object was stored with: some versions of the
 * runtime unpack by themselves what is said to be packed, and then keep its size to themselves.
 */
export const AS_STORED = "identity";

/** How an object store is worked with. */
export interface S3Options extends Deadlines {
  /** Milliseconds for one part, a server-side copy or the joining of parts; default 5 min. */
  partDeadlineMs?: number;
  /** Bytes of one part, at least 5 MiB (the service's limit); default 16 MiB. Larger for files over 10,000 parts. */
  partBytes?: number;
  /** Parts under way at once, each in memory; default 4. */
  parallel?: number;
  /** Bytes from which an object is copied in parts, and of one such part; default 1 GiB (the service: at most 5). */
  copyPartBytes?: number;
  /** A client made elsewhere with {@link newS3Client}; it is not closed. Default: one with the usual settings. */
  client?: S3Client;
}

/** Bucket and prefix of `s3://bucket/prefix`. Throws `ConfigError`. */
export function parseS3Url(url: string): { bucket: string; prefix: readonly string[] } {
  const [, bucket, prefix = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/s.exec(url) ?? [];
  if (bucket === undefined) {
    throw new ConfigError(`expected s3://bucket/prefix, found ${JSON.stringify(url)}`, {
      hint: "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens",
    });
  }
  return { bucket, prefix: checkRelativePath(prefix, url) };
}

/** What an object says of itself. */
export interface S3Head {
  size: number;
  etag: string;
  modified: Date | undefined;
  mode: number | undefined;
  /** CRC-32 of the whole object, in base64; undefined where the service has none. */
  crc: string | undefined;
}

/** A bucket below a prefix: keys, requests with deadlines, errors told apart. */
export class S3Access {
  readonly bucket: string;
  readonly client: S3Client;
  readonly partBytes: number;
  readonly parallel: number;
  readonly copyPartBytes: number;
  /** Milliseconds for the next bytes of a download. */
  readonly chunkDeadline: number;
  /** Milliseconds for what takes as long as the bytes it handles. */
  readonly partDeadline: number;
  readonly #prefix: readonly string[];
  readonly #deadline: number;
  readonly #ownClient: boolean;
  #ready: Promise<void> | undefined;

  constructor(url: string, options: S3Options) {
    const { bucket, prefix } = parseS3Url(url);
    this.bucket = bucket;
    this.#prefix = prefix;
    this.#deadline = options.deadlineMs ?? DEADLINE_MS;
    this.chunkDeadline = options.chunkDeadlineMs ?? CHUNK_DEADLINE_MS;
    this.partDeadline = options.partDeadlineMs ?? 300_000;
    this.partBytes = options.partBytes ?? 16 * MIB;
    this.parallel = options.parallel ?? 4;
    this.copyPartBytes = options.copyPartBytes ?? 1024 * MIB;
    this.#ownClient = options.client === undefined;
    this.client = options.client ?? newS3Client();
  }

  /** Ends the connections, unless the client is somebody else's. */
  close(): void {
    if (this.#ownClient) this.client.destroy();
  }

  /** The key of a path; `""` for the root. Throws `PathValidationError`. */
  keyOf(path: string): string {
    const components = checkRelativePath(path);
    return components.length === 0 ? "" : [...this.#prefix, ...components].join("/");
  }

  /** The same for a file. Throws {@link FilesystemError} (`not a file`) for the root. */
  fileKeyOf(path: string): string {
    const key = this.keyOf(path);
    if (key === "") throw fault("not a file", path);
    return key;
  }

  /** What the keys of everything in a folder begin with. Throws `PathValidationError`. */
  folderPrefixOf(path: string): string {
    return [...this.#prefix, ...checkRelativePath(path)].map((name) => `${name}/`).join("");
  }

  /** Sends a request. Throws {@link FilesystemError} and the abort reason. */
  async request<T>(
    path: string,
    signal: AbortSignal | undefined,
    send: (http: { abortSignal: AbortSignal }) => Promise<T>,
    { ms = this.#deadline, late }: { ms?: number; late?: (result: T) => unknown } = {},
  ): Promise<T> {
    try {
      return await within({ path, ms, signal, late }, async (abortSignal) => {
        await (this.#ready ??= this.#chooseAddressing());
        return await send({ abortSignal });
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw s3Fault(error, path);
    }
  }

  /** Servers other than the provider's own mostly have no host name for each bucket: it goes into the path. */
  async #chooseAddressing(): Promise<void> {
    const { config } = this.client;
    if (!this.#ownClient || await config.serviceConfiguredEndpoint?.() === undefined) return;
    config.forcePathStyle = true;
  }

  /** Throws {@link FilesystemError}: `missing`, or `not a file` for a folder. */
  async head(path: string, signal?: AbortSignal): Promise<S3Head> {
    const key = this.fileKeyOf(path);
    try {
      const found = await this.request(path, signal, (http) => {
        const command = new HeadObjectCommand({
          Bucket: this.bucket,
          Key: key,
          ChecksumMode: "ENABLED",
          ResponseContentEncoding: AS_STORED,
        });
        return this.client.send(command, http);
      });
      if (found.ContentLength === undefined) throw fault("failed", path, undefined, "it tells no size");
      return headOf(found);
    } catch (error) {
      const missing = error instanceof FilesystemError && error.fault === "missing";
      throw missing && await this.isFolder(path, signal) ? fault("not a file", path, error) : error;
    }
  }

  /** Whether there is anything below a path. */
  async isFolder(path: string, signal?: AbortSignal): Promise<boolean> {
    const { KeyCount = 0 } = await this.request(path, signal, (http) => {
      const query = { Bucket: this.bucket, Prefix: this.folderPrefixOf(path), MaxKeys: 1 };
      return this.client.send(new ListObjectsV2Command(query), http);
    });
    return KeyCount > 0;
  }
}

/** Names of the metadata that keep what an object store has no place for; `mtime` in seconds, `mode` octal. */
export function metadataOf({ modified, mode }: WriteOptions): Record<string, string> {
  return {
    ...(modified && { mtime: String(modified.getTime() / 1000) }),
    ...(mode !== undefined && { mode: (mode & 0o777).toString(8).padStart(4, "0") }),
  };
}

function headOf({ Metadata = {}, ...found }: HeadObjectCommandOutput): S3Head {
  const { mtime, mode } = Metadata;
  const seconds = mtime && /^\d{1,11}(\.\d+)?$/.test(mtime) ? Number(mtime) : undefined;
  return {
    size: found.ContentLength ?? 0,
    etag: found.ETag ?? "",
    modified: seconds === undefined ? found.LastModified : new Date(Math.round(seconds * 1000)),
    mode: mode && /^[0-7]{3,6}$/.test(mode) ? parseInt(mode, 8) & 0o777 : undefined,
    // That of a list of parts' checksums says nothing about the bytes in a row.
    crc: found.ChecksumType === "COMPOSITE" || found.ChecksumCRC32?.includes("-")
      ? undefined
      : found.ChecksumCRC32,
  };
}
