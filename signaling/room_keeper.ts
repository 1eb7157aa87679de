import { getLogger } from "@logtape/logtape";
import { z } from "zod";
import { reasonOf } from "../config/user_error.ts";
import type { Room } from "./room.ts";
import type { Rooms, RoomsWatch } from "./rooms.ts";
import type { Store } from "./store.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** A room as the store has it. */
const recordSchema = z.object({
  token: z.string().min(1),
  /** Seconds since the epoch; null while somebody is in it, who will be back when the server is. */
  expires_at: z.number().nullable(),
});

/** Keeps the rooms of a server in its store, so that they outlive it. */
export class RoomKeeper {
  readonly #store: Store;
  readonly #rooms: Rooms;
  readonly #watch: RoomsWatch = {
    roomChanged: (room) => this.#try(room.id, this.keep(room)),
    roomDeleted: (id) => this.#try(id, this.#store.delete("room", id)),
  };

  private constructor(store: Store, rooms: Rooms) {
    this.#store = store;
    this.#rooms = rooms;
  }

  /** Puts the remembered rooms back, but those that are long expired, and keeps them from now on. */
  static async open(store: Store, rooms: Rooms): Promise<RoomKeeper> {
    const keeper = new RoomKeeper(store, rooms);
    for (const [id, value] of await store.all("room")) keeper.restore(id, value);
    rooms.watches.add(keeper.#watch);
    rooms.sweep();
    return keeper;
  }

  /** Puts a room back as the store has it; false for what is no room. */
  restore(id: string, value: unknown): boolean {
    const record = recordSchema.safeParse(value);
    if (!record.success) {
      logger.error("room {room} of the store is broken and left out", { room: id });
      return false;
    }
    this.#rooms.restore(id, record.data.token, record.data.expires_at ?? undefined);
    return true;
  }

  /** A new room, which the store has; undefined when there are too many. Throws what the store throws. */
  async create(): Promise<Room | undefined> {
    const room = this.#rooms.create();
    if (room === undefined) return undefined;
    try {
      await this.keep(room);
    } catch (error) {
      this.#rooms.deleteRoom(room.id);
      throw error;
    }
    return room;
  }

  /** Keeps the rooms as they are now: whom a stopping server sends away is expected back. */
  stop(): void {
    this.#rooms.watches.delete(this.#watch);
  }

  /** Puts a room into the store as it is now. */
  async keep({ id, token, peers, expiresAt }: Room): Promise<void> {
    const record: z.infer<typeof recordSchema> = { token, expires_at: peers.size > 0 ? null : expiresAt };
    await this.#store.put("room", id, record);
  }

  /** The room goes on in memory when the store does not take it. */
  #try(id: string, change: Promise<void>): void {
    change.catch((error) =>
      logger.error("room {room} cannot be kept: {reason}", { room: id, ...reasonOf(error) })
    );
  }
}
