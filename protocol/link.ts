/**
 * How messages travel over a link, which outlives the channels it uses. Only peers of this program speak it; see "The
 * link" in docs/protocol.md.
 */
import { z } from "zod";
import { parseJson } from "./parse_json.ts";
import { MAX_TEXT_BYTES } from "./message.ts";

/** Name of the feature in offer and answer: links, and files over them. */
export const LINK = "link";

/** A sender has at most so many bytes under way that the other side has not consumed … */
export const WINDOW_BYTES = 24 * 1024 * 1024;
/** … and with one lane so many: more would only fill memory. */
export const ONE_LANE_WINDOW_BYTES = 8 * 1024 * 1024;
/** Lanes of a link at once, those that are being made included. */
export const MAX_LANES = 64;
/** Kind, one zero byte, and a sequence number of 48 bits. */
const HEADER_BYTES = 8;
const SEQUENCE_BYTES = 6;
/** An acknowledgement's payload: two more numbers. */
const ACK_BYTES = 2 * SEQUENCE_BYTES;
/** What one frame carries at most, in bytes. */
export const MAX_PAYLOAD_BYTES = MAX_TEXT_BYTES;

const KINDS = { text: 1, bytes: 2, ack: 3, bye: 4 } as const;

/** One frame; `sequence` counts the messages of one direction from 1. */
export type Frame =
  | { kind: "text"; sequence: number; text: string }
  | { kind: "bytes"; sequence: number; bytes: Uint8Array }
  /**
   * All messages up to and with `sequence` were consumed, all up to and with `received` are there, and so many frames
   * with messages came over the lane that the acknowledgement goes over.
   */
  | { kind: "ack"; sequence: number; received: number; onLane: number }
  /** The link ends; nothing is to be sent again. */
  | { kind: "bye"; sequence: number };

/** Bytes of a frame with such a payload. Throws `RangeError` when it is too long. */
export function frameBytes(parts: readonly Uint8Array[]): number {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length <= MAX_PAYLOAD_BYTES) return HEADER_BYTES + length;
  throw new RangeError(`a payload of ${length} bytes; at most ${MAX_PAYLOAD_BYTES}`);
}

/** A frame as it travels; the parts of its payload are joined. Throws `RangeError` when they are too long. */
export function formatFrame(
  kind: keyof typeof KINDS,
  sequence: number,
  ...parts: readonly Uint8Array[]
): Uint8Array<ArrayBuffer> {
  return writeFrame(new Uint8Array(frameBytes(parts)), kind, sequence, parts);
}

/** As {@link formatFrame}, into the begin of `into`, which must be long enough. */
export function writeFrame(
  into: Uint8Array<ArrayBuffer>,
  kind: keyof typeof KINDS,
  sequence: number,
  parts: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const frame = into.subarray(0, frameBytes(parts));
  frame[0] = KINDS[kind];
  frame[1] = 0;
  frame.set(sequenceBytes(sequence), 2);
  let end = HEADER_BYTES;
  for (const part of parts) {
    frame.set(part, end);
    end += part.length;
  }
  return frame;
}

/** An acknowledgement as it travels; see {@link Frame}. */
export function formatAck(consumed: number, received: number, onLane: number): Uint8Array<ArrayBuffer> {
  return formatFrame("ack", consumed, sequenceBytes(received), sequenceBytes(onLane));
}

function sequenceBytes(sequence: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SEQUENCE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, Math.floor(sequence / 2 ** 32));
  view.setUint32(2, sequence % 2 ** 32);
  return bytes;
}

function sequenceIn(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.getUint16(0) * 2 ** 32 + view.getUint32(2);
}

/** The frame in a binary message; undefined for one that breaks the rules. Its bytes are a view of the message. */
export function parseFrame(message: Uint8Array): Frame | undefined {
  if (message.length < HEADER_BYTES || message[1] !== 0) return undefined;
  const sequence = sequenceIn(message.subarray(2, HEADER_BYTES));
  const payload = message.subarray(HEADER_BYTES);
  switch (message[0]) {
    case KINDS.text:
      return textFrame(sequence, payload);
    case KINDS.bytes:
      return { kind: "bytes", sequence, bytes: payload };
    case KINDS.ack:
      if (payload.length !== ACK_BYTES) return undefined;
      return {
        kind: "ack",
        sequence,
        received: sequenceIn(payload),
        onLane: sequenceIn(payload.subarray(6)),
      };
    case KINDS.bye:
      return payload.length === 0 ? { kind: "bye", sequence } : undefined;
    default:
      return undefined;
  }
}

function textFrame(sequence: number, payload: Uint8Array): Frame | undefined {
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return { kind: "text", sequence, text: decoder.decode(payload) };
  } catch {
    return undefined;
  }
}

const helloSchema = z.object({
  /** Made by the client, random: who knows it may go on with the link. */
  id: z.string().regex(/^[0-9a-f]{32}$/),
  /** Messages received so far, without a gap. */
  received: z.int().min(0),
});
/** The first message on each channel of a link, in each direction. */
export type Hello = z.infer<typeof helloSchema>;

const HELLO = "LINK::";
/** Answer to a hello with an id that the worker does not know, or no longer. */
export const LINK_UNKNOWN = "LINK_UNKNOWN";

/** A hello as text. */
export function formatHello({ id, received }: Hello): string {
  return `${HELLO}${JSON.stringify({ id, received })}`;
}

/** The hello in a message; undefined when it is something else. */
export function parseHello(message: string | Uint8Array | undefined): Hello | undefined {
  if (typeof message !== "string" || !message.startsWith(HELLO)) return undefined;
  return parseJson(helloSchema, message.slice(HELLO.length));
}
