import { Bucket, Buckets } from "./bucket.ts";
import type { LimitName, Limits } from "./limits.ts";
import type { Metrics } from "./metrics.ts";
import type { Connection } from "./room.ts";
import { logSecurity } from "./security_log.ts";

const HOUR_S = 3600;
/** Characters of a message that count as one message more. */
const CHARS_PER_MESSAGE = 16 * 1024;
/** Wrong admin keys of one address in an hour. */
const ADMIN_ATTEMPTS = 20;
/** An address that exceeds a limit again and again gets one line in such a time, in milliseconds. */
const SAME_LINE_AFTER_MS = 60_000;
/** Beyond so many remembered lines all are forgotten. */
const MAX_LINES = 10_000;

/** Keeps strangers within the limits; each refusal is counted, and logged. Addresses are those of `clientAddress`. */
export class Guard {
  readonly limits: Readonly<Limits>;
  readonly #metrics: Metrics;
  readonly #now: () => number;
  readonly #rooms: Buckets;
  readonly #signIns: Buckets;
  readonly #adminAttempts = new Buckets(hourly(ADMIN_ATTEMPTS));
  readonly #connections = new Map<string, number>();
  readonly #messages = new WeakMap<Connection, Bucket>();
  readonly #lines = new Map<string, number>();

  /** `now` gives milliseconds, on a clock that never goes back. */
  constructor(limits: Readonly<Limits>, metrics: Metrics, now: () => number = () => performance.now()) {
    this.limits = limits;
    this.#metrics = metrics;
    this.#now = now;
    this.#rooms = new Buckets(hourly(limits.roomsPerAddress));
    this.#signIns = new Buckets(hourly(limits.signInsPerAddress));
  }

  /** Seconds to wait until the next sign-in; 0 when it may be now. */
  signIn(address: string): number {
    return this.#take(this.#signIns, "sign_ins_per_address", address);
  }

  /** Seconds to wait until the next room; 0 when it may be now. */
  createRoom(address: string): number {
    return this.#take(this.#rooms, "rooms_per_address", address);
  }

  /** Seconds to wait until an admin key may be tried again, after a wrong one; 0 when it may be now. */
  wrongAdminKey(address: string): number {
    return this.#take(this.#adminAttempts, "admin_attempts", address);
  }

  /** Counts a new connection of an address; false, and not counted, when it is one too many. */
  open(address: string): boolean {
    const open = this.#connections.get(address) ?? 0;
    if (open >= this.limits.connectionsPerAddress) {
      this.refused("connections_per_address", address);
      return false;
    }
    this.#connections.set(address, open + 1);
    return true;
  }

  /** A connection that {@link open} counted is no more. */
  close(address: string): void {
    const open = (this.#connections.get(address) ?? 1) - 1;
    if (open > 0) this.#connections.set(address, open);
    else this.#connections.delete(address);
  }

  /** Whether a connection may send another message, of so many characters. */
  message(connection: Connection, chars: number): boolean {
    const now = this.#now();
    let bucket = this.#messages.get(connection);
    if (bucket === undefined) {
      bucket = new Bucket({ burst: this.limits.messageBurst, perSecond: this.limits.messageRate }, now);
      this.#messages.set(connection, bucket);
    }
    const cost = Math.min(this.limits.messageBurst, 1 + Math.floor(chars / CHARS_PER_MESSAGE));
    if (bucket.take(cost, now) === 0) return true;
    this.refused("message_rate", connection.address ?? "");
    return false;
  }

  /** Counts and logs what exceeded a limit. */
  refused(limit: LimitName, address: string): void {
    this.#metrics.refusals.inc({ limit });
    const now = this.#now();
    const line = `${limit} ${address}`;
    if (now - (this.#lines.get(line) ?? -Infinity) < SAME_LINE_AFTER_MS) return;
    if (this.#lines.size >= MAX_LINES) this.#lines.clear();
    this.#lines.set(line, now);
    logSecurity("limit_exceeded", { limit, address });
  }

  #take(buckets: Buckets, limit: LimitName, address: string): number {
    const seconds = buckets.take(address, this.#now());
    if (seconds > 0) this.refused(limit, address);
    return seconds;
  }
}

function hourly(count: number): { burst: number; perSecond: number } {
  return { burst: count, perSecond: count / HOUR_S };
}
