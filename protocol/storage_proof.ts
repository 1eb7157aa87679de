/** How two peers of this program prove that they see the same storage; Python peers skip it (docs/protocol.md). */
import { z } from "zod";

/** Name of the feature in offer and answer. */
export const SAME_STORAGE = "same-storage";

/** Bytes of one sampled block, at most. */
export const MAX_BLOCK_BYTES = 65_536;
/** Blocks in one challenge, at most: together one read of a few milliseconds. */
export const MAX_BLOCKS = 32;

const hex = z.string().regex(/^[0-9a-f]{64}$/);

/** What one side tells of the file it sees, for the other to compare. Hashes are HMAC-SHA-256 under `key`, in hex. */
export const challengeSchema = z.strictObject({
  /** Random, in hex: hashes of one challenge tell nothing of another. */
  key: hex,
  /** Bytes. */
  size: z.int().min(0),
  /** Milliseconds since the epoch; null where the storage keeps no times. */
  modified: z.number().nullable(),
  blocks: z.array(z.strictObject({
    offset: z.int().min(0),
    length: z.int().min(0).max(MAX_BLOCK_BYTES),
    hash: hex,
  })).max(MAX_BLOCKS),
  /** Name of a file beside the input, just written by the challenger; null where it may not write. */
  nonce: z.string().regex(/^\.sleap-rtc-nonce-[0-9a-f]{32}$/).nullable(),
});
/** See {@link challengeSchema}. */
export type Challenge = z.infer<typeof challengeSchema>;
