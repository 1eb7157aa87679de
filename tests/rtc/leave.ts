/**
 * Makes connections that are given up before a channel opens, and one with a channel too many; has everything that
 * nothing refers to collected, and leaves as a program does.
 *
 *     deno run -A --v8-flags=--expose-gc tests/rtc/leave.ts ROUNDS
 */
import { PeerConnection } from "node-datachannel";
import { closeLibrary, Peer } from "../../rtc/peer.ts";

declare const gc: () => void;

/** A connection that is given up before its channel opens. */
async function giveUp(): Promise<void> {
  const { peer } = await Peer.offer();
  peer.close();
}

/** A peer that is given a second channel, which it does not take. */
async function offerTwoChannels(): Promise<void> {
  const native = new PeerConnection("two", { iceServers: [] });
  const gathered = new Promise<void>((resolve) =>
    native.onGatheringStateChange((state) => void (state === "complete" && resolve()))
  );
  const channels = ["one", "two"].map((label) => native.createDataChannel(label));
  await gathered;
  const { peer, sdp } = await Peer.answer(native.localDescription()!.sdp);
  native.setRemoteDescription(sdp, "answer");
  await peer.channel;
  await Promise.race(channels.map((channel) => new Promise<void>((resolve) => channel.onClosed(resolve))));
  peer.close();
  native.close();
}

if (import.meta.main) {
  for (let round = 0; round < Number(Deno.args[0]); round++) {
    await giveUp();
    gc();
  }
  await offerTwoChannels();
  gc();
  closeLibrary();
  console.log("left");
  Deno.exit();
}
