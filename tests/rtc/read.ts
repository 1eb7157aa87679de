/** Reading channels in tests; loads nothing native. */
import type { Channel } from "../../rtc/channel.ts";

/** Everything that a channel delivers until it closes. */
export async function readAll(channel: Channel): Promise<(string | Uint8Array)[]> {
  const messages: (string | Uint8Array)[] = [];
  for await (const message of channel) messages.push(message);
  return messages;
}

/** The next `count` messages. */
export async function take(channel: Channel, count: number): Promise<(string | Uint8Array)[]> {
  const messages: (string | Uint8Array)[] = [];
  for await (const message of channel) {
    if (messages.push(message) === count) break;
  }
  return messages;
}
