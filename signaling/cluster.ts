/** One of several signaling servers that share rooms, peers and the queue through Redis. See docs/several-servers.md. */
import { getLogger } from "@logtape/logtape";
import { z } from "zod";
import { errorText } from "../config/user_error.ts";
import {
  type News,
  newsSchema,
  type Order,
  parseOrder,
  type PeerRecord,
  recordOf,
  recordSchema,
} from "./cluster_messages.ts";
import { Forwarding } from "./forwarding.ts";
import { Leadership } from "./leadership.ts";
import { PREFIX } from "./redis_link.ts";
import type { RedisStore } from "./redis_store.ts";
import { Post, RemoteConnection } from "./remote_connection.ts";
import { RemotePeers } from "./remote_peers.ts";
import { sendError } from "./reply.ts";
import type { Connection, RegisteredPeer, Room } from "./room.ts";
import type { RoomKeeper } from "./room_keeper.ts";
import type { Rooms } from "./rooms.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** A server that says nothing for so long is dead, in milliseconds. */
const LEASE_MS = 6_000;
/** It says so as often, in milliseconds. */
const BEAT_MS = 1_500;

const SERVERS = `${PREFIX}servers`;
const leaseOf = (server: string): string => `${PREFIX}server:${server}`;
const peersOf = (server: string): string => `${PREFIX}peers:${server}`;

const undelivered = z.discriminatedUnion("type", [
  z.object({ type: z.literal("relay"), sender: z.string(), target: z.string() }),
  z.object({ type: z.literal("peer_message"), from_peer_id: z.string(), to_peer_id: z.string() }),
]);

/** What a cluster tells the queue. */
export interface ClusterEvents {
  /** This server leads the queue from now on; `peers` tells who is there, with any server. */
  gained(peers: () => RegisteredPeer[]): void;
  /** It does not any more: what it puts into the store no longer counts. `isLeaving`: it stops, and another is to lead. */
  lost(isLeaving: boolean): void;
  /** A peer of any server says something about a job; done when the answer is on its way. */
  job(peer: RegisteredPeer, text: string): void | Promise<void>;
}

/** What a cluster works with. */
export interface ClusterParts {
  store: RedisStore;
  rooms: Rooms;
  keeper: RoomKeeper;
  events: ClusterEvents;
}

/** This server's place among the others. */
export class Cluster {
  readonly #id = crypto.randomUUID();
  readonly #parts: ClusterParts;
  readonly #post: Post;
  readonly #others: RemotePeers;
  readonly #leadership: Leadership;
  readonly #forwarding: Forwarding;
  /** News are dealt with one after the other, and none while everything is read anew. */
  #work: Promise<void> = Promise.resolve();
  #beat: ReturnType<typeof setTimeout> | undefined;
  #isStopped = false;

  private constructor(parts: ClusterParts) {
    this.#parts = parts;
    const { link } = parts.store;
    this.#post = new Post(link);
    const connect = (server: string, room: string, peer: string): RemoteConnection =>
      new RemoteConnection(this.#post, this.#id, server, room, peer);
    this.#others = new RemotePeers(parts.rooms, connect);
    this.#leadership = new Leadership(link, this.#id, {
      gained: () => parts.events.gained(() => parts.rooms.everybody()),
      lost: () => parts.events.lost(this.#isStopped),
      changed: () => this.#forwarding.again(),
    });
    this.#forwarding = new Forwarding((number, peer, text) => this.#toLeader(number, peer, text));
    parts.store.jobGuard = () => this.#leadership.guard;
  }

  /** Joins the servers that share the store. Throws what Redis throws. */
  static async open(parts: ClusterParts): Promise<Cluster> {
    const cluster = new Cluster(parts);
    const { link } = parts.store;
    await link.hear("news", (text) => cluster.#then(() => cluster.#hear(text)));
    await link.hear(`to:${cluster.#id}`, (frame) => cluster.#take(frame));
    parts.rooms.watches.add({
      joined: (peer) => cluster.#announce(peer),
      changed: (peer) => cluster.#announce(peer),
      left: (peer) => cluster.#announceLeft(peer),
      roomChanged: (room) => cluster.#announceRoom(room),
      roomDeleted: (room) => cluster.#tell({ kind: "room_deleted", from: cluster.#id, room }),
    });
    link.onBack(() => cluster.#then(() => cluster.#synchronize()));
    await cluster.#synchronize();
    await cluster.#keepAlive();
    return cluster;
  }

  /** Whether this server leads the queue. */
  get leads(): boolean {
    return this.#leadership.isLeader;
  }

  /** Brings what a peer says about a job to the leader, now or when there is one; false when too much waits. */
  forward(peer: RegisteredPeer, text: string): boolean {
    return this.#forwarding.forward(peer, text);
  }

  /** Asks Redis about a room that this server does not know: another may just have made it. Throws while it is away. */
  async find(roomId: string): Promise<void> {
    const { store, rooms, keeper } = this.#parts;
    if (rooms.room(roomId) !== undefined) return;
    const record = await store.get("room", roomId);
    if (record !== undefined && rooms.room(roomId) === undefined) keeper.restore(roomId, record);
  }

  /** Leaves the other servers, so that they need not find out. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#beat);
    await this.#work;
    const { client } = this.#parts.store.link;
    try {
      await this.#leadership.release();
      await client.del([leaseOf(this.#id), peersOf(this.#id)]);
      await client.sRem(SERVERS, this.#id);
      await this.#publish({ kind: "gone", from: this.#id });
    } catch (error) {
      logger.debug("left without a word: {reason}", { reason: errorText(error) });
    }
  }

  #then(step: () => void | Promise<void>): void {
    this.#work = this.#work.then(() => this.#isStopped ? undefined : step()).catch((error) => {
      logger.warn("other servers: {reason}", { reason: errorText(error) });
    });
  }

  /** Says that this server lives, buries those that do not, and sees to the leadership; again and again. */
  async #keepAlive(): Promise<void> {
    const { client, isReady } = this.#parts.store.link;
    try {
      if (isReady) {
        const options = { expiration: { type: "PX", value: LEASE_MS }, GET: true } as const;
        const before = await client.set(leaseOf(this.#id), "1", options);
        // The others have taken it for dead.
        if (before === null) this.#then(() => this.#synchronize());
        await client.pExpire(peersOf(this.#id), LEASE_MS);
        this.#then(async () => void await this.#bury());
        await this.#leadership.renew();
      }
    } catch (error) {
      logger.debug("no sign of life: {reason}", { reason: errorText(error) });
    }
    if (!this.#isStopped) this.#beat = setTimeout(() => void this.#keepAlive(), BEAT_MS);
  }

  /** Tells everything that this server has, and reads everything that the others have. */
  async #synchronize(): Promise<void> {
    const { store, rooms, keeper } = this.#parts;
    const { client } = store.link;
    await client.set(leaseOf(this.#id), "1", { expiration: { type: "PX", value: LEASE_MS } });
    await client.sAdd(SERVERS, this.#id);
    await client.del(peersOf(this.#id));
    const own = rooms.everybody().filter(isOwn);
    for (const peer of own) await this.#publishPeer(peer, true);
    // Redis may have lost what it knew.
    for (const room of new Set(own.map(({ room }) => room))) await keeper.keep(room);
    for (const [id, record] of await store.all("room")) {
      if (rooms.room(id) === undefined) keeper.restore(id, record);
    }
    for (const server of await this.#bury()) {
      const records = Object.values(await client.hGetAll(peersOf(server)));
      this.#others.replace(server, records.flatMap(parseRecord));
    }
  }

  /** Forgets the servers that are dead; returns the other living ones. */
  async #bury(): Promise<string[]> {
    const { client } = this.#parts.store.link;
    const listed = await client.sMembers(SERVERS);
    const servers = [...new Set([...listed, ...this.#others.servers])].filter((each) => each !== this.#id);
    if (servers.length === 0) return [];
    const leases = await client.mGet(servers.map(leaseOf));
    for (const server of servers.filter((_, index) => leases[index] === null)) {
      logger.info("another server is gone, and its peers with it");
      this.#others.drop(server);
      await client.sRem(SERVERS, server);
      await client.del(peersOf(server));
    }
    return servers.filter((_, index) => leases[index] !== null);
  }

  #announce(peer: RegisteredPeer): void {
    if (this.#others.isApplying || !isOwn(peer)) return;
    this.#try(this.#publishPeer(peer));
  }

  async #publishPeer(peer: RegisteredPeer, again = false): Promise<void> {
    const record = recordOf(peer);
    const { client } = this.#parts.store.link;
    const kept = client.hSet(peersOf(this.#id), fieldOf(peer), JSON.stringify(record));
    // Both are sent at once, so that the order of changes is the order of news.
    await Promise.all([kept, this.#publish({ kind: "peer", from: this.#id, record, again })]);
  }

  #announceLeft(peer: RegisteredPeer): void {
    const { room, peerId, connection } = peer;
    if (connection instanceof RemoteConnection) {
      // Somebody asked this server to take it out; the one that has it does.
      if (!this.#others.isApplying) connection.expel();
      return;
    }
    this.#try(this.#parts.store.link.client.hDel(peersOf(this.#id), fieldOf(peer)));
    this.#tell({ kind: "left", from: this.#id, room: room.id, peer: peerId });
  }

  #announceRoom({ id, token }: Room): void {
    this.#tell({ kind: "room", from: this.#id, room: id, token });
  }

  #tell(news: News): void {
    if (!this.#others.isApplying) this.#try(this.#publish(news));
  }

  async #publish(news: News): Promise<void> {
    await this.#parts.store.link.publish("news", JSON.stringify(news));
  }

  /** What is not told now is told when Redis is back. */
  #try(work: Promise<unknown>): void {
    work.catch((error) => logger.debug("not told: {reason}", { reason: errorText(error) }));
  }

  #hear(text: string): void {
    const news = newsSchema.parse(JSON.parse(text));
    if (news.from === this.#id) return;
    const { rooms } = this.#parts;
    if (news.kind === "peer") return this.#hearOfPeer(news);
    if (news.kind === "left") return this.#others.remove(news.from, news.room, news.peer);
    if (news.kind === "gone") return this.#others.drop(news.from);
    this.#others.apply(() => {
      if (news.kind === "room_deleted") rooms.deleteRoom(news.room);
      else rooms.restore(news.room, news.token);
    });
  }

  #hearOfPeer({ from, record, again }: Extract<News, { kind: "peer" }>): void {
    const { store, rooms } = this.#parts;
    const own = rooms.room(record.room)?.peers.get(record.peer);
    this.#others.put(from, record, again);
    if (own === undefined || !isOwn(own) || rooms.peerOf(own.connection) === own) return;
    // It is with another server now.
    this.#try(store.link.client.hDel(peersOf(this.#id), fieldOf(own)));
  }

  /** Deals with what another server wants of this one. */
  #take(frame: string): void {
    try {
      const { order, text } = parseOrder(frame);
      if (order.kind === "job_done") return this.#forwarding.done(order.number);
      // Behind the news that its peer is there.
      if (order.kind === "job") return this.#then(() => this.#lead(order, text));
      const connection = this.#parts.rooms.room(order.room)?.peers.get(order.peer)?.connection;
      const own = connection instanceof RemoteConnection ? undefined : connection;
      if (order.kind === "expel") return void (own && this.#parts.rooms.disconnect(own));
      if (order.kind === "close") return own?.close?.(order.code, order.reason);
      if (!own?.send(text)) this.#tellUndelivered(order.room, text);
    } catch (error) {
      logger.warn("another server sent what is no order: {reason}", { reason: errorText(error) });
    }
  }

  /** The sender was told that it went well: only this server could see that it did not. */
  #tellUndelivered(room: string, text: string): void {
    const message = undelivered.safeParse(JSON.parse(text)).data;
    if (message === undefined) return;
    const isRelay = message.type === "relay";
    const [from, to] = isRelay
      ? [message.sender, message.target]
      : [message.from_peer_id, message.to_peer_id];
    const sender: Connection | undefined = this.#parts.rooms.room(room)?.peers.get(from)?.connection;
    const reason = `Failed to deliver message to ${to}`;
    if (!isRelay) return void (sender && sendError(sender, "DELIVERY_FAILED", reason));
    sender?.send(JSON.stringify({ type: "error", code: "DELIVERY_FAILED", message: reason, relay: to }));
  }

  #toLeader(number: number, peer: RegisteredPeer, text: string): void {
    const { leader } = this.#leadership;
    const [room, id] = [peer.room.id, peer.peerId];
    if (leader === this.#id) {
      this.#then(async () => {
        await this.#parts.events.job(peer, text);
        this.#forwarding.done(number);
      });
    } else if (leader !== undefined) {
      this.#post.send(leader, { kind: "job", from: this.#id, room, peer: id, number }, text);
    }
  }

  /** As the leader: does what a peer of another server asks. Who leads no more leaves it to the next. */
  async #lead(order: Extract<Order, { kind: "job" }>, text: string): Promise<void> {
    if (!this.leads) return;
    const peer = this.#parts.rooms.room(order.room)?.peers.get(order.peer);
    const connection = peer?.connection;
    if (connection instanceof RemoteConnection && connection.server === order.from) {
      await this.#parts.events.job(peer!, text);
    }
    this.#post.send(order.from, { kind: "job_done", from: this.#id, number: order.number });
  }
}

function isOwn({ connection }: RegisteredPeer): boolean {
  return !(connection instanceof RemoteConnection);
}

function fieldOf({ room, peerId }: RegisteredPeer): string {
  return JSON.stringify([room.id, peerId]);
}

function parseRecord(text: string): PeerRecord[] {
  const record = recordSchema.safeParse(JSON.parse(text));
  return record.success ? [record.data] : [];
}
