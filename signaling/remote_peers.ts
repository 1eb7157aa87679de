import { isDeepStrictEqual } from "node:util";
import type { PeerRecord } from "./cluster_messages.ts";
import { RemoteConnection } from "./remote_connection.ts";
import type { Rooms } from "./rooms.ts";

/** Close code for a socket whose peer has come back over another server. */
const REPLACED = 4000;

/** The peers of other servers, in the rooms of this one. */
export class RemotePeers {
  readonly #rooms: Rooms;
  readonly #connect: (server: string, room: string, peer: string) => RemoteConnection;
  /** By server, then by room and peer. */
  readonly #peers = new Map<string, Map<string, RemoteConnection>>();
  #isApplying = false;

  constructor(rooms: Rooms, connect: (server: string, room: string, peer: string) => RemoteConnection) {
    this.#rooms = rooms;
    this.#connect = connect;
  }

  /** Whether what happens in the rooms at this moment is what another server told. */
  get isApplying(): boolean {
    return this.#isApplying;
  }

  /** Servers that have peers. */
  get servers(): string[] {
    return [...this.#peers.keys()];
  }

  /** Does what another server told, so that it is not told back. */
  apply(change: () => void): void {
    this.#isApplying = true;
    try {
      change();
    } finally {
      this.#isApplying = false;
    }
  }

  /** A peer is with a server; an old record (`again`) does not displace what another connection brought later. */
  put(server: string, record: PeerRecord, again = false): void {
    if (again && this.#isOutdated(server, record)) return;
    const peers = this.#peers.get(server) ?? new Map<string, RemoteConnection>();
    this.#peers.set(server, peers);
    const key = keyOf(record.room, record.peer);
    const connection = peers.get(key) ?? this.#connect(server, record.room, record.peer);
    peers.set(key, connection);
    const current = this.#rooms.peerOf(connection);
    const isSame = current?.role === record.role && isDeepStrictEqual(current.features, record.features);
    this.apply(() => {
      if (isSame) this.#rooms.replaceMetadata(connection, record.metadata);
      else this.#admit(connection, record);
    });
  }

  /** A peer has left a server; nothing when it is with another by now. */
  remove(server: string, room: string, peer: string): void {
    const peers = this.#peers.get(server);
    const connection = peers?.get(keyOf(room, peer));
    if (connection === undefined) return;
    peers?.delete(keyOf(room, peer));
    this.apply(() => this.#rooms.disconnect(connection));
  }

  /** All peers that a server has: others that it had are gone. */
  replace(server: string, records: readonly PeerRecord[]): void {
    const keys = new Set(records.map(({ room, peer }) => keyOf(room, peer)));
    for (const [key, { room, peer }] of this.#peers.get(server) ?? []) {
      if (!keys.has(key)) this.remove(server, room, peer);
    }
    for (const record of records) this.put(server, record, true);
  }

  /** A server is gone, and its peers with it. */
  drop(server: string): void {
    this.replace(server, []);
    this.#peers.delete(server);
  }

  #isOutdated(server: string, record: PeerRecord): boolean {
    const present = this.#rooms.room(record.room)?.peers.get(record.peer);
    const isOther = present?.connection !== this.#peers.get(server)?.get(keyOf(record.room, record.peer));
    return present !== undefined && isOther && present.connectedAt > record.since;
  }

  #admit(connection: RemoteConnection, record: PeerRecord): void {
    const earlier = this.#rooms.room(record.room)?.peers.get(record.peer)?.connection;
    this.#rooms.admit(connection, {
      peerId: record.peer,
      roomId: record.room,
      token: record.token,
      role: record.role,
      metadata: record.metadata,
      isAdmin: record.admin,
      features: record.features,
    }, record.since);
    // A socket that was cut without a word; who is there all the same comes back.
    if (!(earlier instanceof RemoteConnection)) earlier?.close?.(REPLACED, "registered with another server");
  }
}

function keyOf(room: string, peer: string): string {
  return JSON.stringify([room, peer]);
}
