import type { Metadata } from "../protocol/signaling.ts";
import { isTooLarge, keepBackends, mergeMetadata, storageBackends } from "./metadata.ts";
import {
  claimAdmin,
  type Connection,
  emptyRoom,
  freshToken,
  leave,
  MAX_PEERS_PER_ROOM,
  MAX_WRONG_TOKENS,
  type MutablePeer,
  type MutableRoom,
  type RegisteredPeer,
  type Room,
  ROOM_LIFETIME_S,
} from "./room.ts";

/** How long an empty expired room is remembered, in seconds, so that latecomers are told what happened. */
export const EXPIRED_ROOM_KEPT_S = 60 * 60;
/** How many rooms can exist at a time. */
export const MAX_ROOMS = 10_000;

/** What a peer asks for with `register`, its `id_token` already verified. */
export interface Registration {
  peerId: string;
  roomId: string;
  token: string;
  role: string;
  metadata: Metadata;
  isAdmin: boolean;
  features: readonly string[];
}

/** Why a registration was refused: the `reason` on the wire. Source: PROTOCOL.md section 3.3; the last two are ours. */
export type Refusal =
  | "Room not found"
  | "Invalid token"
  | "Room expired"
  | "Room is full"
  | "Metadata too large";

/** How a registration ended; `conflictingAdmin` is who is admin already when the peer claimed to be. */
export type RegistrationResult =
  | { peer: RegisteredPeer; conflictingAdmin: string | null }
  | { refusal: Refusal };

/** Is told of what happens in the rooms, after it did; must not change them. */
export interface RoomsWatch {
  /** A peer has registered, perhaps again: over the same connection or another. */
  joined?(peer: RegisteredPeer): void;
  /** Its metadata is new. */
  changed?(peer: RegisteredPeer): void;
  /** It is in no room any more. */
  left?(peer: RegisteredPeer): void;
  /** Somebody is in it for the first time, or nobody any more, or it has a new token. */
  roomChanged?(room: Room): void;
  /** Nobody can join it any more. */
  roomDeleted?(roomId: string): void;
}

/** All rooms of a server: state only, no input or output. Source: PROTOCOL.md sections 3.4, 4, 5.4, 8. */
export class Rooms {
  readonly #rooms = new Map<string, MutableRoom>();
  readonly #registrations = new Map<Connection, MutablePeer>();
  readonly #now: () => number;
  readonly #maxPeers: number;
  #created = 0;
  /** Those who are told of everything. */
  readonly watches = new Set<RoomsWatch>();

  /** `now` gives milliseconds since the epoch; at most `maxPeers` are in one room. */
  constructor(now: () => number = Date.now, maxPeers = MAX_PEERS_PER_ROOM) {
    this.#now = now;
    this.#maxPeers = maxPeers;
  }

  /** How many rooms were ever created. */
  get created(): number {
    return this.#created;
  }

  /** How many rooms are remembered, empty ones included. */
  get size(): number {
    return this.#rooms.size;
  }

  /** How many rooms have somebody in them. */
  get active(): number {
    let count = 0;
    for (const room of this.#rooms.values()) if (room.peers.size > 0) count++;
    return count;
  }

  /** A new room with a fresh id and token; `undefined` when there are too many. */
  create(): Room | undefined {
    // Rooms come into being only here, so sweeping here bounds them.
    this.sweep();
    if (this.#rooms.size >= MAX_ROOMS) return undefined;
    let id = crypto.randomUUID().slice(0, 8);
    while (this.#rooms.has(id)) id = crypto.randomUUID().slice(0, 8);
    const room = emptyRoom(id, this.#seconds());
    this.#rooms.set(id, room);
    this.#created++;
    return room;
  }

  /** Puts back a room that was remembered; `expiresAt` in seconds since the epoch. One that is there takes the token. */
  restore(id: string, token: string, expiresAt = Math.floor(this.#seconds()) + ROOM_LIFETIME_S): MutableRoom {
    const room = this.#rooms.get(id) ?? { ...emptyRoom(id, 0), expiresAt };
    room.token = token;
    this.#rooms.set(id, room);
    return room;
  }

  /** Forgets the rooms that nobody is in and nobody can join any more. */
  sweep(): void {
    const limit = this.#seconds() - EXPIRED_ROOM_KEPT_S;
    for (const room of this.#rooms.values()) {
      if (room.peers.size === 0 && room.expiresAt <= limit) this.deleteRoom(room.id);
    }
  }

  /**
   * Puts a peer into a room. A connection has one registration; a later one replaces it, and one of the same peer id
   * over another connection takes the place of the earlier.
   */
  register(connection: Connection, request: Registration): RegistrationResult {
    const room = this.#rooms.get(request.roomId);
    if (room === undefined) return { refusal: "Room not found" };
    const refusal = this.#refusal(room, connection, request);
    if (refusal !== null) return { refusal };
    const peer = this.#place(room, connection, request);
    const conflictingAdmin = claimAdmin(peer, request.isAdmin);
    this.#tell((watch) => watch.joined?.(peer));
    if (room.peers.size === 1) this.#tell((watch) => watch.roomChanged?.(room));
    return { peer, conflictingAdmin };
  }

  /** Puts a peer that another server has let in into its room, whose token it brings; `since` in seconds. */
  admit(connection: Connection, request: Registration, since: number): RegisteredPeer {
    const room = this.restore(request.roomId, request.token);
    const peer = this.#place(room, connection, request, since);
    if (request.isAdmin) room.adminPeerId = peer.peerId;
    this.#tell((watch) => watch.joined?.(peer));
    return peer;
  }

  /** What a peer of another server tells about itself now. */
  replaceMetadata(connection: Connection, metadata: Metadata): void {
    const peer = this.#registrations.get(connection);
    if (peer === undefined) return;
    peer.metadata = metadata;
    this.#tell((watch) => watch.changed?.(peer));
  }

  #place(
    room: MutableRoom,
    connection: Connection,
    request: Registration,
    since = this.#seconds(),
  ): MutablePeer {
    const current = this.#registrations.get(connection);
    const earlier = room.peers.get(request.peerId);
    if (current !== undefined && current !== earlier) this.#remove(current);
    if (earlier !== undefined) this.#registrations.delete(earlier.connection);
    const backends = earlier ? storageBackends(earlier.metadata) : room.backendsOfLeft.get(request.peerId);
    const peer: MutablePeer = {
      peerId: request.peerId,
      role: request.role,
      features: request.features,
      metadata: keepBackends(request.metadata, backends),
      connectedAt: current !== undefined && current === earlier ? current.connectedAt : since,
      connection,
      room,
    };
    room.backendsOfLeft.delete(peer.peerId);
    room.peers.set(peer.peerId, peer);
    this.#registrations.set(connection, peer);
    return peer;
  }

  /** Who is registered over a connection. */
  peerOf(connection: Connection): RegisteredPeer | undefined {
    return this.#registrations.get(connection);
  }

  /** Takes the peer of a closed connection out of its room; nothing when another connection took its place. */
  disconnect(connection: Connection): RegisteredPeer | undefined {
    const peer = this.#registrations.get(connection);
    if (peer !== undefined) this.#remove(peer);
    return peer;
  }

  /** The merged metadata after `update_metadata`; `undefined`, with nothing changed, when it would be too large. */
  updateMetadata(connection: Connection, update: Metadata): Metadata | undefined {
    const peer = this.#registrations.get(connection);
    if (peer === undefined) return undefined;
    const merged = mergeMetadata(peer.metadata, update);
    if (isTooLarge(merged)) return undefined;
    peer.metadata = merged;
    this.#tell((watch) => watch.changed?.(peer));
    return merged;
  }

  /** A peer of this id in any room. */
  find(peerId: string): RegisteredPeer | undefined {
    return this.registered(peerId)[0];
  }

  /** All peers of this id: one user may be in several rooms. */
  registered(peerId: string): RegisteredPeer[] {
    return [...this.#registrations.values()].filter((peer) => peer.peerId === peerId);
  }

  /** All peers of all rooms. */
  everybody(): RegisteredPeer[] {
    return [...this.#registrations.values()];
  }

  /** Ids of all rooms. */
  ids(): Iterable<string> {
    return this.#rooms.keys();
  }

  /** A room by its id. */
  room(roomId: string): Room | undefined {
    return this.#rooms.get(roomId);
  }

  /** Takes every peer of this id out of its room; false when there is none. Connections stay open. */
  deletePeer(peerId: string): boolean {
    const connections = this.registered(peerId).map(({ connection }) => connection);
    for (const connection of connections) this.disconnect(connection);
    return connections.length > 0;
  }

  /** Deletes a room with all its registrations; false when there is none. Connections stay open. */
  deleteRoom(roomId: string): boolean {
    const room = this.#rooms.get(roomId);
    if (room === undefined) return false;
    this.#rooms.delete(roomId);
    for (const peer of room.peers.values()) {
      this.#registrations.delete(peer.connection);
      this.#tell((watch) => watch.left?.(peer));
    }
    this.#tell((watch) => watch.roomDeleted?.(roomId));
    return true;
  }

  /** Gives a room a new token, and takes everybody out of it; undefined when there is none. Connections stay open. */
  renewToken(roomId: string): { token: string; peers: RegisteredPeer[] } | undefined {
    const room = this.#rooms.get(roomId);
    if (room === undefined) return undefined;
    const peers = [...room.peers.values()];
    for (const peer of peers) this.#remove(peer);
    room.token = freshToken();
    room.wrongTokens = 0;
    this.#tell((watch) => watch.roomChanged?.(room));
    return { token: room.token, peers };
  }

  /** How many peers there are of each role. */
  countByRole(): Record<string, number> {
    const counts = new Map<string, number>();
    for (const { role } of this.#registrations.values()) counts.set(role, (counts.get(role) ?? 0) + 1);
    return Object.fromEntries(counts);
  }

  #seconds(): number {
    return this.#now() / 1000;
  }

  #refusal(room: MutableRoom, connection: Connection, request: Registration): Refusal | null {
    const current = this.#registrations.get(connection);
    // Who is in already only refreshes what it said; refusing that would end a healthy worker.
    const isInside = current !== undefined && current === room.peers.get(request.peerId);
    if (room.token !== request.token) {
      room.wrongTokens++;
      return "Invalid token";
    }
    if (isTooLarge(request.metadata)) return "Metadata too large";
    if (isInside) return null;
    if (room.wrongTokens >= MAX_WRONG_TOKENS) return "Invalid token";
    if (room.peers.size === 0 && this.#seconds() >= room.expiresAt) return "Room expired";
    const isNew = !room.peers.has(request.peerId);
    return isNew && room.peers.size >= this.#maxPeers ? "Room is full" : null;
  }

  #remove(peer: MutablePeer): void {
    this.#registrations.delete(peer.connection);
    leave(peer, this.#seconds());
    this.#tell((watch) => watch.left?.(peer));
    if (peer.room.peers.size === 0) this.#tell((watch) => watch.roomChanged?.(peer.room));
  }

  #tell(what: (watch: RoomsWatch) => void): void {
    for (const watch of this.watches) what(watch);
  }
}
