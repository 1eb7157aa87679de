import { GetObjectCommand, type GetObjectCommandOutput } from "@aws-sdk/client-s3";
import { within } from "../deadline.ts";
import { FilesystemError } from "../filesystem.ts";
import { AS_STORED, type S3Access, type S3Head } from "./access.ts";
import { s3Fault } from "./errors.ts";
import { ConnectionError } from "./transport.ts";

type Body = ReadableStreamDefaultReader<Uint8Array>;

/** The bytes of an object from `offset` to before `end`, as they come. */
export class ObjectBody {
  readonly #access: S3Access;
  readonly #path: string;
  readonly #reader: Body;
  readonly #signal: AbortSignal | undefined;
  #left: number;
  readonly #onAbort = (): void => this.close();

  private constructor(access: S3Access, path: string, reader: Body, bytes: number, signal?: AbortSignal) {
    this.#access = access;
    this.#path = path;
    this.#reader = reader;
    this.#left = bytes;
    this.#signal = signal;
    // Also when nobody asks for more: the connection must not stay open.
    signal?.addEventListener("abort", this.#onAbort);
  }

  /**
   * Begins to read; the object must still be the one with that ETag. Throws {@link FilesystemError} and the abort
   * reason.
   */
  static async open(
    access: S3Access,
    path: string,
    { etag }: S3Head,
    [offset, end]: readonly [number, number],
    signal?: AbortSignal,
  ): Promise<ObjectBody> {
    const command = new GetObjectCommand({
      Bucket: access.bucket,
      Key: access.fileKeyOf(path),
      Range: `bytes=${offset}-${end - 1}`,
      IfMatch: etag,
      ResponseContentEncoding: AS_STORED,
    });
    const answer = await access.request(path, signal, (http) => access.client.send(command, http), {
      late: (late) => void readerOf(late).cancel().catch(() => {}),
    });
    return new ObjectBody(access, path, readerOf(answer), end - offset, signal);
  }

  /** The next bytes; undefined after the last. Throws {@link FilesystemError}, `gone` also when too few came. */
  async next(): Promise<Uint8Array | undefined> {
    const [path, signal] = [this.#path, this.#signal];
    try {
      const { done, value } = await within({ path, signal, ms: this.#access.chunkDeadline }, () => {
        return this.#reader.read();
      });
      if (!done) {
        this.#left -= value.length;
        return value;
      }
    } catch (error) {
      this.close();
      if (signal?.aborted) throw signal.reason;
      throw s3Fault(error instanceof FilesystemError ? error : new ConnectionError(error), path);
    }
    this.close();
    // Ended by our own hand.
    signal?.throwIfAborted();
    if (this.#left !== 0) {
      throw new FilesystemError("gone", path, `the connection ended ${this.#left} bytes too early`);
    }
    return undefined;
  }

  /** Ends the request; harmless after the last byte. */
  close(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    void this.#reader.cancel().catch(() => {});
  }
}

function readerOf({ Body }: GetObjectCommandOutput): Body {
  const stream = Body?.transformToWebStream() ?? new Blob([]).stream();
  return (stream as ReadableStream<Uint8Array>).getReader();
}
