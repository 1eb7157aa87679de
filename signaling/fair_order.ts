import { type Job, ownerOf } from "./queue_job.ts";

/** Jobs behind one that cannot go, which are looked at in one owner's line. */
const LOOK_AHEAD = 32;

/** One owner's jobs of a room. */
interface Owner {
  readonly name: string;
  /** Jobs that workers have. */
  active: number;
  /** Since when it waits for its turn: since it got its last, or came. Milliseconds since the epoch. */
  since: number;
  /** Of those who wait since the same moment, who came first. */
  turn: number;
  /** By what they wish for, each by place. */
  readonly lines: Map<string, Job[]>;
  waiting: number;
}

/**
 * Whose turn it is among the waiting jobs of a room: of the owner with the fewest jobs at workers, then of the one
 * that has waited longest for its turn; first come, first served within an owner.
 */
export class FairOrder {
  readonly #byName = new Map<string, Owner>();
  /** Those with a waiting job, in the order of their turns. */
  readonly #owners: Owner[] = [];
  #size = 0;
  #turns = 0;

  /** How many jobs wait. */
  get size(): number {
    return this.#size;
  }

  /** Whether nobody has anything here. */
  get isEmpty(): boolean {
    return this.#byName.size === 0;
  }

  /** Takes in a waiting job, at its place. */
  add(job: Job): void {
    const owner = this.#ownerOf(job);
    this.#change(owner, () => {
      if (owner.waiting === 0) owner.since = Math.max(owner.since, job.record.queued);
      const line = owner.lines.get(job.wish) ?? [];
      owner.lines.set(job.wish, line);
      line.splice(placeIn(line, job), 0, job);
      owner.waiting++;
      this.#size++;
    });
  }

  /** Takes a job out; false when it does not wait. */
  remove(job: Job): boolean {
    const owner = this.#byName.get(ownerOf(job.record));
    const line = owner?.lines.get(job.wish);
    const index = line ? placeIn(line, job) : 0;
    if (!owner || line?.[index] !== job) return false;
    this.#change(owner, () => {
      line.splice(index, 1);
      if (line.length === 0) owner.lines.delete(job.wish);
      owner.waiting--;
      this.#size--;
    });
    return true;
  }

  /** A worker has one more job of its owner, or one less. */
  count(job: Job, difference: 1 | -1): void {
    const owner = this.#ownerOf(job);
    this.#change(owner, () => owner.active += difference);
  }

  /** A job's owner has got its turn at this time, in milliseconds since the epoch. */
  served(job: Job, at: number): void {
    const owner = this.#ownerOf(job);
    this.#change(owner, () => {
      owner.since = Math.max(owner.since, at);
      owner.turn = ++this.#turns;
    });
  }

  /** What `pick` makes of the first job in order that it makes something of; only of jobs whose wish `canGo`. */
  first<Picked>(canGo: (job: Job) => boolean, pick: (job: Job) => Picked | undefined): Picked | undefined {
    for (const owner of this.#owners) {
      const lines = [...owner.lines.values()].filter(([job]) => job && canGo(job));
      if (lines.length === 0) continue;
      for (const job of merged(lines, LOOK_AHEAD)) {
        const picked = pick(job);
        if (picked !== undefined) return picked;
      }
    }
    return undefined;
  }

  /** The place of a waiting job in the order, from 1. */
  positionOf(job: Job): number {
    const own = this.#ownerOf(job);
    let index = 0;
    for (const line of own.lines.values()) index += placeIn(line, job);
    const turn = own.active + index;
    let ahead = 0;
    for (const owner of this.#owners) {
      const upTo = turn - owner.active + (earlier(owner, own) ? 1 : 0);
      ahead += owner === own ? index : Math.min(owner.waiting, Math.max(0, upTo));
    }
    return ahead + 1;
  }

  /** The first `limit` waiting jobs in order. */
  inOrder(limit: number = Infinity): Job[] {
    const turns = this.#owners.slice(0, limit).flatMap((owner) =>
      merged([...owner.lines.values()], limit).map((job, index) => ({
        job,
        owner,
        turn: owner.active + index,
      }))
    );
    turns.sort((a, b) => a.turn - b.turn || (earlier(a.owner, b.owner) ? -1 : 1));
    return turns.slice(0, limit).map(({ job }) => job);
  }

  #ownerOf(job: Job): Owner {
    const name = ownerOf(job.record);
    const owner = this.#byName.get(name) ??
      { name, active: 0, since: 0, turn: ++this.#turns, lines: new Map(), waiting: 0 };
    this.#byName.set(name, owner);
    return owner;
  }

  /** Changes an owner, whose turn may come earlier or later then. */
  #change(owner: Owner, change: () => void): void {
    if (owner.waiting > 0) this.#owners.splice(search(this.#owners, (each) => precedes(each, owner)), 1);
    change();
    if (owner.waiting > 0) {
      this.#owners.splice(search(this.#owners, (each) => precedes(each, owner)), 0, owner);
    } else if (owner.active === 0) this.#byName.delete(owner.name);
  }
}

function precedes(a: Owner, b: Owner): boolean {
  return a.active !== b.active ? a.active < b.active : earlier(a, b);
}

/** Of owners with as many jobs at workers. */
function earlier(a: Owner, b: Owner): boolean {
  return a.since !== b.since ? a.since < b.since : a.turn < b.turn;
}

function placeIn(line: readonly Job[], { record }: Job): number {
  return search(line, (each) => each.record.place < record.place);
}

/** How many elements at the beginning of a sorted list come before something. */
function search<Element>(list: readonly Element[], isBefore: (element: Element) => boolean): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(list[middle]!)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first jobs of several lines, by place. */
function merged(lines: readonly Job[][], limit: number): Job[] {
  if (lines.length === 1) return lines[0]!.slice(0, limit);
  return lines.flatMap((line) => line.slice(0, limit)).sort((a, b) => a.record.place - b.record.place)
    .slice(0, limit);
}
