/** The queue of two real servers; workers and clients have the real ones' parts for it, without a data channel. */
import assert from "node:assert/strict";
import { awaitTurn, type Turn } from "../../client/queue.ts";
import { QUEUE, type QueuedJob, queuedJobSchema } from "../../protocol/queue.ts";
import type { ServerMessage } from "../../protocol/signaling.ts";
import { createRoom, type RoomKey, signIn } from "../../signaling/account.ts";
import { SignalingClient } from "../../signaling/client.ts";
import { Reservations } from "../../worker/reservations.ts";
import { HAS_REDIS, withRedis } from "../signaling/redis.ts";
import { until } from "./transfer.ts";
import { type TwoServers, withTwoServers } from "./two_servers.ts";

const LIMIT_MS = 120_000;

/** A worker with one place, whose jobs end when they are told to. */
class PlayedWorker {
  readonly signaling: SignalingClient;
  readonly #reservations: Reservations;
  #finish: (() => void) | undefined;
  /** While set, what the server says is not read. */
  deaf: ServerMessage[] | undefined;

  constructor(signaling: SignalingClient) {
    this.signaling = signaling;
    this.#reservations = new Reservations({
      send: (message) => signaling.isConnected && signaling.send(message),
      refusal: () => this.#isFree ? undefined : "the worker is busy",
      isServed: () => false,
      onChange: () => this.#tellStatus(),
    });
    signaling.listen((message) => this.deaf ? this.deaf.push(message) : this.#reservations.take(message));
    signaling.listenBack(() => this.#reservations.repeat());
  }

  get #isFree(): boolean {
    return this.#finish === undefined && this.#reservations.awaited.size === 0;
  }

  #tellStatus(): void {
    this.signaling.updateProperties({ status: this.#isFree ? "available" : "busy" });
  }

  /** Reads on. */
  hear(): void {
    const missed = this.deaf ?? [];
    this.deaf = undefined;
    for (const message of missed) this.#reservations.take(message);
  }

  /** The client has come and begins its job. */
  run(client: string, id: string): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    const facts: { state: "running" | "complete" } = { state: "running" };
    this.#finish = () => {
      facts.state = "complete";
      resolve();
    };
    this.#reservations.come(client);
    this.#reservations.begun(client, { id, ended: promise, facts }, undefined);
  }

  /** Its job ends well. */
  finish(): void {
    this.#finish?.();
    this.#finish = undefined;
    this.#tellStatus();
  }

  close(): void {
    this.#reservations.close();
    this.signaling.close();
  }
}

/** What a client hears of a job. */
interface Submitted {
  job: QueuedJob;
  places: (number | null)[];
  /** Settles when it has been told its first place. */
  placed: Promise<void>;
  turn: Promise<Turn>;
}

function submit(client: SignalingClient, id: string): Submitted {
  const job = queuedJobSchema.parse({ id, kind: "train" });
  const places: (number | null)[] = [];
  const { promise: placed, resolve } = Promise.withResolvers<void>();
  const onPlace = ({ position }: { position: number | null }): void => {
    places.push(position);
    resolve();
  };
  const signal = new AbortController().signal;
  const turn = awaitTurn(client, job, { onPlace, timeoutMs: LIMIT_MS, signal });
  // A test that has failed waits for it no more.
  turn.catch(() => {});
  return { job, places, placed, turn };
}

/** How the server says that a job stands, when it is asked. */
async function standing(client: SignalingClient, job: QueuedJob): Promise<ServerMessage> {
  const told = client.next(
    (message) => message.type === "job_state" && message.job === job.id ? message : undefined,
    LIMIT_MS,
  );
  client.send({ type: "job_submit", job });
  return await told;
}

function connect(
  url: string,
  role: "worker" | "client",
  room: RoomKey,
  httpUrl: string,
): Promise<SignalingClient> {
  return signIn(httpUrl, AbortSignal.timeout(LIMIT_MS)).then((identity) =>
    SignalingClient.connect({
      url,
      identity,
      room,
      timeoutMs: LIMIT_MS,
      role,
      features: [QUEUE],
      metadata: { properties: { status: "available" } },
    })
  );
}

async function failover({ first, second, balancer }: TwoServers): Promise<void> {
  const [http, ws] = [`http://${balancer.address}`, `ws://${balancer.address}`];
  const by = (...servers: { port: number }[]): void =>
    void (balancer.ports = servers.map(({ port }) => port));
  const maker = await signIn(http, AbortSignal.timeout(LIMIT_MS));
  const room = await createRoom(http, maker, AbortSignal.timeout(LIMIT_MS));
  const ada = await connect(ws, "client", room, http);
  const workers: PlayedWorker[] = [];
  try {
    for (const order of [[first, second], [second, first], [second, first]]) {
      by(...order);
      workers.push(new PlayedWorker(await connect(ws, "worker", room, http)));
    }
    const at = ({ worker }: Turn): PlayedWorker =>
      workers.find(({ signaling }) => signaling.peerId === worker)!;
    // The leader has to know of the other server's workers.
    await until(
      "all workers",
      async () => (await ada.discover({ role: "worker" })).length === 3 || undefined,
    );

    const begun: string[] = [];
    const begin = (worker: PlayedWorker, { job }: Submitted): void => {
      begun.push(job.id);
      worker.run(ada.peerId, job.id);
    };
    const running = submit(ada, "job-that-runs");
    const atFirst = at(await running.turn);
    begin(atFirst, running);
    const assigned = submit(ada, "job-assigned");
    const atSecond = at(await assigned.turn);
    const [atThird] = workers.filter((worker) => worker !== atFirst && worker !== atSecond);
    assert.ok(atThird);
    atThird.deaf = [];
    const isOffered = atThird.signaling.next(({ type }) => type === "job_offer" || undefined, LIMIT_MS);
    const offered = submit(ada, "job-offered");
    await isOffered;
    const queued = ["job-queued-1", "job-queued-2", "job-queued-3"].map((id) => submit(ada, id));
    for (const { placed } of queued) await placed;
    const places = queued.map((each) => [...each.places]);

    const back = new Promise<void>((resolve) => ada.listenBack(resolve));
    first.process.kill("SIGKILL");
    await second.process.line(/this server leads the queue/);
    await back;
    atThird.hear();
    assert.equal(at(await offered.turn), atThird);
    for (const [index, { job }] of queued.entries()) {
      const told = await standing(ada, job);
      assert.equal(told.type === "job_state" && told.position, index + 1);
    }
    assert.deepEqual(queued.map((each) => each.places), places);
    const runs = await standing(ada, running.job);
    assert.equal(runs.type === "job_state" && runs.state, "running");

    begin(atSecond, assigned);
    begin(atThird, offered);
    const busy = [atFirst, atSecond, atThird];
    for (const [index, next] of queued.entries()) {
      busy[index]!.finish();
      begin(at(await next.turn), next);
    }
    for (const worker of workers) worker.finish();
    const all = [running, assigned, offered, ...queued];
    for (const { job } of all) {
      const told = await until("its end", async () => {
        const state = await standing(ada, job);
        return state.type === "job_state" && state.state === "refused" ? state : undefined;
      });
      assert.match(JSON.stringify(told), /ended: done.*JOB_ENDED/);
    }
    assert.deepEqual(begun, all.map(({ job }) => job.id), "each of them ran once");
  } finally {
    for (const worker of workers) worker.close();
    ada.close();
  }
}

Deno.test({
  name: "the leader of the queue is killed: no job is lost, none runs twice, and all keep their places",
  ignore: !HAS_REDIS,
  fn: () => withRedis((redis) => withTwoServers(redis.url, failover)),
});

Deno.test({
  name: "the leader of the queue is stopped: another leads, and nobody warns of what was asked for",
  ignore: !HAS_REDIS,
  fn: () =>
    withRedis((redis) =>
      withTwoServers(redis.url, async ({ first, second }) => {
        assert.equal(await first.process.stop(), 0, first.process.output);
        await second.process.line(/this server leads the queue/);
        for (const { output } of [first.process, second.process]) assert.doesNotMatch(output, /"warning"/);
      })
    ),
});
