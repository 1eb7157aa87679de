/** Files on their way over a link, both sides in one process. */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { isAboutFiles, parseMessage } from "../../protocol/message.ts";
import type { Link } from "../../rtc/link.ts";
import { FilesReceiver, parseOffer, type ReceiveFilesOptions } from "../../rtc/receive_files.ts";
import { FilesSender, type OutgoingFiles, type SendFilesOptions } from "../../rtc/send_files.ts";
import type { IncomingFolder } from "../../storage/incoming.ts";

/** Some key. */
export const KEY = "0123456789abcdef".repeat(4);

/** How a reception ended: with a folder, an error, or with the link. */
export interface Reception {
  folder?: IncomingFolder;
  error?: unknown;
}

/** Takes the next transfer of a link; `stopAt` interrupts it before that chunk. */
export async function receive(
  link: Link,
  options: Partial<ReceiveFilesOptions> & { root: string },
  stopAt = Infinity,
): Promise<Reception> {
  let receiver: FilesReceiver | undefined;
  let chunks = 0;
  for (let message; (message = await link.receive()) !== undefined;) {
    try {
      if (typeof message !== "string") {
        if (chunks++ === stopAt) break;
        await receiver?.takeChunk(message);
        continue;
      }
      const parsed = parseMessage(message);
      if (!isAboutFiles(parsed)) continue;
      if (parsed.type === "FILES_OFFER") {
        receiver = new FilesReceiver(link, parseOffer(parsed.json)!, { durable: false, ...options });
        await receiver.start();
      }
      const folder = await receiver?.take(parsed);
      if (folder) return { folder };
    } catch (error) {
      return { error };
    }
  }
  await receiver?.interrupt();
  return {};
}

/** Sends files, and gives the sender what the other side says. */
export async function send(
  link: Link,
  outgoing: OutgoingFiles,
  options: SendFilesOptions = {},
  signal?: AbortSignal,
): Promise<FilesSender> {
  const sender = new FilesSender(link, outgoing, options);
  const over = new AbortController();
  const listening = (async (): Promise<void> => {
    for (let message; (message = await link.receive(over.signal)) !== undefined;) {
      const parsed = parseMessage(String(message));
      if (isAboutFiles(parsed)) sender.take(parsed);
    }
  })().catch(() => {});
  try {
    await sender.run(signal);
    return sender;
  } finally {
    over.abort();
    await listening;
  }
}

/** Puts files into a folder, to be sent from there. */
export async function outgoingOf(
  dir: string,
  files: Readonly<Record<string, Uint8Array | string>>,
  key: string | null = KEY,
): Promise<OutgoingFiles> {
  const entries = [];
  for (const [name, content] of Object.entries(files)) {
    const path = join(dir, name);
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.writeFile(path, bytes);
    entries.push({ name, size: bytes.length, open: () => Deno.open(path, { read: true }) });
  }
  return { purpose: "folder", key, files: entries };
}

/** Bytes that no disk and no two seeds have in common. */
export function noise(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = seed * 2654435761 >>> 0;
  for (let at = 0; at < size; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

/** SHA-256 in hex. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
