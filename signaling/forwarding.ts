import type { RegisteredPeer } from "./room.ts";

/** So many messages can wait for a leader; more are refused. */
const MAX_WAITING = 10_000;

/**
 * What peers of this server say about jobs, on its way to the server that leads the queue. It waits while nobody
 * leads, and goes again to the next leader when the present one did not get to it: saying it twice does no harm.
 */
export class Forwarding {
  readonly #send: (number: number, peer: RegisteredPeer, text: string) => void;
  readonly #waiting = new Map<number, { peer: RegisteredPeer; text: string }>();
  #last = 0;

  /** `send` brings one message to the present leader, or does nothing while there is none. */
  constructor(send: (number: number, peer: RegisteredPeer, text: string) => void) {
    this.#send = send;
  }

  /** Takes a message of a peer; false when too many wait. */
  forward(peer: RegisteredPeer, text: string): boolean {
    if (this.#waiting.size >= MAX_WAITING) return false;
    this.#waiting.set(++this.#last, { peer, text });
    this.#send(this.#last, peer, text);
    return true;
  }

  /** The leader has dealt with a message. */
  done(number: number): void {
    this.#waiting.delete(number);
  }

  /** Another server leads, or the same one again: what waits goes there, in order. */
  again(): void {
    for (const [number, { peer, text }] of [...this.#waiting]) {
      // Who has left says it again when it is back.
      if (peer.room.peers.get(peer.peerId) === peer) this.#send(number, peer, text);
      else this.#waiting.delete(number);
    }
  }
}
