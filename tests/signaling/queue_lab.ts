import type { QueueOptions } from "../../signaling/queue.ts";
import { Queue } from "../../signaling/queue.ts";
import type { Clock } from "../../signaling/queue_clock.ts";
import type { RegisteredPeer } from "../../signaling/room.ts";
import { MemoryStore, type Store } from "../../signaling/store.ts";
import type { Json } from "./test_peer.ts";

/** A clock that stands until it is moved. */
export class TestClock implements Clock {
  #now = 1_000_000;
  readonly #timers = new Set<{ at: number; run: () => void }>();

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Moves on, and rings what is due, in order; after each step waits for what it began. */
  async pass(ms: number, settled: () => Promise<void>): Promise<void> {
    const end = this.#now + ms;
    await settled();
    for (let next; (next = this.#next(end)) !== undefined;) {
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await settled();
    }
    this.#now = end;
  }

  /** Rings nothing of what it was asked to. */
  forgetAll(): void {
    this.#timers.clear();
  }

  #next(end: number): { at: number; run: () => void } | undefined {
    return [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
  }
}

/** A played peer: what the queue sends it is kept. */
export interface Played {
  peer: RegisteredPeer;
  /** What it was told and has not been read, oldest first. */
  inbox: Json[];
}

/** A queue without sockets, its clock, and the peers of a room. */
export class QueueLab {
  readonly clock = new TestClock();
  store: Store;
  queue: Queue;
  readonly peers = new Map<string, Played>();
  readonly #options: QueueOptions;

  private constructor(store: Store, options: QueueOptions) {
    this.store = store;
    this.#options = { clock: this.clock, ...options };
    this.queue = new Queue(store, this.#options);
  }

  static async start(options: QueueOptions = {}, store: Store = new MemoryStore()): Promise<QueueLab> {
    const lab = new QueueLab(store, options);
    await lab.queue.start();
    return lab;
  }

  /** A new process, with what the old one had in its store by then; that is forgotten, and all peers are gone. */
  async kill(store: Store = this.store): Promise<void> {
    this.clock.forgetAll();
    this.peers.clear();
    this.store = store;
    this.queue = new Queue(store, this.#options);
    await this.queue.start([], ["room"]);
  }

  worker(id: string, properties: Json = {}, features = ["queue"], room?: string): Played {
    return this.join(
      id,
      "worker",
      { status: "available", storage_backends: ["vast"], ...properties },
      features,
      room,
    );
  }

  client(id: string, room?: string): Played {
    return this.join(id, "client", {}, ["queue"], room);
  }

  join(id: string, role: string, properties: Json, features: readonly string[], roomId = "room"): Played {
    const inbox: Json[] = [];
    const connection = {
      isOpen: true,
      send: (text: string) => {
        inbox.push(JSON.parse(text));
        return true;
      },
    };
    const room = { id: roomId, token: "t", expiresAt: 0, peers: new Map(), adminPeerId: null };
    const metadata = { tags: ["sleap-rtc"], properties };
    const peer = { peerId: id, role, metadata, features, connectedAt: 0, connection, room };
    const played = { peer, inbox };
    this.peers.set(id, played);
    this.queue.joined(peer);
    return played;
  }

  /** Lets so many milliseconds pass. */
  pass(ms: number): Promise<void> {
    return this.clock.pass(ms, () => this.queue.settled());
  }

  /** A worker tells new properties. */
  update(id: string, properties: Json): void {
    const played = this.peers.get(id)!;
    const { metadata } = played.peer;
    played.peer = {
      ...played.peer,
      metadata: { ...metadata, properties: { ...metadata.properties, ...properties } },
    };
    this.queue.changed(played.peer);
  }

  leave(id: string): void {
    const played = this.peers.get(id)!;
    this.peers.delete(id);
    this.queue.left(played.peer);
  }

  submit(client: string, id: string, fields: Json = {}): void {
    this.say(client, { type: "job_submit", job: { id, kind: "train", ...fields } });
  }

  /** A worker answers an offer; one that takes it is busy then, as a real one says before it answers. */
  answer(worker: string, job: string, accepted = true): void {
    if (accepted) this.update(worker, { status: "reserved" });
    this.say(worker, { type: "job_answer", job, accepted });
  }

  report(worker: string, job: string, state: string, fields: Json = {}): void {
    this.say(worker, { type: "job_report", job, state, ...fields });
  }

  say(id: string, message: Json): void {
    this.queue.handle(this.peers.get(id)!.peer, message);
  }

  /** What a peer was told since this was asked last, when all that was decided is told. */
  async told(id: string): Promise<Json[]> {
    await this.queue.settled();
    return this.peers.get(id)!.inbox.splice(0);
  }

  /** The same, in short: the state of a job, or the type of another message, with the worker or the code. */
  async news(id: string): Promise<string[]> {
    const told = await this.told(id);
    return told.map(({ type, job, state, worker, code, position }) => {
      const words = [
        type === "job_state" ? state : type,
        job !== null && typeof job === "object" ? (job as Json)["id"] : job,
      ];
      return [...words, worker ?? code ?? position].filter((word) => word !== undefined).join(" ");
    });
  }

  /** Jobs as the store has them, by id: state and worker. */
  async kept(): Promise<Record<string, string>> {
    await this.queue.settled();
    const all = await this.store.all("job") as Map<
      string,
      { job: { id: string }; state: string; worker?: string }
    >;
    return Object.fromEntries(
      [...all.values()].map(({ job, state, worker }) => [job.id, `${state} ${worker ?? ""}`.trim()]),
    );
  }
}

/** Runs a test with a queue of its own. */
export async function withQueue(
  test: (lab: QueueLab) => Promise<void>,
  options: QueueOptions = {},
): Promise<void> {
  const lab = await QueueLab.start(options);
  try {
    await test(lab);
  } finally {
    await lab.queue.stop();
  }
}
