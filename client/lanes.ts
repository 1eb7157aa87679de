/** How many connections a link uses: one where the worker is near, many where it is far (docs/performance.md). */
import { getLogger } from "@logtape/logtape";
import { errorText } from "../config/user_error.ts";
import { MAX_LANES } from "../protocol/link.ts";
import type { Channel } from "../rtc/channel.ts";
import { MANY_LANES } from "../rtc/lane_sharing.ts";
import type { Link } from "../rtc/link.ts";
import { pause } from "../signaling/presence.ts";

const logger = getLogger(["sleap-rtc", "client"]);

/** What is looked at of a link, and done to it. */
export type LoadedLink = Pick<Link, "lanes" | "bytesSent" | "bytesReceived" | "bytesDone" | "join" | "trim">;

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
/** Bytes that one connection has under way at most: what its receiver's buffer of 1 MiB lets through. */
const LANE_BYTES = 768 * 1024;
/** Less than this share of what the windows allow means that packets are lost, or that the way is narrow. */
const POOR = 0.35;
/** On a narrow way packets wait: round trips get longer than this share of the shortest, and so many milliseconds. */
const [CALM_SHARE, CALM_MS] = [1.1, 3];
/** More connections must bring this much more, or they go again. */
const WORTH = 1.15;
/** Looks in which a number of connections settles, and then those over which it is measured. */
const [SETTLE_LOOKS, RATE_LOOKS] = [2, 3];
/** Looks without load after which a link is at rest: one connection is enough for it. */
const IDLE_LOOKS = 60;

/** What a number of connections brings. */
interface Yield {
  /** Bytes per look. */
  rate: number;
  /** The longest round trip meanwhile, in milliseconds. */
  roundTripMs: number;
}

/** Measures what a number of connections brings, again and again. */
class Meter {
  #looks = 0;
  #from = 0;
  #roundTripMs = 0;

  /** Takes a look, at which so many bytes were done with; returns what was found when there were enough looks. */
  take(done: number, roundTripMs: number): Yield | undefined {
    this.#looks++;
    this.#roundTripMs = Math.max(this.#roundTripMs, roundTripMs);
    if (this.#looks === SETTLE_LOOKS) this.#from = done;
    if (this.#looks < SETTLE_LOOKS + RATE_LOOKS) return undefined;
    const found = { rate: (done - this.#from) / RATE_LOOKS, roundTripMs: this.#roundTripMs };
    [this.#looks, this.#roundTripMs] = [0, 0];
    return found;
  }
}

/**
 * Finds how many connections a busy link needs. Where packets are lost each has a rate of its own, and more of them add
 * up; on a narrow way more would only lose more.
 */
class Search {
  readonly #meter = new Meter();
  #shortestMs: number;
  #wanted = MANY_LANES;
  /** What fewer brought, in bytes per look; undefined unless more were just made. */
  #before: number | undefined;
  /** Trials in a row that brought nothing, and what is still to be measured until the next. */
  #failures = 0;
  #wait = 0;

  constructor(roundTripMs: number) {
    this.#shortestMs = roundTripMs;
  }

  get wanted(): number {
    return this.#wanted;
  }

  /** Takes a look at a busy link that has all connections that are wanted. */
  look(done: number, roundTripMs: number): void {
    this.#shortestMs = Math.min(this.#shortestMs, roundTripMs);
    const found = this.#meter.take(done, roundTripMs);
    if (found && this.#before !== undefined) this.#judge(found.rate);
    else if (found && this.#wanted === MANY_LANES) this.#consider(found);
  }

  #judge(rate: number): void {
    const isWorth = rate >= WORTH * this.#before!;
    this.#before = undefined;
    this.#failures = isWorth ? 0 : this.#failures + 1;
    if (isWorth) return;
    // It may have come too early. But each trial costs something.
    this.#wait = 2 ** this.#failures;
    this.#wanted = MANY_LANES;
  }

  #consider({ rate, roundTripMs }: Yield): void {
    const isPoor = rate < POOR * MANY_LANES * LANE_BYTES * LOOK_MS / this.#shortestMs;
    const isCalm = roundTripMs <= CALM_SHARE * this.#shortestMs + CALM_MS;
    if (this.#wait > 0) this.#wait--;
    else if (isPoor && isCalm) [this.#wanted, this.#before] = [MAX_LANES, rate];
  }
}

/**
 * Watches a link's load until it is over, and gives it more connections, or takes them away. `shortestMs` is the round
 * trip of the way at rest, `roundTripMs` tells how long it is now, undefined when that is not known. Never throws:
 * without more connections a transfer is slow, not broken.
 */
export async function keepLanes(
  link: LoadedLink,
  shortestMs: number,
  roundTripMs: () => number | undefined,
  dialMore: () => Promise<Lane | "busy">,
  over: AbortSignal,
): Promise<void> {
  if (shortestMs < FAR_MS) return;
  let [idle, moved] = [0, 0];
  /** Undefined while the link is at rest. */
  let search: Search | undefined;
  while (!over.aborted) {
    const bytes = await look(link, moved, !search && idle < IDLE_LOOKS, over);
    const isBusy = bytes >= BUSY_BYTES;
    moved += bytes;
    idle = isBusy ? 0 : idle + 1;
    if (idle >= IDLE_LOOKS) search = undefined;
    else if (isBusy) search ??= new Search(shortestMs);
    if (isBusy && link.lanes === search?.wanted) search.look(link.bytesDone, roundTripMs() ?? shortestMs);
    const wanted = search?.wanted ?? 1;
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
