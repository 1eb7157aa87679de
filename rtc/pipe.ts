/**
 * Messages both ways, text or bytes, whole and in order: a {@link file://./channel.ts channel}, or a
 * {@link file://./link.ts link} that outlives its channels.
 */
export interface Pipe {
  readonly isOpen: boolean;
  /** Settles when there will be no more messages. */
  readonly closed: Promise<void>;
  /** Milliseconds since anything was heard of the other side. */
  readonly silentMs: number;
  /** Payload bytes, both with what was sent again. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /**
   * Queues a message and resolves when little enough is under way to go on. Throws `ConnectionError` when it is
   * closed, `RangeError` for a message that is too long, the abort reason.
   */
  send(message: string | Uint8Array, signal?: AbortSignal): Promise<void>;
  /**
   * The next message, whose bytes are the caller's; undefined when there will be none. Throws the abort reason, and
   * nothing is lost then.
   */
  receive(signal?: AbortSignal): Promise<string | Uint8Array | undefined>;
  /** Resolves when everything sent has left. Throws the abort reason. */
  flush(signal?: AbortSignal): Promise<void>;
  /** Ends it, on both sides. */
  close(): Promise<void>;
}

/**
 * Gives back the memory of bytes that were received and are done with; they are empty afterwards. V8 would collect them
 * with all that is old, which takes time, and only when tens of MiB have come together.
 */
export function release({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
