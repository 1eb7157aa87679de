/** What the servers that share one Redis say to each other. */
import { z } from "zod";
import { parseMetadata } from "./metadata.ts";
import type { RegisteredPeer } from "./room.ts";

const id = z.string().min(1).max(256);

/** A peer as its server makes it known to the others. */
export const recordSchema = z.object({
  room: id,
  token: id,
  peer: id,
  role: id,
  metadata: z.unknown().transform(parseMetadata),
  features: z.array(z.string()),
  /** Seconds since the epoch. */
  since: z.number(),
  admin: z.boolean(),
});
/** See {@link recordSchema}. */
export type PeerRecord = z.infer<typeof recordSchema>;

/** What all servers hear, in one order. */
export const newsSchema = z.discriminatedUnion("kind", [
  /** `again`: its server tells all that it has, which may be old. */
  z.object({ kind: z.literal("peer"), from: id, record: recordSchema, again: z.boolean() }),
  z.object({ kind: z.literal("left"), from: id, room: id, peer: id }),
  z.object({ kind: z.literal("room"), from: id, room: id, token: id }),
  z.object({ kind: z.literal("room_deleted"), from: id, room: id }),
  /** The server stops. */
  z.object({ kind: z.literal("gone"), from: id }),
]);
/** See {@link newsSchema}. */
export type News = z.infer<typeof newsSchema>;

const whom = { from: id, room: id, peer: id };

/** What one server tells another about a peer of either; a text frame may follow it. */
export const orderSchema = z.discriminatedUnion("kind", [
  /** To send the text to its peer. */
  z.object({ kind: z.literal("deliver"), ...whom }),
  z.object({ kind: z.literal("close"), ...whom, code: z.int(), reason: z.string() }),
  /** To take its peer out of the room. */
  z.object({ kind: z.literal("expel"), ...whom }),
  /** To the leader: what a peer of the sender says about a job. */
  z.object({ kind: z.literal("job"), ...whom, number: z.int() }),
  /** The answer to that, when it is dealt with. */
  z.object({ kind: z.literal("job_done"), from: id, number: z.int() }),
]);
/** See {@link orderSchema}. */
export type Order = z.infer<typeof orderSchema>;

/** A peer of this server, for the others. */
export function recordOf(peer: RegisteredPeer): PeerRecord {
  const { room, peerId, role, metadata, features, connectedAt } = peer;
  return {
    room: room.id,
    token: room.token,
    peer: peerId,
    role,
    metadata,
    features: [...features],
    since: connectedAt,
    admin: room.adminPeerId === peerId,
  };
}

/** A text that follows an order is not quoted again: it may be a mebibyte. */
export function formatOrder(order: Order, text = ""): string {
  return `${JSON.stringify(order)}\n${text}`;
}

/** The order and the text that follows it. Throws for anything else. */
export function parseOrder(frame: string): { order: Order; text: string } {
  const end = frame.indexOf("\n");
  return { order: orderSchema.parse(JSON.parse(frame.slice(0, end))), text: frame.slice(end + 1) };
}
