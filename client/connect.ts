import { errorText } from "../config/user_error.ts";
import { LINK } from "../protocol/link.ts";
import { keepAlive } from "../rtc/channel.ts";
import { Link, LinkUnknownError, newLinkId } from "../rtc/link.ts";
import { PeerProofError } from "../rtc/peer_proof.ts";
import type { Pipe } from "../rtc/pipe.ts";
import { ConnectionError } from "../rtc/transfer_error.ts";
import type { SignalingClient } from "../signaling/client.ts";
import { pause, peerGone } from "../signaling/presence.ts";
import { dial, type Dialled, type DialOptions } from "./dial.ts";
import { keepLanes } from "./lanes.ts";

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
export interface ConnectOptions extends DialOptions {
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
  dialled: Dialled,
  signaling: SignalingClient,
  worker: string,
  options: ConnectOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const { channel, features } = dialled;
  const began = performance.now();
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
    dialled.close();
    throw error;
  }
  if (link) {
    const roundTripMs = Math.min(performance.now() - began, dialled.route()?.rttMs ?? Infinity);
    const dialMore = (): Promise<Dialled | "busy"> => dial(signaling, worker, options, over.signal, "far");
    void keepLanes(link, roundTripMs, dialMore, over.signal);
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
      dialled.close();
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
