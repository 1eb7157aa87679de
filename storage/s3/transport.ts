import { NodeHttpHandler } from "@smithy/node-http-handler";
import { FetchHttpHandler } from "@smithy/fetch-http-handler";

/** A connection that could not be made, or broke. Its code lets the SDK try again. */
export class ConnectionError extends Error {
  readonly code = "ECONNRESET";

  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : "the connection failed", { cause });
    this.name = "ConnectionError";
  }
}

/** Bytes of a body from which it is worth another client. */
const LARGE_BYTES = 2 ** 20;
/** Milliseconds until a connection must stand. */
const CONNECT_MS = 5_000;

/**
 * Sends requests with `fetch`, and those with a large body with `node:http`. Each is the faster one for its direction,
 * by half of the processor time: `fetch` copies a body twice. What comes back is never read through `node:http`: in
 * older versions of the runtime a connection that breaks meanwhile ends the process.
 *
 * The errors of neither can be told from mistakes in every version, having no code: all that fails between a request
 * and the head of its answer is a {@link ConnectionError}.
 */
export class Transport extends FetchHttpHandler {
  readonly #upload = new NodeHttpHandler({ connectionTimeout: CONNECT_MS });

  constructor() {
    // A redirect has to be signed anew, which is the SDK's affair.
    super({ requestInit: () => ({ redirect: "manual" }) });
  }

  override async handle(
    ...[request, options]: Parameters<FetchHttpHandler["handle"]>
  ): ReturnType<FetchHttpHandler["handle"]> {
    const { body } = request;
    try {
      return body instanceof Uint8Array && body.length >= LARGE_BYTES
        ? await this.#upload.handle(request, options)
        : await super.handle(request, options);
    } catch (error) {
      throw options?.abortSignal?.aborted ? error : new ConnectionError(error);
    }
  }

  override destroy(): void {
    this.#upload.destroy();
    super.destroy();
  }
}
