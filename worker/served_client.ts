import { getLogger } from "@logtape/logtape";
import { reasonOf } from "../config/user_error.ts";
import { extensionWith } from "../protocol/extension.ts";
import { type Hello, LINK, LINK_UNKNOWN, MAX_LANES } from "../protocol/link.ts";
import type { Offer } from "../protocol/signaling.ts";
import { Channel, keepAlive } from "../rtc/channel.ts";
import { readHello } from "../rtc/hello.ts";
import { Link } from "../rtc/link.ts";
import { Peer } from "../rtc/peer.ts";
import { provePeer } from "../rtc/peer_proof.ts";
import type { Pipe } from "../rtc/pipe.ts";
import { DIRECT_LIMIT_MS, RelayCarrier } from "../rtc/relay_carrier.ts";
import { RelayKeyPair, type RelayKeys } from "../rtc/relay_keys.ts";
import { ConnectionError } from "../rtc/transfer_error.ts";
import type { SignalingClient } from "../signaling/client.ts";
import { relayPath } from "../signaling/relay.ts";
import type { EngineSettings } from "./engine_messages.ts";

const logger = getLogger(["sleap-rtc", "worker"]);

/** A client whose connection is lost is waited for so long, in milliseconds: a laptop may sleep or change networks. */
const PATIENCE_MS = 180_000;
/** Keep-alives to clients that have no link, in milliseconds. */
const KEEP_ALIVE_MS = 2_000;

/** The client that is served, and its connections: the first, those it makes when one is lost, and more for speed. */
export class ServedClient {
  readonly peerId: string;
  readonly #settings: EngineSettings;
  readonly #stop: AbortSignal;
  readonly #ways = new Set<Way>();
  #link: Link | undefined;
  #pipe: Pipe | undefined;

  /** `stop` ends all connections. */
  constructor(peerId: string, stop: AbortSignal, settings: EngineSettings) {
    this.peerId = peerId;
    this.#stop = stop;
    this.#settings = settings;
  }

  /**
   * Answers the client's first offer. The link on which it will speak; a plain channel for one that knows no links.
   * Throws `ConnectionError`.
   */
  async connect(signaling: SignalingClient, offer: Offer): Promise<Pipe> {
    const channel = await this.#answer(signaling, offer);
    if (offer.sleap_rtc?.features.includes(LINK)) {
      const hello = await readHelloOrClose(channel, this.#stop);
      this.#link = new Link({
        id: hello.id,
        patienceMs: PATIENCE_MS,
        onDetached: () =>
          logger.warn("the connection to {peer} is lost; waiting for it", { peer: this.peerId }),
      });
      await this.#link.welcome(channel, hello);
      this.#pipe = this.#link;
    } else {
      if (offer.sleap_rtc) keepAlive(channel, KEEP_ALIVE_MS);
      this.#pipe = channel;
    }
    const stop = (): void => void this.close();
    if (this.#stop.aborted) stop();
    else this.#stop.addEventListener("abort", stop, { once: true });
    void this.#pipe.closed.then(() => this.#stop.removeEventListener("abort", stop));
    return this.#pipe;
  }

  /** Answers another offer of the same client: one more connection for its link. Never throws. */
  async reconnect(signaling: SignalingClient, offer: Offer): Promise<void> {
    if (this.#ways.size >= MAX_LANES) return;
    try {
      const channel = await this.#answer(signaling, offer);
      const hello = await readHelloOrClose(channel, this.#stop);
      if (this.#link?.isOpen && hello.id === this.#link.id) {
        const wasLost = this.#link.lanes === 0;
        await this.#link.welcome(channel, hello);
        if (wasLost) logger.info("client {peer} is back", { peer: this.peerId });
      } else {
        await channel.send(LINK_UNKNOWN);
        await channel.flush(AbortSignal.timeout(1_000)).catch(() => {});
        await channel.close();
      }
    } catch (error) {
      logger.warn("{peer} did not connect again: {reason}", { peer: this.peerId, ...reasonOf(error) });
    }
  }

  /** Ends what the client has here. */
  async close(): Promise<void> {
    await this.#pipe?.close();
    for (const way of this.#ways) way.close();
  }

  /** Answers an offer, and waits until the client has come one way or the other, and has proven itself. */
  async #answer(signaling: SignalingClient, offer: Offer): Promise<Channel> {
    const { roomSecret, connectionTimeout } = this.#settings;
    const { peer, sdp } = await Peer.answer(offer.sdp, {
      iceServers: [...this.#settings.iceServers, ...signaling.iceServers],
      relayOnly: this.#settings.relayOnly,
      distance: offer.sleap_rtc?.distance ?? "near",
    });
    const ways: Way[] = [{
      opened: peer.channel,
      closed: peer.closed,
      binding: () => peer.binding,
      close: () => peer.close(),
    }];
    const relay = new RelayKeyPair();
    // It has to listen before the client knows of it.
    if (offer.sleap_rtc?.relay !== undefined) {
      ways.push(relayWay(signaling, offer.sender, relay.agree("worker", offer.sleap_rtc.relay)));
    }
    const closeAll = (): void => ways.forEach((way) => way.close());
    const stop = (): void => closeAll();
    this.#stop.addEventListener("abort", stop, { once: true });
    if (this.#stop.aborted) stop();
    // A client that finds no direct way goes over the signaling server after a while.
    const timer = setTimeout(closeAll, connectionTimeout * 1000 + DIRECT_LIMIT_MS);
    try {
      signaling.send({
        type: "answer",
        sender: signaling.peerId,
        target: offer.sender,
        sdp,
        sleap_rtc: {
          ...extensionWith(roomSecret),
          ...(offer.sleap_rtc?.attempt === undefined ? {} : { attempt: offer.sleap_rtc.attempt }),
          relay: relay.publicKey,
        },
      });
      const { way, channel } = await firstOpen(ways);
      for (const other of ways) if (other !== way) other.close();
      this.#ways.add(way);
      void way.closed.then(() => this.#ways.delete(way));
      // Nothing is taken from whoever does not know it, whatever the offer says of features.
      if (roomSecret !== undefined) {
        await provePeer(channel, {
          role: "worker",
          secret: roomSecret,
          binding: way.binding(),
          signal: this.#stop,
        });
      }
      return channel;
    } catch (error) {
      closeAll();
      throw error;
    } finally {
      clearTimeout(timer);
      this.#stop.removeEventListener("abort", stop);
    }
  }
}

/** A channel on which no hello comes is of no use; closing it ends the connection below it. */
async function readHelloOrClose(channel: Channel, signal: AbortSignal): Promise<Hello> {
  try {
    return await readHello(channel, signal);
  } catch (error) {
    channel.close();
    throw error;
  }
}

/** A way on which a client may come. */
interface Way {
  /** Rejects when it ends before. */
  opened: Promise<Channel>;
  closed: Promise<unknown>;
  /** What the proof of the room secret is bound to, once it is open. */
  binding(): string;
  close(): void;
}

function relayWay(signaling: SignalingClient, client: string, keys: RelayKeys): Way {
  const carrier = new RelayCarrier(relayPath(signaling, client), keys);
  const opened = carrier.opened.then(() => {
    logger.info("{peer} comes over the signaling server", { peer: client });
    return new Channel(carrier);
  });
  opened.catch(() => {});
  return { opened, closed: carrier.closed, binding: () => keys.binding, close: () => carrier.close() };
}

/** The first way that opens. Throws the first way's error when none does. */
async function firstOpen(ways: readonly Way[]): Promise<{ way: Way; channel: Channel }> {
  try {
    return await Promise.any(ways.map(async (way) => ({ way, channel: await way.opened })));
  } catch {
    await ways[0]?.opened;
    throw new ConnectionError("the client did not come");
  }
}
