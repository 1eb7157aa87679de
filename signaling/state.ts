import type { IceServer } from "../protocol/signaling.ts";
import type { Cluster } from "./cluster.ts";
import type { Guard } from "./guard.ts";
import type { Metrics } from "./metrics.ts";
import type { Origins } from "./origin.ts";
import type { Queue } from "./queue.ts";
import type { RelayPace } from "./relay_pace.ts";
import type { RoomKeeper } from "./room_keeper.ts";
import type { Rooms } from "./rooms.ts";
import type { Store } from "./store.ts";
import type { Tokens } from "./token.ts";

/** All that the parts of one signaling server share. */
export interface ServerState {
  readonly rooms: Rooms;
  readonly roomKeeper: RoomKeeper;
  /** The servers that share the store with this one; undefined where it is alone. */
  readonly cluster: Cluster | undefined;
  readonly tokens: Tokens;
  readonly iceServers: readonly IceServer[];
  readonly relayPace: RelayPace;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly metrics: Metrics;
  readonly guard: Guard;
  readonly origins: Origins;
  /** Whether a proxy in front tells where requests come from. */
  readonly trustProxy: boolean;
  /** Opens the administrator's API; without it there is none. */
  readonly adminKey: string | undefined;
  /** What outlives the process. */
  readonly store: Store;
  /** Leads jobs to workers. */
  readonly queue: Queue;
}
