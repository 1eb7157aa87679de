/** Somebody in the middle of two connections; loads nothing native. */
import type { Channel } from "../../rtc/channel.ts";

/** Hands on every message of each channel to the other until one closes, then closes both. Returns them. */
export async function relay(one: Channel, two: Channel): Promise<(string | Uint8Array)[]> {
  const heard: (string | Uint8Array)[] = [];
  const forward = async (from: Channel, to: Channel): Promise<void> => {
    for await (const message of from) {
      heard.push(message);
      if (to.isOpen) await to.send(message);
    }
    to.close();
  };
  await Promise.all([forward(one, two), forward(two, one)]);
  return heard;
}
