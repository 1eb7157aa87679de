/** The first message of each side on a channel of a link; see "The link" in docs/protocol.md. */
import { type Hello, parseHello } from "../protocol/link.ts";
import type { Channel } from "./channel.ts";
import { ConnectionError } from "./transfer_error.ts";

/** The other side's is waited for so long, in milliseconds. */
const HELLO_LIMIT_MS = 10_000;

/** The worker's side of a new channel: the client's hello. Throws {@link ConnectionError}, the abort reason. */
export async function readHello(channel: Channel, signal?: AbortSignal): Promise<Hello> {
  const hello = parseHello(await awaitFirst(channel, signal));
  if (!hello) throw new ConnectionError("the client did not say hello");
  return hello;
}

/** The first message on a channel. Throws {@link ConnectionError} when none comes in time, the abort reason. */
export async function awaitFirst(
  channel: Channel,
  signal: AbortSignal | undefined,
): Promise<string | Uint8Array> {
  const limit = AbortSignal.timeout(HELLO_LIMIT_MS);
  try {
    const message = await channel.receive(AbortSignal.any(signal ? [signal, limit] : [limit]));
    if (message === undefined) throw new ConnectionError("the data channel was closed before a hello came");
    return message;
  } catch (error) {
    if (!limit.aborted || signal?.aborted) throw error;
    throw new ConnectionError(`no hello came within ${HELLO_LIMIT_MS / 1000} s`);
  }
}
