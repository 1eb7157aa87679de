/**
 * A client that speaks as the Python one does, over a plain channel, and says only what it is told to. A process of its
 * own: the native library belongs to one isolate of a process.
 *
 *     deno run -A tests/e2e/raw_client.ts HTTP_URL WEBSOCKET_URL ROOM TOKEN WORKER
 *
 * Reads {@link Order}s as JSON lines from stdin and prints {@link Heard} as JSON lines. Leaves at the end of stdin.
 */
import { sendFile } from "../../rtc/send.ts";
import { Peer } from "../../rtc/peer.ts";
import { signIn } from "../../signaling/account.ts";
import { SignalingClient } from "../../signaling/client.ts";
import { TextLineStream } from "../../scripts/text_lines.ts";
import { basename } from "node:path";

/** `file`: announced, sent in chunks and ended, as in the chunk flow. */
export type Order = { say: string } | { file: string };

/** `opened` comes first; then texts, and of bytes how many came in one message. */
export type Heard = { opened: true } | { text: string } | { bytes: number };

const LIMIT_MS = 60_000;

async function open(): Promise<{ peer: Peer; signaling: SignalingClient }> {
  const [http = "", url = "", roomId = "", token = "", worker = ""] = Deno.args;
  const identity = await signIn(http, AbortSignal.timeout(LIMIT_MS));
  const signaling = await SignalingClient.connect({
    url,
    identity,
    room: { roomId, token },
    timeoutMs: LIMIT_MS,
    role: "client",
    metadata: { tags: ["sleap-rtc"] },
  });
  const { peer, sdp } = await Peer.offer();
  const answer = signaling.next(
    (message) => message.type === "answer" && message.sender === worker ? message.sdp : undefined,
    LIMIT_MS,
  );
  signaling.send({ type: "offer", sender: signaling.peerId, target: worker, sdp });
  peer.acceptAnswer(await answer);
  return { peer, signaling };
}

function print(heard: Heard): void {
  console.log(JSON.stringify(heard));
}

const { peer, signaling } = await open();
const channel = await peer.channel;
print({ opened: true });
const listening = (async (): Promise<void> => {
  for await (const message of channel) {
    print(typeof message === "string" ? { text: message } : { bytes: message.length });
  }
})();
const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
for await (const line of lines) {
  const order: Order = JSON.parse(line);
  if ("say" in order) {
    await channel.send(order.say);
    continue;
  }
  using file = await Deno.open(order.file, { read: true });
  const { size } = await file.stat();
  await sendFile(channel, { name: basename(order.file), size, hint: "False", file });
}
await channel.close();
await listening;
peer.close();
signaling.close();
