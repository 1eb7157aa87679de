/** How much there can be at once, and how much more each second. */
export interface Rate {
  burst: number;
  perSecond: number;
}

/** A token bucket: full at first. */
export class Bucket {
  readonly #rate: Rate;
  #level: number;
  #at: number;

  /** `now` in milliseconds, on any clock. */
  constructor(rate: Rate, now: number) {
    this.#rate = rate;
    this.#level = rate.burst;
    this.#at = now;
  }

  /** Takes so much: 0 when it was there; else nothing is taken, and it tells the seconds until it will be there. */
  take(amount: number, now: number): number {
    this.#fill(now);
    if (this.#level >= amount) {
      this.#level -= amount;
      return 0;
    }
    return (amount - this.#level) / this.#rate.perSecond;
  }

  /** Whether it is as if it were new. */
  isFull(now: number): boolean {
    this.#fill(now);
    return this.#level === this.#rate.burst;
  }

  #fill(now: number): void {
    const seconds = Math.max(0, now - this.#at) / 1000;
    this.#level = Math.min(this.#rate.burst, this.#level + seconds * this.#rate.perSecond);
    this.#at = now;
  }
}

/** Buckets by name are looked through for full ones when there are so many, at most once in such a time. */
const MANY = 1_000;
const SWEEP_MS = 60_000;

/** A bucket for each name, forgotten once it is full again. */
export class Buckets {
  readonly #rate: Rate;
  readonly #buckets = new Map<string, Bucket>();
  #swept = -Infinity;

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** How many are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** As {@link Bucket.take}, of one name's bucket. */
  take(name: string, now: number): number {
    this.#sweep(now);
    const bucket = this.#buckets.get(name) ?? new Bucket(this.#rate, now);
    this.#buckets.set(name, bucket);
    return bucket.take(1, now);
  }

  #sweep(now: number): void {
    if (this.#buckets.size < MANY || now - this.#swept < SWEEP_MS) return;
    this.#swept = now;
    for (const [name, bucket] of this.#buckets) if (bucket.isFull(now)) this.#buckets.delete(name);
  }
}
