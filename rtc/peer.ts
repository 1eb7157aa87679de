/** The one wrapper of node-datachannel: nothing else in the project touches the native library. */
import { getLogger } from "@logtape/logtape";
import {
  cleanup,
  type DataChannel,
  getLibraryVersion,
  type IceServer as NativeIceServer,
  PeerConnection,
} from "node-datachannel";
import type { IceServer } from "../protocol/signaling.ts";
import { Channel } from "./channel.ts";
import { connectionHint, nativeIceServers } from "./ice.ts";
import { type Distance, tuneNextConnection } from "./sctp.ts";
import { bindingText, type CandidateAddress, candidatesOf, relaysOnly, splitCandidates } from "./sdp.ts";
import { ConnectionError } from "./transfer_error.ts";

const logger = getLogger(["sleap-rtc", "rtc"]);

/** Label that the Python worker expects nothing of and the Python client uses (PROTOCOL.md section 9.1). */
const CHANNEL_LABEL = "my-data-channel";
/** Gathering waits no longer than this for STUN and TURN servers that do not answer, in milliseconds. */
const GATHERING_LIMIT_MS = 3_000;
/** An answering peer adds the offer's candidates when connected, or after this many milliseconds. */
const HOLD_CANDIDATES_MS = 250;
/** After this many milliseconds a channel takes the best way there is, and not the first that was found. */
const SETTLED_MS = 1_000;
/** Payload that fits one Ethernet frame; measured best on loopback and the only steady one at 50 ms round trip. */
const MTU = 1450;

/** The library forgets what nothing refers to, and a transfer stalls: hold every peer until it is closed. */
const alive = new Set<Peer>();
/**
 * Connections that are never closed: the library can lock itself up in a handshake through a TURN server, and whoever
 * closes such a connection waits for ever (libdatachannel 0.24.5; mended in its source since).
 */
const abandoned = new Set<PeerConnection>();
/**
 * Channels whose end the library has not told of yet. It keeps a pointer to each until then and follows it in
 * `cleanup`, also when the channel was collected in between, and that ends the process (node-datachannel 0.33.4).
 */
const untold = new Set<DataChannel>();

/** How a peer connects. */
export interface PeerOptions {
  /** By preference: the first STUN server and the first two TURN servers that can be used are. Default: none. */
  iceServers?: readonly IceServer[];
  /**
   * Only from relay to relay: the other side needs a TURN server as well, and neither learns an address of the other.
   * Default: false.
   */
  relayOnly?: boolean;
  /** Default: near. */
  distance?: Distance;
}

/** The way that a connection takes. */
export interface Route {
  /** Milliseconds; undefined before it was measured. */
  rttMs: number | undefined;
  local: CandidateAddress;
  remote: CandidateAddress;
  /** `relay`: through at least one TURN server. */
  kind: "direct" | "relay";
}

/** One WebRTC connection with one data channel. Close it, or it stays for ever. */
export class Peer {
  readonly #native: PeerConnection;
  readonly #servers: readonly NativeIceServer[];
  readonly #relayOnly: boolean;
  #ownSdp: string | undefined;
  #theirSdp: string | undefined;
  /** Settles with the open channel; rejects with {@link ConnectionError} when the connection ends before. */
  readonly channel: Promise<Channel>;
  #resolveChannel!: (channel: Channel) => void;
  #rejectChannel!: (error: ConnectionError) => void;
  #resolveClosed!: (reason: string) => void;
  /** Settles, with the reason, when the connection failed or was closed. */
  readonly closed: Promise<string> = new Promise((resolve) => this.#resolveClosed = resolve);
  #dataChannel: DataChannel | undefined;
  #isOpen = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor({ iceServers = [], relayOnly = false, distance = "near" }: PeerOptions) {
    this.#servers = nativeIceServers(iceServers);
    this.#relayOnly = relayOnly;
    if (relayOnly && !this.#servers.some(({ relayType }) => relayType !== undefined)) {
      throw new ConnectionError(
        "only relayed connections are allowed, and no TURN server is known",
        "add one to ice_servers in [default] of the configuration, or to the signaling server: --ice-server",
      );
    }
    this.channel = new Promise((resolve, reject) => {
      this.#resolveChannel = resolve;
      this.#rejectChannel = reject;
    });
    // Nobody may be waiting yet when it fails.
    this.channel.catch(() => {});
    tuneNextConnection(distance);
    this.#native = new PeerConnection("sleap-rtc", {
      iceServers: [...this.#servers],
      iceTransportPolicy: relayOnly ? "relay" : "all",
      mtu: MTU,
    });
    this.#native.onStateChange((state) => {
      if (state === "failed" || state === "closed") this.#end(`the connection ${state}`);
    });
    alive.add(this);
  }

  /**
   * Begins a connection: the peer, and a complete offer (all candidates inside). Throws {@link ConnectionError} when
   * only relayed connections are allowed and there is no TURN server.
   */
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
   * Answers an offer, old form or new: the peer, and a complete answer. The offer's candidates, relays excepted, are
   * held back until its sender has reached us, or 250 ms: connecting both ways at once loses the first DTLS flight,
   * and that costs a second. Were relays held back, the answering side would be connected first, and an offering
   * side that goes through a relay of its own may then wait for ever (a deadlock in libdatachannel 0.24.5).
   * Throws {@link ConnectionError} for an SDP that the library refuses, and as {@link offer} does.
   */
  static async answer(offer: string, options: PeerOptions = {}): Promise<{ peer: Peer; sdp: string }> {
    const peer = new Peer(options);
    try {
      const { sdp, candidates } = splitCandidates(peer.#heard(offer));
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
      this.#native.setRemoteDescription(this.#heard(sdp), "answer");
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

  /**
   * The way that the packets take now: in a connection's first second it may still change for a better one.
   * Undefined before the connection is up and after its end. The library does not tell how many packets were lost or
   * sent again, nor the own address of a direct way where there are several: `local` is then the first of them.
   */
  route(): Route | undefined {
    const pair = alive.has(this) ? this.#native.getSelectedCandidatePair() : null;
    if (!pair) return undefined;
    const [local, remote] = [pair.local, pair.remote].map(({ type, address, port }) => ({
      type,
      address,
      port,
    }));
    if (!local || !remote) return undefined;
    // A relay whose packets came before word of it is taken for an address of the other side itself.
    const told = candidatesOf(this.#theirSdp ?? "").find(({ address, port }) =>
      address === remote.address && port === remote.port
    );
    if (told) remote.type = told.type;
    const kind = [local, remote].some(({ type }) => type === "relay") ? "relay" : "direct";
    return { rttMs: this.rttMs, local, remote, kind };
  }

  /** Closes channel and connection; `reason` is what those are told who wait. Harmless when closed. */
  close(reason = "it was closed here"): void {
    this.#end(reason);
  }

  /** Remembers the other side's description; what may be used of it. */
  #heard(sdp: string): string {
    this.#theirSdp = sdp;
    return this.#relayOnly ? relaysOnly(sdp) : sdp;
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
    return this.#ownSdp = description.sdp;
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
    untold.add(native);
    native.onClosed(() => untold.delete(native));
    // One channel a connection; a second one is not ours.
    if (this.#dataChannel) return native.close();
    this.#dataChannel = native;
    const opened = (): void => {
      const channel = new Channel(native);
      // The channel waits for the end from here on, and refers to it until then.
      untold.delete(native);
      const settled = setTimeout(() => this.#logRoute(), SETTLED_MS);
      void this.closed.then(() => clearTimeout(settled));
      this.#isOpen = true;
      this.#resolveChannel(channel);
      void channel.closed.then(() => this.#end("the data channel was closed"));
    };
    if (native.isOpen()) opened();
    else native.onOpen(opened);
  }

  #logRoute(): void {
    const route = this.route();
    if (!route) return;
    const [local, remote] = [route.local, route.remote].map(({ type, address, port }) =>
      `${type} ${address} port ${port}`
    );
    logger.debug("connected, {kind}: {local} to {remote}", { kind: route.kind, local, remote });
  }

  #end(reason: string): void {
    if (!alive.delete(this)) return;
    clearTimeout(this.#timer);
    const [servers, relayOnly, own, theirs] = [this.#servers, this.#relayOnly, this.#ownSdp, this.#theirSdp];
    const hint = connectionHint({ servers, relayOnly, own, theirs });
    this.#rejectChannel(new ConnectionError(`no data channel: ${reason}`, hint));
    this.#resolveClosed(reason);
    if (this.#mayBeStuck()) return void abandoned.add(this.#native);
    this.#dataChannel?.close();
    this.#native.close();
  }

  /** Whether there is a way to the other side and the handshake over it never ended. */
  #mayBeStuck(): boolean {
    const ice = this.#native.iceState();
    return !this.#isOpen && (ice === "connected" || ice === "completed") &&
      this.#native.state() === "connecting";
  }
}

/** Name and version of the native library. */
export function libraryVersion(): string {
  return `libdatachannel ${getLibraryVersion()}`;
}

/** Frees the native library's threads; the last call of a program that made peers. */
export function closeLibrary(): void {
  for (const peer of alive) peer.close();
  if (abandoned.size === 0) cleanup();
}
