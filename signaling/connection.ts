import { getLogger } from "@logtape/logtape";
import { errorText } from "../config/user_error.ts";
import type { Connection } from "./room.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** Largest message a peer may send, in bytes: what the Python peers accept. Source: PROTOCOL.md section 3. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;
/** A peer that sends faster than it is served is closed; UTF-16 units. */
const MAX_WAITING_CHARS = 16 * MAX_MESSAGE_BYTES;
/** A peer that does not read gets nothing more until it does; bytes. */
const MAX_UNSENT_BYTES = 16 * MAX_MESSAGE_BYTES;
/** The same for relayed data, which leaves room for the offers and answers of others. */
export const MAX_UNSENT_RELAY_BYTES = 12 * MAX_MESSAGE_BYTES;

const TOO_BIG = 1009;
const POLICY_VIOLATION = 1008;

/** What a connection tells its owner. */
export interface ConnectionEvents {
  /** One text frame; the next one comes only when this one is done. */
  message(connection: Connection, text: string): Promise<void>;
  /** The socket is closed and all its messages are handled. */
  closed(connection: Connection): void;
  /** It was told of an error. */
  error(code: string): void;
}

/** One peer's socket: handles its messages one at a time, in order, within limits. */
export class SocketConnection implements Connection {
  readonly #socket: WebSocket;
  readonly #events: ConnectionEvents;
  #work: Promise<void> = Promise.resolve();
  #waitingChars = 0;

  constructor(socket: WebSocket, events: ConnectionEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.#receive(event.data);
    // Behind the messages that came before: one of them may be a registration.
    socket.onclose = () => void this.#enqueue(() => events.closed(this));
    // A close event follows; nothing else to do.
    socket.onerror = (event) => {
      if (event instanceof ErrorEvent) logger.debug("socket: {reason}", { reason: event.message });
    };
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  send(text: string, maxUnsentBytes: number = MAX_UNSENT_BYTES): boolean {
    if (!this.isOpen || this.#socket.bufferedAmount > maxUnsentBytes) return false;
    try {
      this.#socket.send(text);
      return true;
    } catch (error) {
      logger.debug("send failed: {reason}", { reason: errorText(error) });
      return false;
    }
  }

  countError(code: string): void {
    this.#events.error(code);
  }

  /** Begins the closing handshake; nothing when it has begun. */
  close(code: number, reason: string): void {
    if (this.#socket.readyState < WebSocket.CLOSING) this.#socket.close(code, reason);
  }

  #receive(data: unknown): void {
    if (!this.isOpen) return;
    // A binary frame is no JSON text; the empty text gets the answer that it deserves.
    const text = typeof data === "string" ? data : "";
    if (isTooBig(text)) return this.close(TOO_BIG, "message too big");
    if (this.#waitingChars + text.length > MAX_WAITING_CHARS) {
      return this.close(POLICY_VIOLATION, "too many messages");
    }
    this.#waitingChars += text.length;
    void this.#enqueue(async () => {
      this.#waitingChars -= text.length;
      await this.#events.message(this, text);
    });
  }

  #enqueue(step: () => void | Promise<void>): Promise<void> {
    return this.#work = this.#work.then(step).catch((error) => {
      logger.warn("a message could not be handled: {reason}", { reason: errorText(error) });
    });
  }
}

function isTooBig(text: string): boolean {
  if (text.length > MAX_MESSAGE_BYTES) return true;
  // At most three bytes for a UTF-16 unit: only long texts need counting.
  return text.length * 3 > MAX_MESSAGE_BYTES && new TextEncoder().encode(text).length > MAX_MESSAGE_BYTES;
}
