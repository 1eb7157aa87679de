import { z } from "zod";
import type { Metadata } from "../protocol/signaling.ts";

/** Largest metadata of one peer, as JSON text, in characters. */
export const MAX_METADATA_CHARS = 65_536;

// More forgiving than the protocol's schema: a peer with odd tags is still a peer, and an error ends a Python worker.
const lenientSchema = z.looseObject({
  tags: z.array(z.string()).optional().catch(undefined),
  properties: z.record(z.string(), z.unknown()).optional().catch(undefined),
}).catch({});

/** Metadata out of raw input; what is not of the expected kind is left out. */
export function parseMetadata(raw: unknown): Metadata {
  const { tags, properties, ...others } = lenientSchema.parse(raw);
  return { ...others, ...(tags && { tags }), ...(properties && { properties }) };
}

/** `update` laid over `stored`: tags united, properties key by key, nothing lost. Source: PROTOCOL.md section 5.4. */
export function mergeMetadata(stored: Metadata, update: Metadata): Metadata {
  const merged: Metadata = { ...stored, ...update };
  if (stored.tags && update.tags) merged.tags = [...new Set([...stored.tags, ...update.tags])];
  if (stored.properties && update.properties) {
    merged.properties = { ...stored.properties, ...update.properties };
  }
  return merged;
}

/** The `storage_backends` that a peer advertises, as given; `undefined` when it names none. */
export function storageBackends(metadata: Metadata): unknown {
  return metadata.properties?.["storage_backends"];
}

/**
 * `next`, with `backends` as its `storage_backends` when it has none of its own: a Python worker leaves them out
 * when it registers again. Source: PROTOCOL.md section 5.1.
 */
export function keepBackends(next: Metadata, backends: unknown): Metadata {
  if (backends === undefined || storageBackends(next) !== undefined) return next;
  return { ...next, properties: { ...next.properties, storage_backends: backends } };
}

/** Whether metadata is larger than a peer may have. */
export function isTooLarge(metadata: Metadata): boolean {
  return JSON.stringify(metadata).length > MAX_METADATA_CHARS;
}
