import assert from "node:assert/strict";
import { keepLanes, type Lane, type LoadedLink } from "../../client/lanes.ts";
import { FakeClock } from "../rtc/fake_clock.ts";
import { FakeNative } from "../rtc/fake_native.ts";

const MIB = 2 ** 20;

/** A link whose load a test makes up. */
class TestLink implements LoadedLink {
  lanes = 1;
  bytesSent = 0;
  bytesReceived = 0;
  bytesDone = 0;
  roundTripMs: number | undefined;

  join(): Promise<void> {
    this.lanes++;
    return Promise.resolve();
  }

  trim(lanes: number): void {
    this.lanes = lanes;
  }

  /** Moves so many bytes in each tenth of a second for so many seconds; returns the most lanes meanwhile. */
  async move(
    clock: FakeClock,
    bytesPerTenth: number | (() => number),
    seconds: number,
  ): Promise<number> {
    let most = 0;
    for (let tenth = 0; tenth < 10 * seconds; tenth++) {
      const bytes = typeof bytesPerTenth === "number" ? bytesPerTenth : bytesPerTenth();
      this.bytesReceived += bytes;
      this.bytesDone += bytes;
      await clock.pass(100);
      most = Math.max(most, this.lanes);
    }
    return most;
  }
}

function dialMore(): Promise<Lane> {
  return Promise.resolve({ channel: new FakeNative().channel(), close: (): void => {} });
}

function withLanes(
  roundTripMs: number,
  test: (link: TestLink, clock: FakeClock) => Promise<void>,
  dial: () => Promise<Lane | "busy"> = dialMore,
): Promise<void> {
  return FakeClock.use(async (clock) => {
    const [link, over] = [new TestLink(), new AbortController()];
    const kept = keepLanes(link, roundTripMs, () => link.roundTripMs, dial, over.signal);
    await test(link, clock);
    over.abort();
    await kept;
  });
}

Deno.test("lanes: a near worker is served over one, however busy it is", () =>
  withLanes(5, async (link, clock) => {
    await link.move(clock, 20 * MIB, 5);
    assert.equal(link.lanes, 1);
  }));

Deno.test("lanes: a far worker is served over several as soon as the link is busy", () =>
  withLanes(50, async (link, clock) => {
    await link.move(clock, 1000, 2);
    assert.equal(link.lanes, 1);
    link.bytesSent += 2 * MIB;
    await clock.pass(50);
    assert.equal(link.lanes, 8);
  }));

Deno.test("lanes: a link is busy that moves its bytes slowly but steadily", () =>
  withLanes(200, async (link, clock) => {
    await link.move(clock, MIB / 4, 1);
    assert.equal(link.lanes, 8);
  }));

Deno.test("lanes: where each loses packets, more of them bring more", () =>
  withLanes(50, async (link, clock) => {
    await link.move(clock, () => link.lanes * MIB / 4, 12);
    assert.equal(link.lanes, 64);
  }));

Deno.test("lanes: where many do little more they go again, and are tried less and less often", () =>
  withLanes(50, async (link, clock) => {
    let trials = 0;
    for (let second = 0; second < 120; second++) {
      const before = link.lanes;
      await link.move(clock, MIB, 1);
      if (before === 8 && link.lanes === 64) trials++;
    }
    assert.ok(trials >= 3 && trials <= 6, String(trials));
    assert.equal(link.lanes, 8);
  }));

Deno.test("lanes: what is sent twice is no gain", () =>
  withLanes(50, async (link, clock) => {
    let most = 0;
    for (let tenth = 0; tenth < 70; tenth++) {
      link.bytesSent += link.lanes * MIB / 4;
      link.bytesDone += MIB / 4;
      await clock.pass(100);
      most = Math.max(most, link.lanes);
    }
    assert.deepEqual([most, link.lanes], [64, 8]);
  }));

Deno.test("lanes: more are not tried where packets wait, which is a narrow way", () =>
  withLanes(50, async (link, clock) => {
    link.roundTripMs = 80;
    assert.equal(await link.move(clock, MIB, 20), 8);
    link.roundTripMs = 52;
    assert.equal(await link.move(clock, MIB, 5), 64);
  }));

Deno.test("lanes: a link without load gives all but one back", () =>
  withLanes(50, async (link, clock) => {
    await link.move(clock, 8 * MIB, 2);
    assert.equal(link.lanes, 8);
    await link.move(clock, 0, 31);
    assert.equal(link.lanes, 1);
  }));

Deno.test("lanes: a link that has long had no load is looked at less often", () =>
  withLanes(50, async (link, clock) => {
    await link.move(clock, 0, 31);
    link.bytesSent += 2 * MIB;
    await clock.pass(50);
    assert.equal(link.lanes, 1);
    await clock.pass(500);
    assert.equal(link.lanes, 8);
  }));

Deno.test("lanes: a worker that takes no more connections is asked again later, and the link goes on", () => {
  let asked = 0;
  const dial = (): Promise<"busy"> => {
    asked++;
    return Promise.resolve("busy");
  };
  return withLanes(50, async (link, clock) => {
    await link.move(clock, 8 * MIB, 3);
    assert.equal(link.lanes, 1);
    assert.ok(asked >= 14, String(asked));
  }, dial);
});
