import assert from "node:assert/strict";
import { matches, parseFilters } from "../../signaling/discovery.ts";

const worker = {
  role: "worker",
  metadata: {
    tags: ["sleap-rtc", "training-worker"],
    properties: { status: "available", gpu_memory_mb: 8192, models: ["base", "topdown"], note: null },
  },
};

function finds(filters: unknown): boolean {
  return matches(worker, parseFilters(filters));
}

function findsProperty(properties: Record<string, unknown>): boolean {
  return finds({ properties });
}

Deno.test("no filters find everybody", () => {
  assert.ok(finds({}));
  assert.ok(finds(undefined));
  assert.ok(finds({ role: null, tags: [], room_id: "elsewhere" }));
});

Deno.test("role is compared, tags need one in common", () => {
  assert.ok(finds({ role: "worker" }));
  assert.ok(!finds({ role: "client" }));
  assert.ok(finds({ tags: ["other", "sleap-rtc"] }));
  assert.ok(!finds({ tags: ["other"] }));
});

Deno.test("plain values are equality, of whole lists too", () => {
  assert.ok(findsProperty({ status: "available", gpu_memory_mb: 8192 }));
  assert.ok(!findsProperty({ status: "available", gpu_memory_mb: 1 }));
  assert.ok(findsProperty({ models: ["base", "topdown"] }));
  assert.ok(!findsProperty({ models: ["base"] }));
  assert.ok(findsProperty({ absent: null }));
  assert.ok(!findsProperty({ absent: 1 }));
  assert.ok(!findsProperty({ toString: 1 }));
});

Deno.test("operators in one object all apply", () => {
  assert.ok(findsProperty({ gpu_memory_mb: { $gte: 8192, $lte: 8192 } }));
  assert.ok(!findsProperty({ gpu_memory_mb: { $gte: 8192, $lte: 8191 } }));
  assert.ok(findsProperty({ status: { $eq: "available" } }));
  assert.ok(!findsProperty({ status: { $eq: "busy" } }));
});

Deno.test("comparing what is no number is false", () => {
  assert.ok(!findsProperty({ status: { $gte: 1 } }));
  assert.ok(!findsProperty({ gpu_memory_mb: { $gte: "1" } }));
  assert.ok(!findsProperty({ gpu_memory_mb: { $lte: null } }));
  assert.ok(!findsProperty({ absent: { $lte: 1 } }));
});

Deno.test("$contains looks into lists only", () => {
  assert.ok(findsProperty({ models: { $contains: "base" } }));
  assert.ok(!findsProperty({ models: { $contains: "bas" } }));
  assert.ok(!findsProperty({ status: { $contains: "available" } }));
  assert.ok(!findsProperty({ absent: { $contains: "base" } }));
});

Deno.test("unknown operators match everything", () => {
  assert.ok(findsProperty({ status: { $near: 3 } }));
});

Deno.test("filters of a wrong kind do not filter", () => {
  assert.ok(finds({ tags: "sleap-rtc", properties: 7 }));
  assert.ok(finds("worker"));
});
