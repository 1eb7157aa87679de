import { getLogger } from "@logtape/logtape";
import { errorText } from "../config/user_error.ts";
import { extensionWith } from "../protocol/extension.ts";
import { LINK, LINK_UNKNOWN } from "../protocol/link.ts";
import type { Offer } from "../protocol/signaling.ts";
import { type Channel, keepAlive } from "../rtc/channel.ts";
import { Link, readHello } from "../rtc/link.ts";
import { Peer } from "../rtc/peer.ts";
import { provePeer } from "../rtc/peer_proof.ts";
import type { Pipe } from "../rtc/pipe.ts";
import type { SignalingClient } from "../signaling/client.ts";
import type { EngineSettings } from "./engine_messages.ts";

const logger = getLogger(["sleap-rtc", "worker"]);

/** A client whose connection is lost is waited for so long, in milliseconds: a laptop may sleep or change networks. */
const PATIENCE_MS = 180_000;
/** Keep-alives to clients that have no link, in milliseconds. */
const KEEP_ALIVE_MS = 2_000;
/** Connections at once of one client, those that are being made included. */
const MAX_CHANNELS = 16;

/** The client that is served, and its connections: the first, those it makes when one is lost, and more for speed. */
export class ServedClient {
  readonly peerId: string;
  readonly #settings: EngineSettings;
  readonly #stop: AbortSignal;
  readonly #peers = new Set<Peer>();
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
      const hello = await readHello(channel, this.#stop);
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
    if (this.#stop.aborted) void this.close();
    else this.#stop.addEventListener("abort", () => void this.close(), { once: true });
    return this.#pipe;
  }

  /** Answers another offer of the same client: one more connection for its link. Never throws. */
  async reconnect(signaling: SignalingClient, offer: Offer): Promise<void> {
    if (this.#peers.size >= MAX_CHANNELS) return;
    try {
      const channel = await this.#answer(signaling, offer);
      const hello = await readHello(channel, this.#stop);
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
      logger.warn("{peer} did not connect again: {reason}", { peer: this.peerId, reason: errorText(error) });
    }
  }

  /** Ends what the client has here. */
  async close(): Promise<void> {
    await this.#pipe?.close();
    for (const peer of this.#peers) peer.close();
  }

  async #answer(signaling: SignalingClient, offer: Offer): Promise<Channel> {
    const { roomSecret, connectionTimeout } = this.#settings;
    const { peer, sdp } = await Peer.answer(offer.sdp, { iceServers: signaling.iceServers });
    this.#peers.add(peer);
    void peer.closed.then(() => this.#peers.delete(peer));
    const stop = (): void => peer.close();
    this.#stop.addEventListener("abort", stop, { once: true });
    if (this.#stop.aborted) stop();
    const timer = setTimeout(stop, connectionTimeout * 1000);
    try {
      signaling.send({
        type: "answer",
        sender: signaling.peerId,
        target: offer.sender,
        sdp,
        sleap_rtc: extensionWith(roomSecret),
      });
      const channel = await peer.channel;
      // Nothing is taken from whoever does not know it, whatever the offer says of features.
      if (roomSecret !== undefined) {
        await provePeer(channel, {
          role: "worker",
          secret: roomSecret,
          binding: peer.binding,
          signal: this.#stop,
        });
      }
      return channel;
    } catch (error) {
      peer.close();
      throw error;
    } finally {
      clearTimeout(timer);
      this.#stop.removeEventListener("abort", stop);
    }
  }
}
