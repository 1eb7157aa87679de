/** One of the two processes of `bench rtc`: does over the product's own modules what it is told, a JSON line each. */
import { basename, join } from "node:path";
import { keepLanes } from "../../client/lanes.ts";
import { type FilesMessageType, isAboutFiles, parseMessage } from "../../protocol/message.ts";
import type { Channel } from "../../rtc/channel.ts";
import { readHello } from "../../rtc/hello.ts";
import { Link, newLinkId } from "../../rtc/link.ts";
import { closeLibrary, Peer } from "../../rtc/peer.ts";
import { FileReceiver } from "../../rtc/receive.ts";
import { FilesReceiver, parseOffer } from "../../rtc/receive_files.ts";
import type { Distance } from "../../rtc/sctp.ts";
import { sendFile } from "../../rtc/send.ts";
import { FilesSender } from "../../rtc/send_files.ts";
import { createInside } from "../../storage/containment.ts";
import { TextLineStream } from "../text_lines.ts";

/** Bytes so far are told this often, in milliseconds. */
const PROGRESS_MS = 250;

/** What the process can be told; `id` names a connection. */
export type Task =
  | { task: "offer"; id: number; distance: Distance }
  | { task: "answer"; id: number; distance: Distance; sdp: string }
  | { task: "accept"; id: number; sdp: string }
  | { task: "close"; id: number }
  /** Sends a file as the Python peers do, over connection 0. */
  | { task: "streamFrom"; path: string }
  | { task: "streamInto"; folder: string }
  /** Sends a file over a link that begins with connection 0. */
  | { task: "filesFrom"; path: string }
  | { task: "filesInto"; folder: string };

/** What it tells. */
export type Report =
  | { report: "sdp"; id: number; sdp: string }
  | { report: "open"; id: number }
  | { report: "closed"; id: number }
  /** The link wants another connection, of this name. */
  | { report: "wants"; id: number }
  | { report: "progress"; bytes: number }
  /** A file is whole and flushed. */
  | { report: "arrived"; bytes: number };

function tell(report: Report): void {
  console.log(JSON.stringify(report));
}

const peers = new Map<number, Peer>();
/** Those who wait for a connection. */
const wanted = new Map<number, PromiseWithResolvers<Peer>>();
/** Takes connections that come when there is a link. */
let takeLane: ((channel: Channel) => Promise<void>) | undefined;

function take(id: number, made: { peer: Peer; sdp: string }): void {
  const { peer, sdp } = made;
  peers.set(id, peer);
  peer.channel.then((channel) => {
    tell({ report: "open", id });
    wanted.get(id)?.resolve(peer);
    if (id > 0) void takeLane?.(channel);
  }, (error) => wanted.get(id)?.reject(error));
  tell({ report: "sdp", id, sdp });
}

async function streamFrom(channel: Channel, path: string): Promise<void> {
  using file = await Deno.open(path, { read: true });
  const { size } = await file.stat();
  await sendFile(channel, { name: basename(path), size, hint: "False", file });
}

async function streamInto(channel: Channel, folder: string): Promise<void> {
  let receiver: FileReceiver | undefined;
  const timer = setInterval(() => tell({ report: "progress", bytes: receiver?.received ?? 0 }), PROGRESS_MS);
  try {
    for await (const message of channel) {
      if (typeof message !== "string") await receiver?.write(message);
      else {
        const parsed = parseMessage(message);
        if (parsed.type === "END_OF_FILE") {
          await receiver?.finish();
          return tell({ report: "arrived", bytes: receiver?.received ?? 0 });
        }
        if (parsed.type !== "FILE_META") continue;
        // As a worker keeps a package: what a crash of the machine takes can be sent again.
        const target = await createInside(folder, parsed.name, { durable: false });
        receiver = new FileReceiver(parsed.name, parsed.size, target);
      }
    }
  } finally {
    clearInterval(timer);
  }
}

const NEVER = new AbortController().signal;

async function dialMore(): Promise<{ channel: Channel; close(): void }> {
  const id = 1 + wanted.size;
  const opened = Promise.withResolvers<Peer>();
  wanted.set(id, opened);
  tell({ report: "wants", id });
  const peer = await opened.promise;
  return { channel: await peer.channel, close: () => peer.close() };
}

async function filesFrom(channel: Channel, path: string): Promise<void> {
  const link = new Link({ id: newLinkId(), patienceMs: 10_000 });
  const began = performance.now();
  await link.join(channel);
  void keepLanes(link, performance.now() - began, () => peers.get(0)?.rttMs, dialMore, NEVER);
  const { size } = await Deno.stat(path);
  const entry = { name: basename(path), size, open: () => Deno.open(path) };
  const sender = new FilesSender(link, { purpose: "package", key: null, files: [entry] });
  void listen(link, (message) => sender.take(message));
  await sender.run();
}

async function listen(
  link: Link,
  onMessage: (message: { type: FilesMessageType; json: string }) => unknown,
  onChunk: (bytes: Uint8Array) => unknown = () => {},
): Promise<void> {
  for (let message; (message = await link.receive()) !== undefined;) {
    const parsed = typeof message === "string" ? parseMessage(message) : undefined;
    if (typeof message !== "string") await onChunk(message);
    else if (parsed && isAboutFiles(parsed)) await onMessage(parsed);
  }
}

async function filesInto(channel: Channel, folder: string): Promise<void> {
  const hello = await readHello(channel);
  const link = new Link({ id: hello.id, patienceMs: 10_000 });
  await link.welcome(channel, hello);
  takeLane = async (lane) => await link.welcome(lane, await readHello(lane));
  let [receiver, bytes]: [FilesReceiver | undefined, number] = [undefined, 0];
  setInterval(() => tell({ report: "progress", bytes }), PROGRESS_MS);
  await listen(link, async (message) => {
    if (message.type !== "FILES_OFFER") {
      const arrived = await receiver?.take(message);
      await arrived?.moveTo(join(folder, "arrived"));
      return arrived && tell({ report: "arrived", bytes });
    }
    const onProgress = (done: number): void => void (bytes = done);
    receiver = new FilesReceiver(link, parseOffer(message.json)!, {
      root: folder,
      durable: false,
      onProgress,
    });
    return await receiver.start();
  }, (chunk) => receiver?.takeChunk(chunk));
}

async function work(given: Task): Promise<void> {
  switch (given.task) {
    case "offer":
      return take(given.id, await Peer.offer(given));
    case "answer":
      return take(given.id, await Peer.answer(given.sdp, given));
    case "accept":
      return peers.get(given.id)?.acceptAnswer(given.sdp);
    case "close":
      peers.get(given.id)?.close();
      return tell({ report: "closed", id: given.id });
  }
  const channel = await peers.get(0)!.channel;
  switch (given.task) {
    case "streamFrom":
      return await streamFrom(channel, given.path);
    case "streamInto":
      return await streamInto(channel, given.folder);
    case "filesFrom":
      return await filesFrom(channel, given.path);
    case "filesInto":
      return await filesInto(channel, given.folder);
  }
}

if (import.meta.main) {
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) {
    // Not awaited: a transfer goes on while other things are told.
    work(JSON.parse(line) as Task).catch((error) => console.error(error));
  }
  closeLibrary();
}
