import { setSctpSettings } from "node-datachannel";

/** How far the other side is, which decides how SCTP is tuned; both sides of a connection have to agree. */
export type Distance = "near" | "far";

const KIB = 1024;

/**
 * What `docs/performance.md` measured. Near: few acknowledgements, since each costs time on both processors. Far: an
 * acknowledgement for each packet, and windows of which several connections make a large one; a large window in one
 * connection collapses at each loss and recovers over minutes.
 */
const SETTINGS = {
  near: {
    recvBufferSize: 1024 * KIB,
    sendBufferSize: 1024 * KIB,
    delayedSackTime: 1,
    congestionControlModule: 0,
  },
  far: {
    recvBufferSize: 1024 * KIB,
    sendBufferSize: 1024 * KIB,
    delayedSackTime: 0,
    congestionControlModule: 1,
  },
} as const;

/** Sets what the next connection of this process is made with: the library reads it then, and only then. */
export function tuneNextConnection(distance: Distance): void {
  setSctpSettings(SETTINGS[distance]);
}
