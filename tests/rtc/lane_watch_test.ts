import assert from "node:assert/strict";
import { KEEP_ALIVE } from "../../protocol/message.ts";
import { keepAlive } from "../../rtc/channel.ts";
import { LaneWatch } from "../../rtc/lane_watch.ts";
import { FakeClock } from "./fake_clock.ts";
import { FakeNative } from "./fake_native.ts";

/** A channel with keep-alives, as a link has it; `other` says whether the other side is heard. */
class Watched {
  readonly native = new FakeNative();
  readonly channel = this.native.channel();
  readonly watch = new LaneWatch(this.channel);
  isHeard = true;

  constructor() {
    keepAlive(this.channel, 2_000);
    setInterval(() => this.isHeard && this.native.deliver(KEEP_ALIVE), 2_000);
  }
}

function withWatch(test: (watched: Watched, clock: FakeClock) => Promise<void>): Promise<void> {
  return FakeClock.use((clock) => test(new Watched(), clock));
}

/** What is sent stays in the queue. */
function stall(native: FakeNative): void {
  const send = native.sendMessageBinary.bind(native);
  native.buffered = 1_000_000;
  native.sendMessageBinary = (message): boolean => {
    native.buffered += message.length;
    return send(message);
  };
}

Deno.test("lane watch: a lane that is heard and empty is left alone", () =>
  withWatch(async ({ channel, watch }, clock) => {
    await clock.pass(600_000);
    assert.ok(channel.isOpen);
    watch.stop();
  }));

Deno.test("lane watch: a lane on which nothing is heard for ten seconds is given up", () =>
  withWatch(async (watched, clock) => {
    await clock.pass(20_000);
    watched.isHeard = false;
    await clock.pass(8_000);
    assert.ok(watched.channel.isOpen);
    await clock.pass(4_000);
    assert.equal(watched.channel.isOpen, false);
  }));

Deno.test("lane watch: a lane over which nothing leaves is given up, though keep-alives join its queue", () =>
  withWatch(async ({ channel, native }, clock) => {
    await clock.pass(20_000);
    stall(native);
    await clock.pass(8_000);
    assert.ok(channel.isOpen);
    await clock.pass(4_000);
    assert.equal(channel.isOpen, false);
  }));

Deno.test("lane watch: a slow lane is left alone, also while its queue grows", () =>
  withWatch(async ({ channel, native, watch }, clock) => {
    stall(native);
    for (let second = 0; second < 60; second++) {
      await channel.send(new Uint8Array(20_000));
      native.buffered -= 10_000;
      await clock.pass(1_000);
    }
    assert.ok(channel.isOpen);
    watch.stop();
  }));

Deno.test("lane watch: a machine that slept has ten seconds to hear again", () =>
  withWatch(async (watched, clock) => {
    await clock.pass(20_000);
    clock.sleep(3_600_000);
    await clock.pass(9_000);
    assert.ok(watched.channel.isOpen);
    clock.sleep(3_600_000);
    watched.isHeard = false;
    await clock.pass(9_000);
    assert.ok(watched.channel.isOpen);
    await clock.pass(3_000);
    assert.equal(watched.channel.isOpen, false);
  }));

Deno.test("lane watch: one that was stopped gives nothing up", () =>
  withWatch(async (watched, clock) => {
    watched.watch.stop();
    watched.isHeard = false;
    await clock.pass(60_000);
    assert.ok(watched.channel.isOpen);
  }));
