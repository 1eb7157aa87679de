/** Which of several servers leads the queue: who holds a lease in Redis that it has to renew. */
import { PREFIX, type RedisLink } from "./redis_link.ts";
import type { Guard } from "./redis_store.ts";

/** A leader that does not renew for so long is one no more, in milliseconds. */
export const LEASE_MS = 6_000;
/** It stops before the lease ends: clocks differ, and messages take time; milliseconds. */
const MARGIN_MS = 1_500;

const LEADER = `${PREFIX}leader`;
const FENCE = `${PREFIX}leader-number`;

/** Renews one's own lease, or takes a free one with a new number; returns who leads. */
const RENEW = `
local current = redis.call('get', KEYS[1])
if not current then
  current = ARGV[1] .. ' ' .. redis.call('incr', KEYS[2])
  redis.call('set', KEYS[1], current, 'PX', ARGV[2])
elseif string.sub(current, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then
  redis.call('pexpire', KEYS[1], ARGV[2])
end
return current`;

const RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end";

/** What leadership tells its owner. */
export interface LeadershipEvents {
  /** This server leads from now on. */
  gained(): void;
  /** It does not any more. */
  lost(): void;
  /** Somebody leads who did not before: the id of that server. */
  changed(leader: string): void;
}

/** One server's view of who leads. */
export class Leadership {
  readonly #link: RedisLink;
  readonly #id: string;
  readonly #events: LeadershipEvents;
  /** Id and number of who leads, as in Redis. */
  #leader = "";
  #expiry: ReturnType<typeof setTimeout> | undefined;

  constructor(link: RedisLink, id: string, events: LeadershipEvents) {
    this.#link = link;
    this.#id = id;
    this.#events = events;
  }

  /** Whether this server leads at this moment. */
  get isLeader(): boolean {
    return this.#expiry !== undefined;
  }

  /** Id of the server that leads, as far as this one knows; undefined when none does. */
  get leader(): string | undefined {
    return this.#leader.split(" ")[0] || undefined;
  }

  /** What puts of the leader depend on; undefined for who does not lead. */
  get guard(): Guard | undefined {
    return this.isLeader ? { key: LEADER, value: this.#leader } : undefined;
  }

  /** Renews the lease, takes one that is free, or learns who has it. To be called well within {@link LEASE_MS}. */
  async renew(): Promise<void> {
    const until = performance.now() + LEASE_MS - MARGIN_MS;
    const options = { keys: [LEADER, FENCE], arguments: [this.#id, String(LEASE_MS)] };
    const leader = String(await this.#link.client.eval(RENEW, options));
    const before = this.#leader;
    const leads = leader.startsWith(`${this.#id} `) && performance.now() < until;
    if (!leads || leader !== before) this.#lose();
    const isNew = leads && !this.isLeader;
    this.#leader = leader;
    if (leads) this.#hold(until);
    if (isNew) this.#events.gained();
    if (leader !== before) this.#events.changed(this.leader ?? "");
  }

  /** Lets another lead at once. */
  async release(): Promise<void> {
    if (!this.isLeader) return;
    const mine = this.#leader;
    this.#lose();
    await this.#link.client.eval(RELEASE, { keys: [LEADER], arguments: [mine] });
  }

  /** Leads until then at the latest, on the clock of `performance.now`, unless it renews. */
  #hold(until: number): void {
    clearTimeout(this.#expiry);
    this.#expiry = setTimeout(() => this.#lose(), until - performance.now());
  }

  #lose(): void {
    if (!this.isLeader) return;
    clearTimeout(this.#expiry);
    this.#expiry = undefined;
    this.#leader = "";
    this.#events.lost();
  }
}
