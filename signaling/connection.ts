import { getLogger } from "@logtape/logtape";
import { reasonOf } from "../config/user_error.ts";
import type { LimitName } from "./limits.ts";
import type { Connection } from "./room.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** What waits of a peer that does not read, or reads slower than it sends; bytes. */
export const MAX_WAITING_BYTES = 16 * 1024 * 1024;
/** The same for relayed data, which leaves room for the offers and answers of others. */
export const MAX_UNSENT_RELAY_BYTES = 12 * 1024 * 1024;

const TOO_BIG = 1009;
/** Also for whoever exceeds a limit. Source: RFC 6455 section 7.4.1. */
export const POLICY_VIOLATION = 1008;

/** What a connection tells its owner. */
export interface ConnectionEvents {
  /** One text frame; the next one comes only when this one is done. */
  message(connection: Connection, text: string): Promise<void>;
  /** The socket is closed and all its messages are handled. */
  closed(connection: Connection): void;
  /** It was told of an error. */
  error(code: string): void;
  /** It was closed because it sent too much. */
  refused(limit: LimitName): void;
}

/** One peer's socket: handles its messages one at a time, in order, within limits. */
export class SocketConnection implements Connection {
  readonly address: string;
  readonly #socket: WebSocket;
  readonly #maxMessageBytes: number;
  readonly #events: ConnectionEvents;
  #work: Promise<void> = Promise.resolve();
  #waitingChars = 0;
  #isRefused = false;

  /** `address` is that of `clientAddress`; the largest message that it takes is in bytes. */
  constructor(socket: WebSocket, address: string, maxMessageBytes: number, events: ConnectionEvents) {
    this.#socket = socket;
    this.address = address;
    this.#maxMessageBytes = maxMessageBytes;
    this.#events = events;
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.#receive(event.data);
    // Behind the messages that came before: one of them may be a registration.
    socket.onclose = () => {
      // Deno tells twice of a socket whose pings were not answered.
      socket.onclose = null;
      void this.#enqueue(() => events.closed(this));
    };
    // A close event follows; nothing else to do.
    socket.onerror = (event) => {
      if (event instanceof ErrorEvent) logger.debug("socket: {reason}", { reason: event.message });
    };
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  send(text: string, maxUnsentBytes: number = MAX_WAITING_BYTES): boolean {
    if (!this.isOpen || this.#socket.bufferedAmount > maxUnsentBytes) return false;
    try {
      this.#socket.send(text);
      return true;
    } catch (error) {
      logger.debug("send failed: {reason}", reasonOf(error));
      return false;
    }
  }

  countError(code: string): void {
    this.#events.error(code);
  }

  /** Begins the closing handshake; nothing when it has begun. */
  close(code: number, reason: string): void {
    this.#isRefused ||= code === POLICY_VIOLATION;
    if (this.#socket.readyState < WebSocket.CLOSING) this.#socket.close(code, reason);
  }

  #receive(data: unknown): void {
    if (!this.isOpen) return;
    // A binary frame is no JSON text; the empty text gets the answer that it deserves.
    const text = typeof data === "string" ? data : "";
    if (isTooBig(text, this.#maxMessageBytes)) {
      this.#events.refused("message_bytes");
      return this.close(TOO_BIG, `message too big: at most ${this.#maxMessageBytes} bytes`);
    }
    if (this.#waitingChars + text.length > MAX_WAITING_BYTES) {
      this.#events.refused("unread_messages");
      return this.close(POLICY_VIOLATION, "too many messages");
    }
    this.#waitingChars += text.length;
    void this.#enqueue(async () => {
      this.#waitingChars -= text.length;
      // Once it was closed for what it sent, the rest counts no more.
      if (this.#isRefused) return;
      await this.#events.message(this, text);
    });
  }

  #enqueue(step: () => void | Promise<void>): Promise<void> {
    return this.#work = this.#work.then(step).catch((error) => {
      logger.warn("a message could not be handled: {reason}", reasonOf(error));
    });
  }
}

function isTooBig(text: string, maxBytes: number): boolean {
  if (text.length > maxBytes) return true;
  // At most three bytes for a UTF-16 unit: only long texts need counting.
  return text.length * 3 > maxBytes && new TextEncoder().encode(text).length > maxBytes;
}
