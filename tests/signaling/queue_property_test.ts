import assert from "node:assert/strict";
import fc from "fast-check";
import { type Kind, MemoryStore, type Store } from "../../signaling/store.ts";
import { QueueLab } from "./queue_lab.ts";
import type { Json } from "./test_peer.ts";

/** A store whose writes take a moment, and end with the process. */
class FrailStore implements Store {
  readonly #kept: MemoryStore;
  #isDead = false;

  constructor(kept = new MemoryStore()) {
    this.#kept = kept;
  }

  /** What a new process finds; what was on its way is lost. */
  kill(): FrailStore {
    this.#isDead = true;
    return new FrailStore(this.#kept);
  }

  all(kind: Kind): Promise<Map<string, unknown>> {
    return this.#kept.all(kind);
  }

  async put(kind: Kind, key: string, value: unknown): Promise<void> {
    await this.#moment();
    await this.#kept.put(kind, key, value);
  }

  async delete(kind: Kind, key: string): Promise<void> {
    await this.#moment();
    await this.#kept.delete(kind, key);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #moment(): Promise<void> {
    await Promise.resolve();
    await Promise.resolve();
    if (this.#isDead) await new Promise(() => {});
  }
}

const WORKERS = ["w0", "w1", "w2"];
const CLIENTS = ["c0", "c1", "c2"];

/** What a worker really does: one place, kept for one job; what was not noted is said again. */
interface PlayedWorker {
  job: string | undefined;
  runs: boolean;
  unnoted: { job: string; state: string }[];
}

/** What a client knows of its job. */
interface PlayedJob {
  client: string;
  avoid: string[];
  /** It was told that the server has it. */
  isAccepted: boolean;
  /** Told last; may change only when it was given up. */
  worker: string | undefined;
  isOver: boolean;
}

/** Clients and workers that behave, around a server that is killed now and then. */
class World {
  readonly lab: QueueLab;
  #store: FrailStore;
  readonly workers = new Map<string, PlayedWorker>();
  readonly jobs = new Map<string, PlayedJob>();
  /** How often each job began, over all workers. */
  readonly begun = new Map<string, number>();
  /** Jobs that their worker gave back, since their client was told of it. */
  readonly released = new Set<string>();

  private constructor(lab: QueueLab, store: FrailStore) {
    this.lab = lab;
    this.#store = store;
    for (const id of WORKERS) this.workers.set(id, { job: undefined, runs: false, unnoted: [] });
  }

  static async make(): Promise<World> {
    const store = new FrailStore();
    const world = new World(await QueueLab.start({}, store), store);
    for (const id of [...WORKERS, ...CLIENTS]) world.come(id);
    return world;
  }

  come(id: string): void {
    if (this.lab.peers.has(id)) return;
    const worker = this.workers.get(id);
    if (!worker) {
      this.lab.client(id);
      for (const [job, { client }] of this.jobs) if (client === id) this.submit(job);
      return;
    }
    this.lab.worker(id, { status: worker.job === undefined ? "available" : "busy" });
    for (const { job, state } of worker.unnoted) this.lab.report(id, job, state);
  }

  leave(id: string): void {
    if (this.lab.peers.has(id)) this.lab.leave(id);
  }

  submit(job: string): void {
    const { client, avoid, isOver } = this.jobs.get(job)!;
    if (!isOver && this.lab.peers.has(client)) this.lab.submit(client, job, { avoid });
  }

  submitNew(client: string): void {
    const id = `job-${String(this.jobs.size).padStart(4, "0")}`;
    this.jobs.set(id, { client, avoid: [], isAccepted: false, worker: undefined, isOver: false });
    this.submit(id);
  }

  /** The client gives its worker up, if it has not begun there. */
  giveUp(id: string): void {
    const job = this.jobs.get(id);
    if (!job?.worker || job.isOver || (this.begun.get(id) ?? 0) > 0 || !this.lab.peers.has(job.client)) {
      return;
    }
    job.avoid = [job.worker];
    job.worker = undefined;
    this.submit(id);
  }

  /** The client comes to its worker and begins, if the place is kept. */
  begin(id: string): void {
    const job = this.jobs.get(id);
    const worker = this.workers.get(job?.worker ?? "");
    if (!job?.worker || worker?.job !== id || worker.runs) return;
    worker.runs = true;
    this.begun.set(id, (this.begun.get(id) ?? 0) + 1);
    this.#report(job.worker, id, "running");
  }

  /** Its job ends, or its place is given back because nobody came. */
  end(id: string): void {
    const worker = this.workers.get(id)!;
    const { job, runs } = worker;
    if (job === undefined) return;
    worker.job = undefined;
    worker.runs = false;
    if (!runs) this.released.add(job);
    this.#status(id);
    this.#report(id, job, runs ? "done" : "released");
  }

  async kill(): Promise<void> {
    this.#store = this.#store.kill();
    await this.lab.kill(this.#store);
  }

  /** Everybody reads what they were told, and answers, until nothing more is said. */
  async talk(accepts: (worker: string) => boolean): Promise<void> {
    for (let heard = true; heard;) {
      heard = false;
      for (const id of [...this.lab.peers.keys()]) {
        for (const message of await this.lab.told(id)) {
          heard = true;
          if (this.workers.has(id)) this.#hearAsWorker(id, message, accepts);
          else this.#hearAsClient(message);
        }
      }
    }
  }

  #hearAsWorker(id: string, message: Json, accepts: (worker: string) => boolean): void {
    const worker = this.workers.get(id)!;
    if (message["type"] === "job_noted") {
      const index = worker.unnoted.findIndex(({ job, state }) =>
        job === message["job"] && state === message["state"]
      );
      if (index >= 0) worker.unnoted.splice(0, index + 1);
    } else if (message["type"] === "job_release") {
      if (worker.job !== message["job"] || worker.runs) return;
      worker.job = undefined;
      this.#status(id);
    } else if (message["type"] === "job_offer") {
      const job = String((message["job"] as Json)["id"]);
      const takes = worker.job === job || (worker.job === undefined && accepts(id));
      if (takes) {
        worker.job = job;
        this.#status(id);
      }
      this.lab.say(id, { type: "job_answer", job, accepted: takes });
      if (takes && !worker.runs) this.#report(id, job, "held");
    }
  }

  #hearAsClient(message: Json): void {
    const id = String(message["job"]);
    const job = this.jobs.get(id)!;
    const state = message["state"];
    if (state === "refused" && message["code"] === "JOB_ENDED") job.isOver = true;
    else if (state === "refused") {
      assert.ok((this.begun.get(id) ?? 0) === 0, `${id} was refused though it began`);
      job.isOver = true;
    } else if (state === "done") job.isOver = true;
    else job.isAccepted = true;
    if (state !== "assigned") return;
    const isOther = job.worker !== undefined && job.worker !== message["worker"];
    assert.ok(!isOther || this.released.has(id), `${id} went from ${job.worker} to ${message["worker"]}`);
    assert.ok(!job.avoid.includes(String(message["worker"])), `${id} went to whom it avoids`);
    this.released.delete(id);
    job.worker = String(message["worker"]);
  }

  #status(id: string): void {
    const { job } = this.workers.get(id)!;
    if (this.lab.peers.has(id)) this.lab.update(id, { status: job === undefined ? "available" : "busy" });
  }

  #report(id: string, job: string, state: string): void {
    this.workers.get(id)!.unnoted.push({ job, state });
    if (this.lab.peers.has(id)) this.lab.report(id, job, state);
  }
}

const step = fc.tuple(
  fc.constantFrom(
    "submit",
    "submit",
    "begin",
    "begin",
    "end",
    "giveUp",
    "leave",
    "come",
    "kill",
    "pass",
    "talk",
  ),
  fc.nat(11),
);

async function play(world: World, steps: readonly [string, number][]): Promise<void> {
  for (const [what, number] of steps) {
    const id = `job-${String(number).padStart(4, "0")}`;
    const peer = [...WORKERS, ...CLIENTS][number % 6]!;
    if (what === "submit") world.submitNew(CLIENTS[number % 3]!);
    if (what === "begin") world.begin(id);
    if (what === "end") world.end(WORKERS[number % 3]!);
    if (what === "giveUp") world.giveUp(id);
    if (what === "leave") world.leave(peer);
    if (what === "come") world.come(peer);
    if (what === "kill") await world.kill();
    if (what === "pass") await world.lab.pass(number * 1_000);
    if (what === "talk") await world.talk(() => number % 2 === 0);
    for (const [job, count] of world.begun) assert.ok(count === 1, `${job} began ${count} times`);
  }
}

/** Everybody comes back, takes what there is, and finishes it. */
async function finish(world: World): Promise<void> {
  for (let round = 0; round < 40; round++) {
    for (const id of [...WORKERS, ...CLIENTS]) world.come(id);
    for (const job of world.jobs.keys()) world.submit(job);
    await world.talk(() => true);
    for (const job of world.jobs.keys()) world.begin(job);
    await world.talk(() => true);
    for (const id of WORKERS) world.end(id);
    await world.lab.pass(20_000);
    await world.talk(() => true);
  }
}

Deno.test("whatever happens, no job is lost and none runs twice", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const world = await World.make();
      try {
        await play(world, steps);
        await finish(world);
        for (const [id, job] of world.jobs) assert.ok(job.isOver, `${id} did not end`);
        const open = Object.values(await world.lab.kept()).filter((text) => !text.startsWith("done"));
        assert.deepEqual(open, []);
      } finally {
        await world.lab.queue.stop();
      }
    }),
    { numRuns: 200 },
  );
});
