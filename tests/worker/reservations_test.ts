import assert from "node:assert/strict";
import { type JobOffer, Reservations } from "../../worker/reservations.ts";

type Said = Record<string, unknown>;

/** Reservations of a worker with one place, and what they say. */
class Desk {
  readonly said: Said[] = [];
  readonly served = new Set<string>();
  refusal: string | undefined;
  isConnected = true;
  #heard: (() => void)[] = [];
  readonly reservations: Reservations = new Reservations({
    send: (message) => {
      if (this.isConnected) this.said.push(message);
      for (const wake of this.#heard.splice(0)) wake();
      return this.isConnected;
    },
    refusal: () => this.refusal ?? (this.reservations.awaited.size > 0 ? "the worker is busy" : undefined),
    isServed: (client) => this.served.has(client),
    onChange: () => this.said.push({ status: this.reservations.awaited.size }),
  });

  offer(id: string, client: string, hold_s = 60): void {
    const job: JobOffer["job"] = {
      id,
      kind: "train",
      requires: { labels: [] },
      bytes: 0,
      lies_in: [],
      copies_to: [],
      wait_s: 0,
      avoid: [],
    };
    this.reservations.take({ type: "job_offer", job, client, answer_s: 5, hold_s });
  }

  noted(job: string, state: "held" | "running" | "done" | "released"): void {
    this.reservations.take({ type: "job_noted", job, state });
  }

  /** What was said since this was asked last. */
  news(): Said[] {
    return this.said.splice(0);
  }

  /** Waits until a report of this state was said. */
  async heard(state: string): Promise<void> {
    while (!this.said.some((each) => each["state"] === state)) {
      await new Promise<void>((resolve) => this.#heard.push(resolve));
    }
  }
}

/** Runs a test, and leaves no timer. */
async function withDesk(test: (desk: Desk) => void | Promise<void>): Promise<void> {
  const desk = new Desk();
  try {
    await test(desk);
  } finally {
    desk.reservations.close();
  }
}

const HELD = [
  { status: 1 },
  { type: "job_answer", job: "job-1", accepted: true },
  { type: "job_report", job: "job-1", state: "held" },
];

Deno.test("the place is taken before the answer says so, and a second job is declined", () =>
  withDesk((desk) => {
    desk.offer("job-1", "ada");
    assert.deepEqual(desk.news(), HELD);
    desk.offer("job-2", "bob");
    assert.deepEqual(desk.news(), [
      { type: "job_answer", job: "job-2", accepted: false, reason: "the worker is busy" },
    ]);
    assert.deepEqual([...desk.reservations.awaited], ["ada"]);
  }));

Deno.test("the same offer again is accepted again, in the same place", () =>
  withDesk((desk) => {
    desk.offer("job-1", "ada");
    desk.offer("job-1", "ada");
    assert.deepEqual(desk.news(), [...HELD, ...HELD.slice(1)]);
  }));

Deno.test("a client that does not come loses its place", () =>
  withDesk(async (desk) => {
    desk.offer("job-1", "ada", 0.01);
    await desk.heard("released");
    assert.deepEqual(desk.news().slice(3), [
      { status: 0 },
      {
        type: "job_report",
        job: "job-1",
        state: "released",
        reason: "its client did not come within 0.01 s",
      },
    ]);
    assert.equal(desk.reservations.awaited.size, 0);
  }));

Deno.test("a client's job is told from its beginning to its end, with what came for it", () =>
  withDesk(async (desk) => {
    desk.offer("job-1", "ada");
    desk.served.add("ada");
    desk.reservations.come("ada");
    desk.news();
    const { promise, resolve } = Promise.withResolvers<void>();
    const facts: { state: "running" | "complete" } = { state: "running" };
    // The client may call its job by another name than the queue does.
    desk.reservations.begun("ada", { id: "other", ended: promise, facts }, { bytes: 10, seconds: 2 });
    assert.deepEqual(desk.news().slice(1), [
      { type: "job_report", job: "job-1", state: "running", received: { bytes: 10, seconds: 2 } },
    ]);
    desk.reservations.left("ada");
    assert.deepEqual(desk.news(), []);
    facts.state = "complete";
    resolve();
    await desk.heard("done");
  }));

Deno.test("who leaves without a job gives its place back; another client's leaving changes nothing", () =>
  withDesk((desk) => {
    desk.offer("job-1", "ada");
    desk.reservations.come("ada");
    desk.news();
    desk.reservations.left("bob");
    assert.deepEqual(desk.news(), []);
    desk.reservations.left("ada");
    assert.equal(desk.news().at(-1)?.["state"], "released");
  }));

Deno.test("another client's job does not begin what is kept", () =>
  withDesk((desk) => {
    desk.offer("job-1", "ada");
    desk.news();
    const job = { id: "job-1", ended: new Promise<void>(() => {}), facts: { state: "running" as const } };
    desk.reservations.begun("bob", job, undefined);
    assert.deepEqual(desk.news(), []);
    assert.deepEqual([...desk.reservations.awaited], ["ada"]);
  }));

Deno.test("what the server has not noted is said again when it is back, in order", () =>
  withDesk((desk) => {
    desk.offer("job-1", "ada");
    desk.isConnected = false;
    const job = { id: "job-1", ended: new Promise<void>(() => {}), facts: { state: "running" as const } };
    desk.reservations.begun("ada", job, undefined);
    desk.news();
    desk.isConnected = true;
    desk.reservations.repeat();
    assert.deepEqual(desk.news().map(({ state }) => state), ["held", "running"]);
    desk.noted("job-1", "held");
    desk.reservations.repeat();
    assert.deepEqual(desk.news().map(({ state }) => state), ["running"]);
    desk.noted("job-1", "running");
    desk.reservations.repeat();
    assert.deepEqual(desk.news(), []);
  }));

Deno.test("a place that is not needed any more is free, without a word", () =>
  withDesk((desk) => {
    desk.offer("job-1", "ada");
    desk.news();
    desk.reservations.take({ type: "job_release", job: "job-1" });
    assert.deepEqual(desk.news(), [{ status: 0 }]);
    desk.reservations.repeat();
    assert.deepEqual(desk.news(), []);
  }));

Deno.test("a worker that stops gives back what it keeps, and declines", () =>
  withDesk((desk) => {
    desk.offer("job-1", "ada");
    desk.refusal = "the worker is stopping";
    desk.reservations.releaseAll("the worker is stopping");
    assert.equal(desk.news().at(-1)?.["state"], "released");
    desk.offer("job-2", "bob");
    assert.deepEqual(desk.news(), [
      { type: "job_answer", job: "job-2", accepted: false, reason: "the worker is stopping" },
    ]);
  }));

Deno.test("a client that comes when its place is given away already is told of all the same", () =>
  withDesk(async (desk) => {
    desk.offer("job-1", "ada", 0.01);
    await desk.heard("released");
    desk.news();
    desk.reservations.come("ada");
    const ended = Promise.withResolvers<void>();
    desk.reservations.begun(
      "ada",
      { id: "job_a", ended: ended.promise, facts: { state: "complete" } },
      undefined,
    );
    assert.deepEqual(desk.news(), [{ type: "job_report", job: "job-1", state: "running" }]);
    ended.resolve();
    await desk.heard("done");
  }));

Deno.test("a place that was given away counts for its client's next job only", () =>
  withDesk(async (desk) => {
    desk.offer("job-1", "ada", 0.01);
    await desk.heard("released");
    desk.reservations.left("ada");
    desk.news();
    const job = { id: "job_a", ended: new Promise<void>(() => {}), facts: { state: "running" } } as const;
    desk.reservations.begun("bob", job, undefined);
    assert.deepEqual(desk.news(), []);
    desk.reservations.begun("ada", job, undefined);
    desk.reservations.begun("ada", { ...job, id: "job_b" }, undefined);
    assert.deepEqual(desk.news(), [{ type: "job_report", job: "job-1", state: "running" }]);
  }));
