import type { Metadata } from "../protocol/signaling.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import { storageBackends } from "./metadata.ts";

/**
 * How long an empty room can be joined, in seconds from its creation or from when its last peer left (PROTOCOL.md
 * section 2 counts from creation only, which would cut a worker off from new clients after two hours).
 */
export const ROOM_LIFETIME_S = 2 * 60 * 60;
/** How many peers can be in one room unless told otherwise. */
export const MAX_PEERS_PER_ROOM = DEFAULT_LIMITS.peersPerRoom;
/** After so many wrong tokens a room takes no newcomers: six characters could be guessed otherwise. */
export const MAX_WRONG_TOKENS = 100;

/** The way to a peer; its identity is what a registration belongs to. */
export interface Connection {
  readonly isOpen: boolean;
  /** Where it comes from; see `clientAddress`. */
  readonly address?: string;
  /** Sends one text frame, unless so many bytes wait already; false when it cannot be delivered. */
  send(text: string, maxUnsentBytes?: number): boolean;
  /** Counts an error that was told over it, by a code or a text of this server's own. */
  countError?(code: string): void;
  /** Ends it, with a code of RFC 6455 and a reason for people. */
  close?(code: number, reason: string): void;
}

/** A peer in a room. */
export interface RegisteredPeer {
  readonly peerId: string;
  readonly role: string;
  readonly metadata: Metadata;
  /** What it knows beyond PROTOCOL.md. */
  readonly features: readonly string[];
  /** Seconds since the epoch. */
  readonly connectedAt: number;
  readonly connection: Connection;
  readonly room: Room;
}

/** A room and who is in it. */
export interface Room {
  readonly id: string;
  /** Whoever has it may join; never to be logged. */
  readonly token: string;
  /** Whole seconds since the epoch; counts while nobody is in the room. */
  readonly expiresAt: number;
  readonly peers: ReadonlyMap<string, RegisteredPeer>;
  readonly adminPeerId: string | null;
}

/** A room as its keeper sees it. */
export interface MutableRoom extends Room {
  token: string;
  expiresAt: number;
  readonly peers: Map<string, MutablePeer>;
  adminPeerId: string | null;
  wrongTokens: number;
  /** `storage_backends` of peers that left, for when they come back without naming them. */
  readonly backendsOfLeft: Map<string, unknown>;
}

/** A peer as its keeper sees it. */
export interface MutablePeer extends RegisteredPeer {
  metadata: Metadata;
  readonly room: MutableRoom;
}

/** Six characters, as the Python server's. */
export function freshToken(): string {
  return crypto.randomUUID().slice(0, 6);
}

/** A room with a fresh token, empty; `now` in seconds since the epoch. */
export function emptyRoom(id: string, now: number): MutableRoom {
  return {
    id,
    token: freshToken(),
    expiresAt: Math.floor(now) + ROOM_LIFETIME_S,
    peers: new Map(),
    adminPeerId: null,
    wrongTokens: 0,
    backendsOfLeft: new Map(),
  };
}

/** The other peers of its room that a peer is told of at registration: a worker may elect whom it sees, so only workers. */
export function visiblePeers(peer: RegisteredPeer): RegisteredPeer[] {
  return [...peer.room.peers.values()].filter((other) =>
    other !== peer && (peer.role !== "worker" || other.role === "worker")
  );
}

/** Makes a worker admin when it claims it and nobody is; returns who is admin already. Source: PROTOCOL.md section 8. */
export function claimAdmin(peer: MutablePeer, isClaimed: boolean): string | null {
  const { room, peerId } = peer;
  const claims = isClaimed && peer.role === "worker";
  if (room.adminPeerId === peerId && !claims) room.adminPeerId = null;
  if (!claims) return null;
  room.adminPeerId ??= peerId;
  return room.adminPeerId === peerId ? null : room.adminPeerId;
}

/** Takes a peer out of its room; `now` in seconds since the epoch. */
export function leave(peer: MutablePeer, now: number): void {
  const { room, peerId } = peer;
  room.peers.delete(peerId);
  if (room.adminPeerId === peerId) room.adminPeerId = null;
  rememberBackends(peer);
  if (room.peers.size > 0) return;
  room.backendsOfLeft.clear();
  room.expiresAt = Math.floor(now) + ROOM_LIFETIME_S;
}

/** A Python worker that lost an election comes back over a new connection without naming its backends. */
function rememberBackends({ room, peerId, metadata }: MutablePeer): void {
  const backends = storageBackends(metadata);
  if (backends === undefined) return;
  room.backendsOfLeft.set(peerId, backends);
  const oldest = room.backendsOfLeft.keys().next();
  if (room.backendsOfLeft.size > MAX_PEERS_PER_ROOM && !oldest.done) room.backendsOfLeft.delete(oldest.value);
}
