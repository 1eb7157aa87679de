/** The one wrapper of node-datachannel: nothing else in the project touches the native library. */
import {
  cleanup,
  type DataChannel,
  type IceServer as NativeIceServer,
  PeerConnection,
} from "node-datachannel";
import type { IceServer } from "../protocol/signaling.ts";
import { Channel } from "./channel.ts";
import { bindingText, splitCandidates } from "./sdp.ts";
import { ConnectionError } from "./transfer_error.ts";

/** Label that the Python worker expects nothing of and the Python client uses (PROTOCOL.md section 9.1). */
const CHANNEL_LABEL = "my-data-channel";
/** Gathering waits no longer than this for STUN and TURN servers that do not answer, in milliseconds. */
const GATHERING_LIMIT_MS = 3_000;
/** An answering peer adds the offer's candidates when connected, or after this many milliseconds. */
const HOLD_CANDIDATES_MS = 250;
/** Payload that fits one Ethernet frame; measured best on loopback and the only steady one at 50 ms round trip. */
const MTU = 1450;

/** The library forgets what nothing refers to, and a transfer stalls: hold every peer until it is closed. */
const alive = new Set<Peer>();

/** How a peer connects. */
export interface PeerOptions {
  iceServers?: readonly IceServer[];
}

/** `stun:host:port` and `turn:` URLs as the native library takes them; those over TLS or TCP are left out. */
function nativeIceServers(servers: readonly IceServer[]): (string | NativeIceServer)[] {
  return servers.flatMap(({ urls, username, credential }) =>
    [urls].flat().flatMap((url): (string | NativeIceServer)[] => {
      const found = /^(stun|turn):(\[[^\]]+\]|[^:?]+)(?::(\d+))?(?:\?transport=(\w+))?$/.exec(url);
      if (!found || (found[4] !== undefined && found[4] !== "udp")) return [];
      const [hostname, port] = [found[2]!, Number(found[3] ?? 3478)];
      if (found[1] === "stun") return [`stun:${hostname}:${port}`];
      return [{
        hostname,
        port,
        relayType: "TurnUdp",
        ...(username === undefined ? {} : { username }),
        ...(credential === undefined ? {} : { password: credential }),
      }];
    })
  );
}

/** One WebRTC connection with one data channel. Close it, or it stays for ever. */
export class Peer {
  readonly #native: PeerConnection;
  /** Settles with the open channel; rejects with {@link ConnectionError} when the connection ends before. */
  readonly channel: Promise<Channel>;
  #resolveChannel!: (channel: Channel) => void;
  #rejectChannel!: (error: ConnectionError) => void;
  #resolveClosed!: (reason: string) => void;
  /** Settles, with the reason, when the connection failed or was closed. */
  readonly closed: Promise<string> = new Promise((resolve) => this.#resolveClosed = resolve);
  #dataChannel: DataChannel | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor({ iceServers = [] }: PeerOptions) {
    this.channel = new Promise((resolve, reject) => {
      this.#resolveChannel = resolve;
      this.#rejectChannel = reject;
    });
    // Nobody may be waiting yet when it fails.
    this.channel.catch(() => {});
    this.#native = new PeerConnection("sleap-rtc", { iceServers: nativeIceServers(iceServers), mtu: MTU });
    this.#native.onStateChange((state) => {
      if (state === "failed" || state === "closed") this.#end(`the connection ${state}`);
    });
    alive.add(this);
  }

  /** Begins a connection: the peer, and a complete offer (all candidates inside). */
  static async offer(options: PeerOptions = {}): Promise<{ peer: Peer; sdp: string }> {
    const peer = new Peer(options);
    try {
      const gathered = peer.#gathered();
      peer.#take(peer.#native.createDataChannel(CHANNEL_LABEL));
      await gathered;
      return { peer, sdp: peer.#localSdp() };
    } catch (error) {
      peer.close();
      throw error;
    }
  }

  /**
   * Answers an offer, old form or new: the peer, and a complete answer. The offer's candidates are held back until
   * its sender has reached us, or 250 ms: connecting both ways at once loses the first DTLS flight, and that costs
   * a second. Throws {@link ConnectionError} for an SDP that the library refuses.
   */
  static async answer(offer: string, options: PeerOptions = {}): Promise<{ peer: Peer; sdp: string }> {
    const peer = new Peer(options);
    try {
      const { sdp, candidates } = splitCandidates(offer);
      peer.#native.onDataChannel((channel) => peer.#take(channel));
      const gathered = peer.#gathered();
      peer.#native.setRemoteDescription(sdp, "offer");
      await gathered;
      peer.#addLater(candidates);
      return { peer, sdp: peer.#localSdp() };
    } catch (error) {
      peer.close();
      throw new ConnectionError(`the offer was not understood: ${String(error)}`);
    }
  }

  /** Gives the offering peer its answer. Throws {@link ConnectionError} for an SDP that the library refuses. */
  acceptAnswer(sdp: string): void {
    try {
      this.#native.setRemoteDescription(sdp, "answer");
    } catch (error) {
      throw new ConnectionError(`the answer was not understood: ${String(error)}`);
    }
  }

  /** Round-trip time in milliseconds; undefined before the connection is up. */
  get rttMs(): number | undefined {
    const rtt = this.#native.rtt();
    return rtt > 0 ? rtt : undefined;
  }

  /**
   * The SHA-256 fingerprints of both ends' DTLS certificates, the offering end's first: the same text at both
   * ends exactly when nobody is in the middle. The remote one is of the certificate that DTLS saw, not what the
   * session description says of it. Throws {@link ConnectionError} unless the channel is open.
   */
  get binding(): string {
    const local = this.#native.localDescription();
    const { algorithm, value } = this.#native.remoteFingerprint();
    const text = local && bindingText(local, `${algorithm} ${value}`);
    if (!text) throw new ConnectionError("the connection has no SHA-256 fingerprints of both ends");
    return text;
  }

  /** Closes channel and connection. Harmless when closed. */
  close(): void {
    this.#end("it was closed here");
  }

  #gathered(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, GATHERING_LIMIT_MS);
      this.#native.onGatheringStateChange((state) => {
        if (state !== "complete") return;
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #localSdp(): string {
    const description = this.#native.localDescription();
    if (!description) throw new ConnectionError("the WebRTC library made no session description");
    return description.sdp;
  }

  #addLater(candidates: readonly { candidate: string; mid: string }[]): void {
    let added = false;
    const add = (): void => {
      if (added || !alive.has(this)) return;
      added = true;
      clearTimeout(this.#timer);
      for (const { candidate, mid } of candidates) {
        try {
          this.#native.addRemoteCandidate(candidate, mid);
        } catch {
          // One that the library cannot read is no loss: the others are tried.
        }
      }
    };
    this.#native.onIceStateChange((state) => {
      if (state === "connected" || state === "completed") add();
    });
    this.#timer = setTimeout(add, HOLD_CANDIDATES_MS);
  }

  #take(native: DataChannel): void {
    // One channel a connection; a second one is not ours.
    if (this.#dataChannel) return native.close();
    this.#dataChannel = native;
    const opened = (): void => {
      const channel = new Channel(native);
      this.#resolveChannel(channel);
      void channel.closed.then(() => this.#end("the data channel was closed"));
    };
    if (native.isOpen()) opened();
    else native.onOpen(opened);
  }

  #end(reason: string): void {
    if (!alive.delete(this)) return;
    clearTimeout(this.#timer);
    this.#rejectChannel(new ConnectionError(`no data channel: ${reason}`));
    this.#resolveClosed(reason);
    this.#dataChannel?.close();
    this.#native.close();
  }
}

/** Frees the native library's threads; the last call of a program that made peers. */
export function closeLibrary(): void {
  for (const peer of alive) peer.close();
  cleanup();
}
