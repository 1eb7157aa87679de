/** Messages of a channel over the signaling server, sealed: the server sees lengths and times (docs/protocol.md). */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { RelayKeys } from "./relay_keys.ts";
import { ConnectionError } from "./transfer_error.ts";

const CIPHER = "aes-256-gcm";
/** Bytes: the connection's id, then the counter. */
const ID_BYTES = 8;
const HEADER_BYTES = 16;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/** What a message is: its first byte under the seal. */
export const FrameKind = { TEXT: 0, BYTES: 1, OPEN: 2, CLOSE: 3, ABORT: 4, ACK: 5 } as const;

/** A message as it was before it was sealed. */
export interface Frame {
  /** One of {@link FrameKind}, or a number that this version does not know. */
  kind: number;
  payload: Uint8Array<ArrayBuffer>;
}

/** Seals what one side sends and opens what it receives, each in one unbroken sequence. */
export class RelayFrames {
  readonly #keys: RelayKeys;
  #sealed = 0;
  #opened = 0;

  constructor(keys: RelayKeys) {
    this.#keys = keys;
  }

  /** How many messages were sealed. */
  get sealed(): number {
    return this.#sealed;
  }

  /** The next message for the other side, in base64. */
  seal(kind: number, payload: Uint8Array): string {
    const header = Buffer.alloc(HEADER_BYTES);
    header.set(this.#keys.id);
    header.writeBigUInt64BE(BigInt(this.#sealed++), ID_BYTES);
    const cipher = createCipheriv(CIPHER, this.#keys.send, nonceOf(header));
    cipher.setAAD(header);
    const parts = [header, cipher.update(Uint8Array.of(kind)), cipher.update(payload), cipher.final()];
    return Buffer.concat([...parts, cipher.getAuthTag()]).toString("base64");
  }

  /**
   * A message of the other side; undefined for one of another connection, which may be late.
   * Throws {@link ConnectionError} for one that is altered, comes again, or comes after another was lost.
   */
  open(data: string): Frame | undefined {
    const bytes = decode(data);
    if (bytes === undefined || bytes.length <= HEADER_BYTES + TAG_BYTES) return undefined;
    if (!bytes.subarray(0, ID_BYTES).equals(this.#keys.id)) return undefined;
    const header = bytes.subarray(0, HEADER_BYTES);
    const counter = header.readBigUInt64BE(ID_BYTES);
    if (counter < this.#opened) throw new ConnectionError("a relayed message came a second time");
    if (counter > this.#opened) throw new ConnectionError("a relayed message was lost on its way");
    const decipher = createDecipheriv(CIPHER, this.#keys.receive, nonceOf(header));
    decipher.setAAD(header);
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    let plain: Buffer;
    try {
      plain = Buffer.concat([decipher.update(bytes.subarray(HEADER_BYTES, -TAG_BYTES)), decipher.final()]);
    } catch {
      throw new ConnectionError("a relayed message was altered on its way");
    }
    this.#opened++;
    return { kind: plain[0]!, payload: new Uint8Array(plain.subarray(1)) };
  }
}

/** The bytes in a base64 text; undefined for another text. */
function decode(data: string): Buffer | undefined {
  try {
    return Buffer.from(Uint8Array.fromBase64(data).buffer);
  } catch {
    return undefined;
  }
}

/** Four zeros and the counter: each direction has a key of its own, so no nonce is used twice under one key. */
function nonceOf(header: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  nonce.set(header.subarray(ID_BYTES), NONCE_BYTES - (HEADER_BYTES - ID_BYTES));
  return nonce;
}
