import { EXTENSION } from "../protocol/extension.ts";
import type { Answer, Extension } from "../protocol/signaling.ts";
import { type Channel, keepAlive } from "../rtc/channel.ts";
import { Peer } from "../rtc/peer.ts";
import { ConnectionError } from "../rtc/transfer_error.ts";
import type { SignalingClient } from "../signaling/client.ts";
import { pause, peerGone } from "../signaling/presence.ts";

/** Our own workers are told that we live, and the Python ones as they expect, this often, in milliseconds. */
const KEEP_ALIVE_MS = 2_000;
const PYTHON_KEEP_ALIVE_MS = 15_000;
/** A busy worker is asked again after this long, in milliseconds … */
const BUSY_PAUSE_MS = 3_000;
/** … for so long in all: a Python worker needs half a minute to notice that its last client left. */
const BUSY_LIMIT_MS = 60_000;

/** An open channel to a worker. */
export interface Connection {
  channel: Channel;
  /** Whether the worker is this program, not the Python one. */
  isOurs: boolean;
  /** What the worker can do beyond PROTOCOL.md. */
  features: readonly string[];
  /** Closes the connection. */
  close(): void;
}

/** What the worker made of an offer. */
type Reaction = { answer: Answer } | "busy";

/**
 * Opens a data channel to a worker; while it serves another client, tries again for a minute.
 * Throws {@link ConnectionError}, `SignalingError`, the abort reason.
 */
export async function connectTo(
  signaling: SignalingClient,
  worker: string,
  timeoutMs: number,
  onInfo: (text: string) => void,
  signal: AbortSignal,
): Promise<Connection> {
  const deadline = performance.now() + BUSY_LIMIT_MS;
  for (;;) {
    const connection = await tryOnce(signaling, worker, timeoutMs, signal);
    if (connection !== "busy") return connection;
    if (performance.now() > deadline) {
      throw new ConnectionError(
        `worker ${worker} is still busy with another client`,
        "try again later, or another worker",
      );
    }
    onInfo(`worker ${worker} is busy with another client; trying again in ${BUSY_PAUSE_MS / 1000} s`);
    await pause(BUSY_PAUSE_MS, signal);
    signal.throwIfAborted();
  }
}

async function tryOnce(
  signaling: SignalingClient,
  worker: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Connection | "busy"> {
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
      sleap_rtc: EXTENSION,
    });
    if (!sent) throw new ConnectionError("the signaling server is gone");
    const taken = await reaction;
    if (taken === "busy") {
      peer.close();
      return "busy";
    }
    peer.acceptAnswer(taken.answer.sdp);
    const timer = setTimeout(() => peer.close(), timeoutMs);
    const stop = (): void => peer.close();
    signal.addEventListener("abort", stop);
    const channel = await peer.channel.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    });
    return watched(signaling, worker, peer, channel, taken.answer.sleap_rtc);
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
): Promise<Reaction> {
  try {
    return await signaling.next(
      (message): Reaction | undefined => {
        if (message.type === "answer" && message.sender === worker) return { answer: message };
        const refused = message.type === "peer_message" && message.from_peer_id === worker &&
          message.payload["app_message_type"] === "worker_busy";
        return refused ? "busy" : undefined;
      },
      timeoutMs,
      signal,
    );
  } catch (error) {
    signal.throwIfAborted();
    const known = await signaling.discover({}).catch(() => []);
    const there = known.some(({ peer_id }) => peer_id === worker);
    throw new ConnectionError(
      there ? `worker ${worker} did not answer` : `worker ${worker} is not in the room`,
      there
        ? "it may serve another client; try again in a minute"
        : `is it still running? (${String(error)})`,
    );
  }
}

function watched(
  signaling: SignalingClient,
  worker: string,
  peer: Peer,
  channel: Channel,
  extension: Extension | undefined,
): Connection {
  const isOurs = extension !== undefined;
  keepAlive(channel, isOurs ? KEEP_ALIVE_MS : PYTHON_KEEP_ALIVE_MS);
  const over = new AbortController();
  void channel.closed.then(() => over.abort());
  void peerGone(signaling, worker, () => channel.silentMs, over.signal).then(() => channel.close());
  return { channel, isOurs, features: extension?.features ?? [], close: () => peer.close() };
}
