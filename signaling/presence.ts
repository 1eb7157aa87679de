import type { SignalingClient } from "./client.ts";

/** How often the server is asked about a silent peer, in milliseconds. */
const POLL_MS = 1_000;
/** A peer that has left the room counts as gone when its channel was silent for this long, in milliseconds. */
const SILENT_MS = 4_000;

/**
 * Settles when a peer is gone: it has left the room (the server sees a killed process at once, WebRTC after half a
 * minute) and its channel is silent. While the server is away nothing is concluded. Settles on abort, too.
 */
export async function peerGone(
  signaling: () => SignalingClient,
  peerId: string,
  silentMs: () => number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await pause(Math.max(POLL_MS, SILENT_MS - silentMs()), signal);
    const room = signaling();
    if (signal.aborted || silentMs() < SILENT_MS || !room.isConnected) continue;
    const peers = await room.discover().catch(() => undefined);
    if (peers && !peers.some((peer) => peer.peer_id === peerId) && silentMs() >= SILENT_MS) return;
  }
}

/** Waits so many milliseconds, or less when aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end);
  });
}
