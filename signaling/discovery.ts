import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import type { Metadata } from "../protocol/signaling.ts";

const filtersSchema = z.object({
  role: z.unknown().optional(),
  tags: z.array(z.unknown()).optional().catch(undefined),
  properties: z.record(z.string(), z.unknown()).optional().catch(undefined),
}).catch({});

/** What `discover_peers` asks for. Source: PROTOCOL.md section 6. */
export type Filters = z.infer<typeof filtersSchema>;

/** Filters out of raw input; what is not of the expected kind does not filter. */
export function parseFilters(raw: unknown): Filters {
  return filtersSchema.parse(raw);
}

/** Whether a peer passes all filters. Source: PROTOCOL.md section 6, and `$contains`, which is ours. */
export function matches(peer: { role: string; metadata: Metadata }, filters: Filters): boolean {
  return matchesRole(peer.role, filters.role) &&
    matchesTags(peer.metadata.tags ?? [], filters.tags) &&
    matchesProperties(peer.metadata.properties ?? {}, filters.properties ?? {});
}

function matchesRole(role: string, wanted: unknown): boolean {
  return wanted === undefined || wanted === null || role === wanted;
}

function matchesTags(tags: readonly string[], wanted: readonly unknown[] | undefined): boolean {
  return wanted === undefined || wanted.length === 0 || tags.some((tag) => wanted.includes(tag));
}

function matchesProperties(properties: Record<string, unknown>, wanted: Record<string, unknown>): boolean {
  return Object.entries(wanted).every(([key, condition]) => {
    // A missing property equals null, as on the Python server.
    const value = Object.hasOwn(properties, key) ? properties[key] : null;
    return isOperators(condition)
      ? Object.entries(condition).every(([operator, operand]) => holds(operator, value, operand))
      : isDeepStrictEqual(value, condition);
  });
}

function isOperators(condition: unknown): condition is Record<string, unknown> {
  return typeof condition === "object" && condition !== null && !Array.isArray(condition);
}

function holds(operator: string, value: unknown, operand: unknown): boolean {
  switch (operator) {
    case "$eq":
      return isDeepStrictEqual(value, operand);
    case "$gte":
      return typeof value === "number" && typeof operand === "number" && value >= operand;
    case "$lte":
      return typeof value === "number" && typeof operand === "number" && value <= operand;
    case "$contains":
      return Array.isArray(value) && value.some((item) => isDeepStrictEqual(item, operand));
    default:
      return true; // unknown operators match everything, as on the Python server
  }
}
