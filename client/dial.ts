import { errorText } from "../config/user_error.ts";
import { extensionWith } from "../protocol/extension.ts";
import type { Answer, IceServer } from "../protocol/signaling.ts";
import { Channel } from "../rtc/channel.ts";
import { Peer, type Route } from "../rtc/peer.ts";
import { checkRoomProof, provePeer } from "../rtc/peer_proof.ts";
import { DIRECT_LIMIT_MS, RelayCarrier, type RelayPath } from "../rtc/relay_carrier.ts";
import { RelayKeyPair, type RelayKeys } from "../rtc/relay_keys.ts";
import type { Distance } from "../rtc/sctp.ts";
import { ConnectionError } from "../rtc/transfer_error.ts";
import type { SignalingClient } from "../signaling/client.ts";
import { relayPath } from "../signaling/relay.ts";

/** The server is asked who is there for so long, in milliseconds, when a worker did not answer. */
const ROOM_LIMIT_MS = 8_000;

/** How a worker is called. */
export interface DialOptions {
  /** Milliseconds to wait for the worker's answer and for the connection, each. */
  timeoutMs: number;
  /** What both sides prove to know before anything else is said; undefined for no proof. */
  roomSecret: string | undefined;
  /** STUN and TURN servers of the configuration, used before those that the signaling server tells of. */
  iceServers: readonly IceServer[];
  /** Connect through TURN servers only. */
  relayOnly: boolean;
  onInfo: (text: string) => void;
  /** What the connection is tuned for. Default: near. */
  distance?: Distance;
  /** `look`: to begin no job, which a busy worker allows as well. Default: job. */
  purpose?: "job" | "look";
  /** Not over the signaling server. Default: false. */
  directOnly?: boolean;
}

/** An open channel, and what the worker says of itself. */
export interface Dialled {
  channel: Channel;
  /** Whether it goes over the signaling server. */
  isRelayed: boolean;
  /** The way it takes now; undefined over the signaling server, and when it is closed. */
  route(): Route | undefined;
  /** Undefined for a Python worker. */
  features: readonly string[] | undefined;
  /** Ends the connection below the channel. */
  close(): void;
}

/** A way to the worker that is open. */
interface Way {
  channel: Channel;
  /** What the proof of the room secret is bound to. */
  binding: string;
  isRelayed: boolean;
  route(): Route | undefined;
  close(): void;
}

/**
 * Offers a connection to a worker: direct or over TURN, and where that leads nowhere over the signaling server, end to
 * end encrypted. Throws {@link ConnectionError}, `PeerProofError`, the abort reason.
 */
export async function dial(
  signaling: SignalingClient,
  worker: string,
  options: DialOptions,
  signal: AbortSignal,
): Promise<Dialled | "busy"> {
  const { timeoutMs, roomSecret, relayOnly, distance = "near", purpose = "job", directOnly = false } =
    options;
  const iceServers = [...options.iceServers, ...signaling.iceServers];
  const { peer, sdp } = await Peer.offer({ iceServers, relayOnly, distance });
  const relay = new RelayKeyPair();
  const attempt = crypto.randomUUID();
  let way: Way | undefined;
  try {
    const reaction = waitForReaction(signaling, worker, attempt, timeoutMs, signal);
    // When the offer cannot be sent nobody waits for it.
    reaction.catch(() => {});
    const sent = signaling.send({
      type: "offer",
      sender: signaling.peerId,
      target: worker,
      sdp,
      sleap_rtc: { ...extensionWith(roomSecret), attempt, relay: relay.publicKey, distance, purpose },
    });
    if (!sent) throw signaling.refusal ?? new ConnectionError("the signaling server is gone");
    const answer = await reaction;
    if (answer === "busy") {
      peer.close();
      return "busy";
    }
    const { features, relay: theirs } = answer.sleap_rtc ?? {};
    checkRoomProof(roomSecret, features ?? []);
    peer.acceptAnswer(answer.sdp);
    const keys = theirs === undefined || directOnly ? undefined : relay.agree("client", theirs);
    way = await openWay(peer, keys, signaling, worker, options, signal);
    const { channel, binding } = way;
    if (roomSecret !== undefined) {
      await provePeer(channel, { role: "client", secret: roomSecret, binding, signal });
    }
    return { ...way, features };
  } catch (error) {
    way?.close();
    peer.close();
    signal.throwIfAborted();
    throw error;
  }
}

async function openWay(
  peer: Peer,
  keys: RelayKeys | undefined,
  signaling: SignalingClient,
  worker: string,
  { timeoutMs, onInfo }: DialOptions,
  signal: AbortSignal,
): Promise<Way> {
  const limit = keys ? Math.min(timeoutMs, DIRECT_LIMIT_MS) : timeoutMs;
  try {
    const giveUp = (): void => peer.close(`not connected within ${limit / 1000} s`);
    const channel = await inTime(peer.channel, giveUp, limit, signal);
    return {
      channel,
      binding: peer.binding,
      isRelayed: false,
      route: () => peer.route(),
      close: () => peer.close(),
    };
  } catch (error) {
    signal.throwIfAborted();
    if (!keys) throw error;
    try {
      const way = await openRelay(relayPath(signaling, worker), keys, timeoutMs, signal);
      onInfo("no direct way to the worker: the connection goes over the signaling server, encrypted");
      return way;
    } catch (relayError) {
      signal.throwIfAborted();
      const hint = error instanceof ConnectionError ? error.hint : undefined;
      throw new ConnectionError(`${errorText(error)}; ${errorText(relayError)}`, hint);
    }
  }
}

async function openRelay(
  path: RelayPath,
  keys: RelayKeys,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Way> {
  const carrier = new RelayCarrier(path, keys);
  const close = (): void => carrier.close();
  await inTime(carrier.opened, close, timeoutMs, signal);
  return {
    channel: new Channel(carrier),
    binding: keys.binding,
    isRelayed: true,
    route: () => undefined,
    close,
  };
}

/** Waits for what fails by itself when `give up` is called: after a while, or when aborted. */
async function inTime<Opened>(
  opened: Promise<Opened>,
  giveUp: () => void,
  limitMs: number,
  signal: AbortSignal,
): Promise<Opened> {
  const timer = setTimeout(giveUp, limitMs);
  signal.addEventListener("abort", giveUp);
  try {
    return await opened;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
  }
}

async function waitForReaction(
  signaling: SignalingClient,
  worker: string,
  attempt: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Answer | "busy"> {
  try {
    return await signaling.next(
      (message): Answer | "busy" | undefined => {
        if (message.type === "answer" && message.sender === worker) {
          // A Python worker does not say which offer it answers.
          return (message.sleap_rtc?.attempt ?? attempt) === attempt ? message : undefined;
        }
        const refused = message.type === "peer_message" && message.from_peer_id === worker &&
          message.payload["app_message_type"] === "worker_busy";
        return refused ? "busy" : undefined;
      },
      timeoutMs,
      signal,
    );
  } catch (error) {
    signal.throwIfAborted();
    const known = await signaling.discover({}, ROOM_LIMIT_MS).catch(() => undefined);
    if (!known) {
      // A connection that the network has forgotten looks open for minutes.
      signaling.renew();
      throw new ConnectionError("the signaling server does not answer");
    }
    const there = known.some(({ peer_id }) => peer_id === worker);
    throw new ConnectionError(
      there ? `worker ${worker} did not answer` : `worker ${worker} is not in the room`,
      there
        ? "it may serve another client; try again in a minute"
        : `is it still running? (${String(error)})`,
    );
  }
}
