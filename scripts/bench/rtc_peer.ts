/** One of the two processes of `bench rtc`: does over the product's own modules what it is told, a JSON line each. */
import { basename } from "node:path";
import { parseMessage } from "../../protocol/message.ts";
import type { Channel } from "../../rtc/channel.ts";
import { closeLibrary, Peer } from "../../rtc/peer.ts";
import { FileReceiver } from "../../rtc/receive.ts";
import { sendFile } from "../../rtc/send.ts";
import { createInside } from "../../storage/containment.ts";
import { TextLineStream } from "../text_lines.ts";

/** Bytes so far are told this often, in milliseconds. */
const PROGRESS_MS = 250;

/** What the process can be told. */
export type Task =
  | { task: "offer" }
  | { task: "answer"; sdp: string }
  | { task: "accept"; sdp: string }
  | { task: "close" }
  /** Sends a file as the Python peers do. */
  | { task: "streamFrom"; path: string }
  | { task: "streamInto"; folder: string };

/** What it tells. */
export type Report =
  | { report: "sdp"; sdp: string }
  | { report: "open" }
  | { report: "closed" }
  | { report: "progress"; bytes: number }
  /** A file is whole and flushed. */
  | { report: "arrived"; bytes: number };

function tell(report: Report): void {
  console.log(JSON.stringify(report));
}

let peer: Peer | undefined;

function take(made: { peer: Peer; sdp: string }): void {
  peer = made.peer;
  peer.channel.then(() => tell({ report: "open" }), (error) => console.error(String(error)));
  tell({ report: "sdp", sdp: made.sdp });
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
        receiver = new FileReceiver(parsed.name, parsed.size, await createInside(folder, parsed.name));
      }
    }
  } finally {
    clearInterval(timer);
  }
}

async function work(given: Task): Promise<void> {
  switch (given.task) {
    case "offer":
      return take(await Peer.offer());
    case "answer":
      return take(await Peer.answer(given.sdp));
    case "accept":
      return peer?.acceptAnswer(given.sdp);
    case "close":
      peer?.close();
      return tell({ report: "closed" });
    case "streamFrom":
      return streamFrom(await peer!.channel, given.path);
    case "streamInto":
      return streamInto(await peer!.channel, given.folder);
  }
}

if (import.meta.main) {
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) {
    // Not awaited: a transfer goes on while other things are told.
    work(JSON.parse(line) as Task).catch((error) => console.error(String(error)));
  }
  closeLibrary();
}
