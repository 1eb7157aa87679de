/**
 * The wire format of ZeroMQ, as much of it as a trainer needs that publishes and listens: ports on this machine to
 * which its PUB and SUB sockets connect. ZMTP 3.0 without encryption; source: https://rfc.zeromq.org/spec/23.
 * Why no library: docs/decisions/0008-zeromq.md.
 */
import { getLogger } from "@logtape/logtape";
import type { ErrorCode } from "../config/error_code.ts";
import { reasonOf, UserError } from "../config/user_error.ts";
import { writeAll } from "../storage/write_all.ts";

const logger = getLogger(["sleap-rtc", "worker", "zmtp"]);

/** Only from this machine; with port 0 the sandbox permits to listen and not to connect. */
const HOSTNAME = "127.0.0.1";
const GREETING_BYTES = 64;
/** Longest frame that is taken, in bytes; reports have some hundred. */
const MAX_FRAME_BYTES = 1024 * 1024;
/** Connections at once; a trainer makes one, one of several GPUs a few. */
const MAX_PEERS = 16;
/** Messages that wait for a peer that does not read; more are dropped, as ZeroMQ's PUB does. */
const MAX_WAITING = 100;
/** Flags of a frame. */
const [LONG, COMMAND] = [2, 4];

/** A peer that does not speak ZMTP 3 as it is expected here. */
class ZmtpError extends UserError {
  static override readonly code: ErrorCode = "TRAINER_LINK";
}

type SocketType = "PUB" | "SUB";
/** Socket types that may talk to each. */
const PARTNERS: Readonly<Record<SocketType, readonly string[]>> = {
  PUB: ["SUB", "XSUB"],
  SUB: ["PUB", "XPUB"],
};

const encoder = new TextEncoder();
/** Bytes as text, one character each: names and topics are compared, not shown. */
const latin1 = new TextDecoder("latin1");

function greeting(): Uint8Array {
  const bytes = new Uint8Array(GREETING_BYTES);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes.set(encoder.encode("NULL"), 12);
  return bytes;
}

function checkGreeting(bytes: Uint8Array): void {
  const mechanism = latin1.decode(bytes.subarray(12, 32)).replace(/\0+$/, "");
  if (bytes[0] !== 0xff || (bytes[9]! & 1) === 0) throw new ZmtpError("it is no ZeroMQ peer");
  if (bytes[10]! < 3) throw new ZmtpError(`it speaks ZMTP ${bytes[10]}, expected 3`);
  if (mechanism !== "NULL") throw new ZmtpError(`it wants the mechanism ${mechanism}, expected NULL`);
}

/** A frame as it travels. */
function frame(body: Uint8Array, flags = 0): Uint8Array {
  const isLong = body.length > 255;
  const bytes = new Uint8Array((isLong ? 9 : 2) + body.length);
  bytes[0] = flags | (isLong ? LONG : 0);
  if (isLong) new DataView(bytes.buffer).setBigUint64(1, BigInt(body.length));
  else bytes[1] = body.length;
  bytes.set(body, bytes.length - body.length);
  return bytes;
}

function ready(type: SocketType): Uint8Array {
  return frame(encoder.encode(`\x05READY\x0bSocket-Type\0\0\0\x03${type}`), COMMAND);
}

/** The socket type that a READY command tells: properties of a name, its length before it, and a value. */
function socketType(body: Uint8Array): string | undefined {
  if (!latin1.decode(body).startsWith("\x05READY")) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  for (let at = 6; at < body.length;) {
    const nameEnd = at + 1 + body[at]!;
    if (nameEnd + 4 > body.length) return undefined;
    const end = nameEnd + 4 + view.getUint32(nameEnd);
    const name = latin1.decode(body.subarray(at + 1, nameEnd));
    if (name.toLowerCase() === "socket-type") return latin1.decode(body.subarray(nameEnd + 4, end));
    at = end;
  }
  return undefined;
}

/** One connection. */
class Peer {
  readonly #connection: Deno.Conn;
  #sent: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** Exchanges greetings and READY. Throws {@link ZmtpError} for a peer of another kind. */
  async greet(type: SocketType): Promise<void> {
    this.#write(greeting());
    checkGreeting(await this.#read(GREETING_BYTES) ?? new Uint8Array(GREETING_BYTES));
    this.#write(ready(type));
    const answer = await this.next();
    const theirs = answer?.isCommand ? socketType(answer.body) : undefined;
    if (theirs === undefined || !PARTNERS[type].includes(theirs)) {
      throw new ZmtpError(`it is a socket of type ${theirs}, expected ${PARTNERS[type][0]}`);
    }
  }

  /** Sends a message; drops it when too many wait already. */
  send(body: Uint8Array): void {
    if (this.#waiting < MAX_WAITING) this.#write(frame(body));
  }

  /** The next frame; undefined at the end. */
  async next(): Promise<{ isCommand: boolean; body: Uint8Array } | undefined> {
    const flags = (await this.#read(1))?.[0];
    if (flags === undefined) return undefined;
    const sizeBytes = await this.#read(flags & LONG ? 8 : 1);
    if (!sizeBytes) return undefined;
    const size = sizeBytes.reduce((total, byte) => total * 256 + byte, 0);
    if (size > MAX_FRAME_BYTES) throw new ZmtpError(`it sends ${size} bytes at once`);
    const body = await this.#read(size);
    return body && { isCommand: (flags & COMMAND) !== 0, body };
  }

  close(): void {
    try {
      this.#connection.close();
    } catch {
      // The other side was quicker.
    }
  }

  /** One after the other. What cannot be written ends the connection, which the reader notices. */
  #write(bytes: Uint8Array): void {
    this.#waiting++;
    this.#sent = this.#sent.then(() => writeAll(this.#connection, bytes))
      .catch(() => this.close()).finally(() => this.#waiting--);
  }

  /** Exactly so many bytes; undefined when the connection ends before. */
  async #read(size: number): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(size);
    for (let done = 0; done < size;) {
      const read = await this.#connection.read(bytes.subarray(done));
      if (read === null) return undefined;
      done += read;
    }
    return bytes;
  }
}

/** A port of one socket type. */
class Port {
  readonly #listener: Deno.TcpListener = Deno.listen({ hostname: HOSTNAME, port: 0 });
  readonly #serving = new Map<Peer, Promise<void>>();
  #isClosed = false;

  constructor(type: SocketType, serve: (peer: Peer) => Promise<void>) {
    void this.#accept(type, serve);
  }

  get number(): number {
    return this.#listener.addr.port;
  }

  /** Waits until all peers have left, so that nothing they said is lost; no longer than so many milliseconds. */
  async drained(limitMs: number): Promise<void> {
    const { promise: limit, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, limitMs);
    await Promise.race([Promise.all(this.#serving.values()), limit]);
    clearTimeout(timer);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#listener.close();
    for (const peer of this.#serving.keys()) peer.close();
  }

  async #accept(type: SocketType, serve: (peer: Peer) => Promise<void>): Promise<void> {
    while (!this.#isClosed) {
      const connection = await this.#listener.accept().catch(() => undefined);
      if (!connection) return;
      const peer = new Peer(connection);
      if (this.#serving.size >= MAX_PEERS) peer.close();
      else this.#serving.set(peer, this.#serve(peer, type, serve));
    }
  }

  /** Never throws. */
  async #serve(peer: Peer, type: SocketType, serve: (peer: Peer) => Promise<void>): Promise<void> {
    try {
      await peer.greet(type);
      await serve(peer);
    } catch (error) {
      if (!this.#isClosed) logger.debug("a trainer's connection: {reason}", reasonOf(error));
    } finally {
      peer.close();
      this.#serving.delete(peer);
    }
  }
}

/** Takes what PUB sockets say that connect to its port. Close it. */
export class Subscriber {
  readonly #port: Port;

  /** `onText` is given each frame; its sender waits until that resolves. Throws Deno's network errors. */
  constructor(onText: (text: string) => Promise<void>) {
    this.#port = new Port("SUB", async (peer) => {
      // A subscription to everything.
      peer.send(Uint8Array.of(1));
      const decoder = new TextDecoder();
      for (let next; (next = await peer.next()) !== undefined;) {
        if (!next.isCommand) await onText(decoder.decode(next.body));
      }
    });
  }

  get port(): number {
    return this.#port.number;
  }

  /** Waits until all peers have left, no longer than so many milliseconds. */
  drained(limitMs: number): Promise<void> {
    return this.#port.drained(limitMs);
  }

  close(): void {
    this.#port.close();
  }
}

/** Tells SUB sockets that connect to its port; what nobody hears is kept for the first that listens. Close it. */
export class Publisher {
  #unheard: Uint8Array[] = [];
  readonly #topics = new Map<Peer, Set<string>>();
  readonly #port: Port;

  /** Throws Deno's network errors. */
  constructor() {
    this.#port = new Port("PUB", async (peer) => {
      const topics = new Set<string>();
      this.#topics.set(peer, topics);
      try {
        for (let next; (next = await peer.next()) !== undefined;) {
          const topic = latin1.decode(next.body.subarray(1));
          if (next.body[0] === 0) topics.delete(topic);
          if (next.body[0] !== 1 || topics.size >= MAX_WAITING) continue;
          topics.add(topic);
          for (const body of this.#unheard.splice(0)) this.#tell(body);
        }
      } finally {
        this.#topics.delete(peer);
      }
    });
  }

  get port(): number {
    return this.#port.number;
  }

  /** Tells all that have subscribed to it; how many these are. */
  publish(text: string): number {
    return this.#tell(encoder.encode(text));
  }

  #tell(body: Uint8Array): number {
    const begin = latin1.decode(body);
    const listening = [...this.#topics].filter(([, topics]) =>
      [...topics].some((topic) => begin.startsWith(topic))
    );
    for (const [peer] of listening) peer.send(body);
    if (listening.length === 0 && this.#unheard.length < MAX_WAITING) this.#unheard.push(body);
    return listening.length;
  }

  close(): void {
    this.#port.close();
  }
}
