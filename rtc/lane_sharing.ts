/** How a link's messages are shared out over its channels. */
import { ONE_LANE_WINDOW_BYTES, WINDOW_BYTES } from "../protocol/link.ts";
import type { Channel } from "./channel.ts";
import { LaneFlow } from "./lane_flow.ts";
import { LaneWatch } from "./lane_watch.ts";
import type { Outbox } from "./outbox.ts";

/** Lanes of a busy link to a far peer; more are used where packets are lost, and carry shorter messages. */
export const MANY_LANES = 8;
/** Bytes queued in each of several lanes, at most and to be filled up again: what waits there cannot go elsewhere. */
const WATER_MARKS = [512 * 1024, 256 * 1024] as const;
/** The same in a single lane, whose sender may be late to fill it up where the processors are busy. */
const ONE_LANE_WATER_MARKS = [4 * 1024 * 1024, 1024 * 1024] as const;
/** How often messages are looked for that are late on one of several lanes, in milliseconds. */
const LATE_LOOK_MS = 20;

/** One of the channels that a link uses. */
export class Lane {
  readonly channel: Channel;
  readonly watch: LaneWatch;
  /** What this side has under way on it. */
  readonly flow = new LaneFlow();
  /** Frames with messages that came over it. */
  arrived = 0;
  /** Bytes of them that the other side was not told of. */
  untoldBytes = 0;
  /** Whether its channel takes nothing more for now. */
  isBusy = false;
  isLost = false;

  constructor(channel: Channel) {
    this.channel = channel;
    this.watch = new LaneWatch(channel);
  }
}

/** The lanes of a link, and what goes over which. */
export class LaneSharing {
  readonly #outbox: Outbox<Lane>;
  readonly #onLost: (lane: Lane) => void;
  readonly #lanes = new Set<Lane>();
  #lateLook: ReturnType<typeof setInterval> | undefined;
  #stopped = false;
  #bytesSent = 0;

  /** `onLost` is called when nothing can be sent over a lane any more. */
  constructor(outbox: Outbox<Lane>, onLost: (lane: Lane) => void) {
    this.#outbox = outbox;
    this.#onLost = onLost;
  }

  get lanes(): ReadonlySet<Lane> {
    return this.#lanes;
  }

  /** Bytes of frames that were given to lanes. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  add(lane: Lane): void {
    this.#lanes.add(lane);
    this.#adapt();
  }

  remove(lane: Lane): void {
    this.#lanes.delete(lane);
    this.#adapt();
  }

  /** Nothing more is given to any lane. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#lateLook);
  }

  /** What is under way depends on whether there are several. */
  #adapt(): void {
    const isOne = this.#lanes.size < 2;
    this.#outbox.window = isOne ? ONE_LANE_WINDOW_BYTES : WINDOW_BYTES;
    for (const { channel } of this.#lanes) {
      channel.setWaterMarks(...(isOne ? ONE_LANE_WATER_MARKS : WATER_MARKS));
    }
    clearInterval(this.#lateLook);
    this.#lateLook = isOne || this.#stopped ? undefined : setInterval(() => this.#overtake(), LATE_LOOK_MS);
  }

  /** Gives waiting messages to the lanes, as fast as they take them. */
  pump(): void {
    for (let lane; !this.#stopped && (lane = this.#freeLane()) !== undefined;) {
      const frame = this.#outbox.next(lane);
      if (!frame) return;
      this.#give(lane, frame, () => this.pump());
    }
  }

  /** Of the lanes that take more, the one that has least under way. */
  #freeLane(): Lane | undefined {
    let least: Lane | undefined;
    for (const lane of this.#lanes) {
      if (this.#takesMore(lane) && (least === undefined || lane.flow.bytes < least.flow.bytes)) least = lane;
    }
    return least;
  }

  #takesMore({ isBusy, flow }: Lane): boolean {
    return !isBusy && !(this.#lanes.size > 1 && flow.isFull);
  }

  /** Sends a frame over a lane; `then` is called when that takes more. */
  #give(lane: Lane, frame: Uint8Array, then: () => void): void {
    this.#bytesSent += frame.length;
    lane.flow.sent(frame.length);
    lane.isBusy = true;
    lane.channel.send(frame).then(() => {
      lane.isBusy = false;
      then();
    }, () => this.#onLost(lane));
  }

  /** What is late on one of several lanes is sent over others, which have nothing to do. */
  #overtake(): void {
    if (this.#stopped || !this.#outbox.isFull) return;
    for (const lane of this.#lanes) {
      const frame = this.#takesMore(lane) ? this.#outbox.late(lane) : undefined;
      if (!frame) continue;
      this.#give(lane, frame, () => {
        this.pump();
        this.#overtake();
      });
    }
  }
}
