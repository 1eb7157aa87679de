import { errorText } from "../config/user_error.ts";
import { extensionWith } from "../protocol/extension.ts";
import { LINK } from "../protocol/link.ts";
import type { Answer } from "../protocol/signaling.ts";
import { type Channel, keepAlive } from "../rtc/channel.ts";
import { Link, LinkUnknownError, newLinkId } from "../rtc/link.ts";
import { Peer } from "../rtc/peer.ts";
import { checkRoomProof, PeerProofError, provePeer } from "../rtc/peer_proof.ts";
import type { Pipe } from "../rtc/pipe.ts";
import { ConnectionError } from "../rtc/transfer_error.ts";
import type { SignalingClient } from "../signaling/client.ts";
import { pause, peerGone } from "../signaling/presence.ts";

/** Workers without links are told that we live this often, in milliseconds; the Python ones expect it. */
const KEEP_ALIVE_MS = 15_000;
/** A busy worker is asked again after this long, in milliseconds … */
const BUSY_PAUSE_MS = 3_000;
/** … for so long in all: a Python worker needs half a minute to notice that its last client left. */
const BUSY_LIMIT_MS = 60_000;
/** A lost connection is made again for so long, in milliseconds … */
const PATIENCE_MS = 600_000;
/** … with pauses of 0.5, 1, 2 … at most 15 s … */
const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 15_000;
/** … and the worker's answer is waited for so long each time, in milliseconds. */
const AGAIN_LIMIT_MS = 8_000;

/** How a worker is reached. */
export interface ConnectOptions {
  /** Milliseconds to wait for the worker's answer and for the connection, each. */
  timeoutMs: number;
  /** What both sides prove to know before anything else is said; undefined for no proof. */
  roomSecret: string | undefined;
  onInfo: (text: string) => void;
}

/** A connection to a worker. */
export interface Connection {
  pipe: Pipe;
  /** The same, with a worker that knows links: it outlives the loss of the network. */
  link: Link | undefined;
  /** Whether the worker is this program, not the Python one. */
  isOurs: boolean;
  /** What the worker can do beyond PROTOCOL.md. */
  features: readonly string[];
  /** Ends the connection on both sides. */
  close(): Promise<void>;
}

/** An open channel and what the worker says of itself. */
interface Dialled {
  peer: Peer;
  channel: Channel;
  /** Undefined for a Python worker. */
  features: readonly string[] | undefined;
}

/**
 * Connects to a worker; while it serves another client, tries again for a minute.
 * Throws {@link ConnectionError}, `SignalingError`, the abort reason.
 */
export async function connectTo(
  signaling: SignalingClient,
  worker: string,
  options: ConnectOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const deadline = performance.now() + BUSY_LIMIT_MS;
  for (;;) {
    const dialled = await dial(signaling, worker, options, signal);
    if (dialled !== "busy") return await connectionOver(dialled, signaling, worker, options, signal);
    if (performance.now() > deadline) {
      throw new ConnectionError(
        `worker ${worker} is still busy with another client`,
        "try again later, or another worker",
      );
    }
    options.onInfo(`worker ${worker} is busy with another client; trying again in ${BUSY_PAUSE_MS / 1000} s`);
    await pause(BUSY_PAUSE_MS, signal);
    signal.throwIfAborted();
  }
}

async function connectionOver(
  { peer, channel, features }: Dialled,
  signaling: SignalingClient,
  worker: string,
  options: ConnectOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const over = new AbortController();
  const link = features?.includes(LINK)
    ? new Link({
      id: newLinkId(),
      patienceMs: PATIENCE_MS,
      onDetached: () => void connectAgain(link!, signaling, worker, options, over.signal),
    })
    : undefined;
  try {
    if (link) await link.join(channel, signal);
    else keepAlive(channel, KEEP_ALIVE_MS);
  } catch (error) {
    peer.close();
    throw error;
  }
  const pipe = link ?? channel;
  void pipe.closed.then(() => over.abort());
  void peerGone(() => signaling, worker, () => pipe.silentMs, over.signal).then(() => pipe.close());
  return {
    pipe,
    link,
    isOurs: features !== undefined,
    features: features ?? [],
    async close(): Promise<void> {
      over.abort();
      await pipe.close();
      peer.close();
    },
  };
}

/** Gives a link that has lost its connection another one. Never throws: what does not work is tried again. */
async function connectAgain(
  link: Link,
  signaling: SignalingClient,
  worker: string,
  options: ConnectOptions,
  over: AbortSignal,
): Promise<void> {
  for (let pauseMs = FIRST_PAUSE_MS; !over.aborted; pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS)) {
    options.onInfo(`the connection to the worker is lost; trying again in ${pauseMs / 1000} s`);
    await pause(pauseMs, over);
    if (over.aborted) return;
    try {
      const dialled = await dial(signaling, worker, { ...options, timeoutMs: AGAIN_LIMIT_MS }, over);
      if (dialled === "busy") continue;
      await link.join(dialled.channel, over);
      return options.onInfo("connected to the worker again");
    } catch (error) {
      if (!over.aborted) options.onInfo(errorText(error));
      // Whoever fails the proof gets no second try to guess with.
      if (error instanceof LinkUnknownError || error instanceof PeerProofError) return await link.close();
    }
  }
}

/** Offers a connection. Throws {@link ConnectionError}, the abort reason. */
async function dial(
  signaling: SignalingClient,
  worker: string,
  { timeoutMs, roomSecret }: ConnectOptions,
  signal: AbortSignal,
): Promise<Dialled | "busy"> {
  const { peer, sdp } = await Peer.offer({ iceServers: signaling.iceServers });
  try {
    const reaction = waitForReaction(signaling, worker, timeoutMs, signal);
    // When the offer cannot be sent nobody waits for it.
    reaction.catch(() => {});
    const sent = signaling.send({
      type: "offer",
      sender: signaling.peerId,
      target: worker,
      sdp,
      sleap_rtc: extensionWith(roomSecret),
    });
    if (!sent) throw new ConnectionError("the signaling server is gone");
    const answer = await reaction;
    if (answer === "busy") {
      peer.close();
      return "busy";
    }
    checkRoomProof(roomSecret, answer.sleap_rtc?.features ?? []);
    peer.acceptAnswer(answer.sdp);
    const timer = setTimeout(() => peer.close(), timeoutMs);
    const stop = (): void => peer.close();
    signal.addEventListener("abort", stop);
    const channel = await peer.channel.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    });
    if (roomSecret !== undefined) {
      await provePeer(channel, { role: "client", secret: roomSecret, binding: peer.binding, signal });
    }
    return { peer, channel, features: answer.sleap_rtc?.features };
  } catch (error) {
    peer.close();
    signal.throwIfAborted();
    throw error;
  }
}

async function waitForReaction(
  signaling: SignalingClient,
  worker: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Answer | "busy"> {
  try {
    return await signaling.next(
      (message): Answer | "busy" | undefined => {
        if (message.type === "answer" && message.sender === worker) return message;
        const refused = message.type === "peer_message" && message.from_peer_id === worker &&
          message.payload["app_message_type"] === "worker_busy";
        return refused ? "busy" : undefined;
      },
      timeoutMs,
      signal,
    );
  } catch (error) {
    signal.throwIfAborted();
    const known = await signaling.discover({}, AGAIN_LIMIT_MS).catch(() => undefined);
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
