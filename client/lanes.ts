/** How many connections a link uses: one where the worker is near, many where it is far (docs/performance.md). */
import { getLogger } from "@logtape/logtape";
import { errorText } from "../config/user_error.ts";
import type { Channel } from "../rtc/channel.ts";
import { MANY_LANES } from "../rtc/lane_sharing.ts";
import type { Link } from "../rtc/link.ts";
import { pause } from "../signaling/presence.ts";

const logger = getLogger(["sleap-rtc", "client"]);

/** What is looked at of a link, and done to it. */
export type LoadedLink = Pick<Link, "lanes" | "bytesSent" | "bytesReceived" | "join" | "trim">;

/** A connection more. */
export interface Lane {
  channel: Channel;
  close(): void;
}

/** From this round trip on, in milliseconds, one connection is not enough. */
const FAR_MS = 15;
/** How often the load is looked at, in milliseconds, … */
const LOOK_MS = 500;
/** … and how often where one connection may just have become too few. */
const FIRST_LOOK_MS = 50;
/** A link that moved so many bytes within a look is busy. */
const BUSY_BYTES = 1024 * 1024;
/** Connections of a busy link on whose way packets are lost; others have {@link MANY_LANES}. */
const MOST_LANES = 48;
/** Bytes that one connection has under way at most: what its receiver's buffer of 1 MiB lets through. */
const LANE_BYTES = 768 * 1024;
/** Less than this share of what the windows allow means that packets are lost, or that the way is narrow. */
const POOR = 0.35;
/** More connections must bring this much more, or they go again. */
const WORTH = 1.15;
/** Looks over which a rate is taken, and before those, in which it settles. */
const [RATE_LOOKS, SETTLE_LOOKS] = [3, 2];
/** Looks without load after which a link is at rest: one connection is enough for it. */
const IDLE_LOOKS = 60;

/**
 * Watches a link's load until it is over, and gives it more connections, or takes them away. Never throws: without more
 * connections a transfer is slow, not broken.
 */
export async function keepLanes(
  link: LoadedLink,
  roundTripMs: number,
  dialMore: () => Promise<Lane | "busy">,
  over: AbortSignal,
): Promise<void> {
  if (roundTripMs < FAR_MS) return;
  let [idle, wanted, moved] = [0, 1, 0];
  const rates: number[] = [];
  /** Bytes per look before the last increase; undefined when there is nothing to compare with. */
  let before: number | undefined;
  while (!over.aborted) {
    const bytes = await look(link, moved, wanted === 1 && idle < IDLE_LOOKS, over);
    const isBusy = bytes >= BUSY_BYTES;
    moved += bytes;
    idle = isBusy ? 0 : idle + 1;
    if (idle >= IDLE_LOOKS && wanted > 1) [wanted, rates.length] = [1, 0];
    else if (isBusy && wanted < MANY_LANES) [wanted, rates.length, before] = [MANY_LANES, 0, undefined];
    if (isBusy && link.lanes === wanted && rates.push(bytes) === SETTLE_LOOKS + RATE_LOOKS) {
      const rate = rates.splice(0).slice(SETTLE_LOOKS).reduce((sum, each) => sum + each, 0) / RATE_LOOKS;
      const most = MANY_LANES * LANE_BYTES * LOOK_MS / roundTripMs;
      if (wanted === MANY_LANES && before === undefined && rate < POOR * most) {
        [wanted, before] = [MOST_LANES, rate];
      } else if (wanted === MOST_LANES && rate < WORTH * (before ?? 0)) wanted = MANY_LANES;
    }
    if (link.lanes > wanted) link.trim(wanted);
    // A link without any connection is given one by whoever made it.
    else if (link.lanes > 0 && link.lanes < wanted) await addLanes(link, wanted - link.lanes, dialMore, over);
  }
}

/** Waits for the next look, which `isEarly` ends as soon as the link is busy; bytes moved since `moved`. */
async function look(link: LoadedLink, moved: number, isEarly: boolean, over: AbortSignal): Promise<number> {
  const step = isEarly ? FIRST_LOOK_MS : LOOK_MS;
  for (let waited = step;; waited += step) {
    await pause(step, over);
    const bytes = link.bytesSent + link.bytesReceived - moved;
    if (over.aborted || waited >= LOOK_MS || bytes >= BUSY_BYTES) return bytes;
  }
}

async function addLanes(
  link: LoadedLink,
  count: number,
  dialMore: () => Promise<Lane | "busy">,
  over: AbortSignal,
): Promise<void> {
  const add = async (): Promise<void> => {
    const dialled = await dialMore();
    if (dialled === "busy") return;
    await link.join(dialled.channel, over).catch((error: unknown) => {
      dialled.close();
      throw error;
    });
  };
  const added = await Promise.allSettled(Array.from({ length: count }, add));
  for (const each of added) {
    if (each.status === "fulfilled" || over.aborted) continue;
    logger.debug("one connection more was not made: {reason}", { reason: errorText(each.reason) });
  }
}
