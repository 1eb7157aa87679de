/**
 * How files travel over a link: announced, resumed, in chunks with offsets, each verified by its hash. Only peers of
 * this program speak it; see "Files" in docs/protocol.md.
 */
import { z } from "zod";
import type { ErrorCode } from "../config/error_code.ts";
import { MAX_PAYLOAD_BYTES } from "./link.ts";

/** Files of one transfer, at most. */
export const MAX_FILES = 100_000;
/** Names of all files of a transfer, at most, in characters. */
export const MAX_NAMES = 16 * 1024 * 1024;
/** Longest name of a file, in characters. */
const MAX_NAME = 4096;
/** Number of the transfer, number of the file, offset in the file. */
const CHUNK_HEADER_BYTES = 16;
/** File bytes that one chunk carries at most. */
export const MAX_CHUNK_BYTES = MAX_PAYLOAD_BYTES - CHUNK_HEADER_BYTES;

const number = z.int().min(0).max(2 ** 32 - 1);
const bytes = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** `FILES_OFFER`, from the sender: what is to come. */
export const offerSchema = z.object({
  /** Tells transfers of one link and direction apart. */
  id: number,
  /** Whether it is a package that came as one file, one that came as a folder, or what a job has made. */
  purpose: z.enum(["package", "folder", "results"]),
  /** The same whenever the same content is sent: under it the receiver keeps what came. Null: it keeps nothing. */
  key: sha256.nullable(),
  files: z.int().min(0).max(MAX_FILES),
  /** Of all files together. */
  bytes,
});
/** See {@link offerSchema}. */
export type FilesOffer = z.infer<typeof offerSchema>;

const entrySchema = z.object({ name: z.string().min(1).max(MAX_NAME), size: bytes });
/** One file: its relative path, with `/`, and its size in bytes. */
export type FileEntry = z.infer<typeof entrySchema>;

/** `FILES_LIST`, from the sender, as often as needed: the next files, in the order in which their bytes come. */
export const listSchema = z.object({ id: number, files: z.array(entrySchema).min(1) });

/** `FILES_READY`, from the receiver: how many bytes of all files, one after the other, it has, and their hash. */
export const readySchema = z.object({ id: number, offset: bytes, sha256 });
/** See {@link readySchema}. */
export type FilesReady = z.infer<typeof readySchema>;

/** `FILES_BEGIN`, from the sender: chunks begin at the receiver's offset, or at 0 when its bytes are others. */
export const beginSchema = z.object({ id: number, offset: bytes });

/** `FILE_END`, from the sender: all bytes of a file have been sent. */
export const fileEndSchema = z.object({ id: number, file: number, sha256 });

/** `FILES_DONE`, from the receiver: all files are whole and verified. */
export const doneSchema = z.object({ id: number });

/** Why a transfer ended early; `reason` says it to a person. */
export const CANCEL_CODES = ["cancelled", "changed", "corrupt", "refused", "no space", "failed"] as const;
/** See {@link CANCEL_CODES}. */
export type CancelCode = typeof CANCEL_CODES[number];

/** What the other side of a transfer that ended early makes of it. */
export const CANCEL_ERRORS: Readonly<Record<CancelCode, ErrorCode>> = {
  cancelled: "TRANSFER_CANCELLED",
  changed: "SOURCE_CHANGED",
  corrupt: "TRANSFER_CORRUPT",
  refused: "TRANSFER_REFUSED",
  "no space": "NO_SPACE",
  failed: "TRANSFER_FAILED",
};

/** `FILES_CANCEL`, from either side; nothing more is sent of the transfer. */
export const cancelSchema = z.object({
  id: number,
  /** Each side counts the transfers that it sends. */
  by: z.enum(["sender", "receiver"]),
  code: z.enum(CANCEL_CODES).catch("failed"),
  reason: z.string().max(2 * MAX_NAME),
});

/** A part of a file. */
export interface Chunk {
  /** The transfer's. */
  id: number;
  /** Number of the file, from 0. */
  file: number;
  /** In the file, in bytes. */
  offset: number;
  bytes: Uint8Array;
}

/** What stands before a chunk's bytes. */
export function formatChunkHeader({ id, file, offset }: Omit<Chunk, "bytes">): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(CHUNK_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, id);
  view.setUint32(4, file);
  view.setBigUint64(8, BigInt(offset));
  return header;
}

/** The chunk in a binary message; undefined for one that breaks the rules. Its bytes are a view of the message. */
export function parseChunk(message: Uint8Array): Chunk | undefined {
  if (message.length <= CHUNK_HEADER_BYTES) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const offset = Number(view.getBigUint64(8));
  if (!Number.isSafeInteger(offset)) return undefined;
  return {
    id: view.getUint32(0),
    file: view.getUint32(4),
    offset,
    bytes: message.subarray(CHUNK_HEADER_BYTES),
  };
}
