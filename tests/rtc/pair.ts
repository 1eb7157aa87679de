/** Two peers in one process over the real native library. */
import { type Channel } from "../../rtc/channel.ts";
import { Peer } from "../../rtc/peer.ts";

/** Both ends of an open connection. */
export interface Pair {
  offering: Peer;
  answering: Peer;
  /** The offering peer's channel: the client's. */
  near: Channel;
  /** The answering peer's channel: the worker's. */
  far: Channel;
}

/** Connects two peers in this process. */
export async function openPair(): Promise<Pair> {
  const { peer: offering, sdp: offer } = await Peer.offer();
  const { peer: answering, sdp: answer } = await Peer.answer(offer);
  offering.acceptAnswer(answer);
  const [near, far] = await Promise.all([offering.channel, answering.channel]);
  return { offering, answering, near, far };
}

/** Runs a test with a connected pair and closes both ends afterwards. */
export async function withPair(test: (pair: Pair) => Promise<void>): Promise<void> {
  const pair = await openPair();
  try {
    await test(pair);
  } finally {
    pair.offering.close();
    pair.answering.close();
    await Promise.all([pair.near.closed, pair.far.closed]);
  }
}
