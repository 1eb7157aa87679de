import assert from "node:assert/strict";
import { NoWorkerError } from "../../client/choose_worker.ts";
import { awaitTurn, type Place, type QueueRoom, type Turn } from "../../client/queue.ts";
import { queuedJobSchema } from "../../protocol/queue.ts";
import { type ServerMessage, serverMessageSchema } from "../../protocol/signaling.ts";
import { SignalingError } from "../../signaling/signaling_error.ts";
import { FakeClock } from "../rtc/fake_clock.ts";

const JOB = queuedJobSchema.parse({ id: "q_12345678", kind: "train", wait_s: 600 });
const MINUTE = 60_000;

/** A server that a test plays, as far as the queue goes. */
class PlayedRoom implements QueueRoom {
  readonly sent: Record<string, unknown>[] = [];
  isConnected = true;
  renewed = 0;
  readonly #listeners = new Set<(message: ServerMessage) => void>();
  readonly #registered = new Set<() => void>();
  readonly end = Promise.withResolvers<SignalingError | undefined>();
  readonly closed = this.end.promise;

  send(message: Record<string, unknown>): boolean {
    if (this.isConnected) this.sent.push(message);
    return this.isConnected;
  }
  listen(listener: (message: ServerMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  listenBack(listener: () => void): () => void {
    this.#registered.add(listener);
    return () => this.#registered.delete(listener);
  }
  renew(): void {
    this.renewed++;
  }
  /** Says how the job that was submitted last stands. */
  say(state: string, fields: Record<string, unknown> = {}): void {
    const job = this.submitted.at(-1)?.id;
    const message = serverMessageSchema.parse({ type: "job_state", job, state, reason: "r", ...fields });
    for (const listener of [...this.#listeners]) listener(message);
  }
  comeBack(): void {
    this.isConnected = true;
    for (const listener of [...this.#registered]) listener();
  }
  get submitted(): { id: string }[] {
    return this.sent.filter(({ type }) => type === "job_submit").map(({ job }) => queuedJobSchema.parse(job));
  }
  get withdrawn(): unknown[] {
    return this.sent.filter(({ type }) => type === "job_withdraw").map(({ job }) => job);
  }
  get isIdle(): boolean {
    return this.#listeners.size === 0 && this.#registered.size === 0;
  }
}

interface Wait {
  room: PlayedRoom;
  places: Place[];
  turn: Promise<Turn>;
  clock: FakeClock;
}

/** Submits `JOB` to a played server; afterwards nothing listens any more. */
function waiting(test: (wait: Wait) => Promise<void>, signal = new AbortController().signal): Promise<void> {
  return FakeClock.use(async (clock) => {
    const [room, places]: [PlayedRoom, Place[]] = [new PlayedRoom(), []];
    const turn = awaitTurn(room, JOB, { onPlace: (place) => places.push(place), timeoutMs: 5_000, signal });
    turn.catch(() => {});
    await test({ room, places, turn, clock });
    assert.ok(room.isIdle);
  });
}

Deno.test("queue: a job waits for its turn, and each place is told once", () =>
  waiting(async ({ room, places, turn }) => {
    room.say("queued", { position: 2, reason: "all are \u001b[31mbusy" });
    room.say("queued", { position: 2, reason: "all are \u001b[31mbusy" });
    room.say("queued", { reason: "soon" });
    room.say("assigned", { worker: "w", reason: "best" });
    assert.deepEqual(await turn, { worker: "w", reason: "best" });
    assert.deepEqual(places, [
      { position: 2, reason: "all are \ufffd[31mbusy" },
      { position: null, reason: "soon" },
    ]);
    assert.deepEqual(room.submitted, [JOB]);
    assert.deepEqual(room.withdrawn, []);
  }));

Deno.test("queue: what the server says of other jobs is passed over", () =>
  waiting(async ({ room, turn }) => {
    room.say("assigned", { job: "q_87654321", worker: "other" });
    room.say("assigned", { worker: "w" });
    assert.equal((await turn).worker, "w");
  }));

for (const code of ["NO_MATCHING_WORKER", "QUEUE_TIMEOUT", "QUEUE_FULL"]) {
  Deno.test(`queue: ${code} is an error with the server's reason and a hint`, () =>
    waiting(async ({ room, turn }) => {
      room.say("refused", { code, reason: "why" });
      await assert.rejects(
        turn,
        (error) => error instanceof NoWorkerError && error.message === "why" && error.hint !== undefined,
      );
    }));
}

Deno.test("queue: a job that the server takes for invalid, or for over, is an error", async () => {
  for (
    const [state, code] of [["refused", "INVALID_JOB"], ["refused", "JOB_ENDED"], ["cancelled", undefined]]
  ) {
    await waiting(async ({ room, turn }) => {
      room.say(state!, { code, reason: "why" });
      await assert.rejects(turn, /why/);
    });
  }
});

Deno.test("queue: a server that does not answer is an error, one that is away is waited for", async () => {
  await waiting(async ({ turn, clock }) => {
    await clock.pass(5_000);
    await assert.rejects(turn, /did not answer within 5 s/);
  });
  await waiting(async ({ room, turn, clock }) => {
    room.isConnected = false;
    await clock.pass(5_000);
    room.comeBack();
    room.say("assigned", { worker: "w" });
    assert.equal((await turn).worker, "w");
  });
});

Deno.test("queue: after a loss of the server the same job is submitted under the same id", () =>
  waiting(async ({ room, turn }) => {
    room.say("queued", { position: 1 });
    room.isConnected = false;
    room.comeBack();
    room.say("assigned", { worker: "w" });
    assert.equal((await turn).worker, "w");
    assert.deepEqual(room.submitted, [JOB, JOB]);
  }));

Deno.test("queue: a server that was away so long that it gave the job up gets it anew, once", () =>
  waiting(async ({ room, turn }) => {
    room.say("queued", { position: 1 });
    room.comeBack();
    room.say("refused", { code: "JOB_ENDED" });
    assert.equal(room.submitted.length, 3);
    assert.notEqual(room.submitted[2]!.id, JOB.id);
    room.say("refused", { code: "JOB_ENDED", reason: "why" });
    await assert.rejects(turn, /why/);
  }));

Deno.test("queue: a server that only seems to be there is asked every minute, and connected to anew", () =>
  waiting(async ({ room, turn, clock }) => {
    room.say("queued", { position: 1 });
    await clock.pass(MINUTE);
    assert.equal(room.submitted.length, 2);
    room.say("queued", { position: 1 });
    await clock.pass(MINUTE);
    assert.equal(room.renewed, 0);
    await clock.pass(5_000);
    assert.equal(room.renewed, 1);
    room.say("assigned", { worker: "w" });
    await turn;
  }));

Deno.test("queue: a server that stays away longer than the job may wait does not hold the client", () =>
  waiting(async ({ room, turn, clock }) => {
    room.say("queued", { position: 1 });
    room.isConnected = false;
    for (let minute = 0; minute < 14; minute++) await clock.pass(MINUTE);
    await assert.rejects(turn, NoWorkerError);
  }));

Deno.test("queue: an abort withdraws the job", async () => {
  const [abort, reason] = [new AbortController(), new Error("enough")];
  await waiting(async ({ room, turn }) => {
    room.say("queued", { position: 1 });
    abort.abort(reason);
    await assert.rejects(turn, reason);
    assert.deepEqual(room.withdrawn, [JOB.id]);
  }, abort.signal);
  await waiting(async ({ room, turn }) => {
    await assert.rejects(turn, reason);
    assert.deepEqual(room.sent, []);
  }, abort.signal);
});

Deno.test("queue: when the server lets nobody in any more its word is the error", () =>
  waiting(async ({ room, turn }) => {
    const gone = new SignalingError("x", { refusal: "Room expired" });
    room.end.resolve(gone);
    await assert.rejects(turn, gone);
  }));
