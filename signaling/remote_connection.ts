import { MAX_WAITING_BYTES } from "./connection.ts";
import { formatOrder, type Order } from "./cluster_messages.ts";
import type { RedisLink } from "./redis_link.ts";
import type { Connection } from "./room.ts";

/** What one server sends to others, in order, and how much of it is still on its way to Redis. */
export class Post {
  readonly #link: RedisLink;
  #unsentChars = 0;

  constructor(link: RedisLink) {
    this.#link = link;
  }

  get isOpen(): boolean {
    return this.#link.isReady;
  }

  /** Hands an order to a server, unless so many bytes wait already; false when it cannot. */
  send(server: string, order: Order, text = "", maxUnsent = MAX_WAITING_BYTES): boolean {
    if (!this.isOpen || this.#unsentChars > maxUnsent) return false;
    const frame = formatOrder(order, text);
    this.#unsentChars += frame.length;
    // What is lost with Redis is lost like what a socket had not sent.
    this.#link.publish(`to:${server}`, frame).catch(() => {}).finally(() =>
      this.#unsentChars -= frame.length
    );
    return true;
  }
}

/** The way to a peer whose socket another server has. */
export class RemoteConnection implements Connection {
  readonly #post: Post;
  readonly #from: string;
  readonly server: string;
  readonly room: string;
  readonly peer: string;

  constructor(post: Post, from: string, server: string, room: string, peer: string) {
    this.#post = post;
    this.#from = from;
    this.server = server;
    this.room = room;
    this.peer = peer;
  }

  get isOpen(): boolean {
    return this.#post.isOpen;
  }

  send(text: string, maxUnsentBytes?: number): boolean {
    return this.#post.send(this.server, { kind: "deliver", ...this.#whom }, text, maxUnsentBytes);
  }

  close(code: number, reason: string): void {
    this.#post.send(this.server, { kind: "close", ...this.#whom, code, reason });
  }

  /** Has its server take the peer out of the room. */
  expel(): void {
    this.#post.send(this.server, { kind: "expel", ...this.#whom });
  }

  get #whom(): { from: string; room: string; peer: string } {
    return { from: this.#from, room: this.room, peer: this.peer };
  }
}
