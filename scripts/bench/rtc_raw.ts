/**
 * The native library's data channels and nothing else: one process sends from memory, another one counts. Any number of
 * connections ("lanes") side by side, and every setting of the library's SCTP, for finding the best ones.
 *
 *     deno run -A scripts/bench/rtc_raw.ts '{"lanes":2,"seconds":8,"rttMs":50,"sctp":{"recvBufferSize":4194304}}'
 *
 * prints one JSON object. The keys are those of {@link RawSettings}.
 */
import { cleanup, type DataChannel, PeerConnection, setSctpSettings } from "node-datachannel";
import { splitCandidates } from "../../rtc/sdp.ts";
import { TextLineStream } from "../text_lines.ts";
import { LineChild } from "./child.ts";
import { UdpWay, type WayCounts } from "./udp_way.ts";
import { round } from "./measure.ts";

const MIB = 2 ** 20;
/** Counts are told this often, in milliseconds. */
const SAMPLE_MS = 250;
/** A sender looks at the queues this often even if it is told nothing, in milliseconds. */
const POLL_MS = 20;
/** An answering peer adds the offer's candidates after this long, in milliseconds, as `rtc/peer.ts` does. */
const HOLD_CANDIDATES_MS = 250;

/** `setSctpSettings` of the native library; sizes in bytes, windows in packets, times in milliseconds. */
type Sctp = Parameters<typeof setSctpSettings>[0];

/** What to measure. */
export interface RawSettings {
  /** Connections side by side. */
  lanes?: number;
  sctp?: Sctp;
  /** Bytes per packet; the library's default when absent. */
  mtu?: number;
  /** A lane's sender waits above this many queued bytes and goes on at the low mark. */
  highBytes?: number;
  lowBytes?: number;
  messageBytes?: number;
  /** How long to send, in seconds. */
  seconds?: number;
  /** A link between the two; without these, none. */
  rttMs?: number;
  rate?: string | undefined;
  loss?: string | undefined;
  reorder?: string | undefined;
}

/** What was found. */
export interface RawFigures {
  /** Mean from the first byte to the end, and that of the second half. */
  mibPerS: number;
  secondHalfMibPerS: number;
  /** The slowest whole second after the first one. */
  slowestMibPerS: number;
  /** Processor time per payload, in milliseconds per MiB, of the two peers and of the link. */
  senderCpuMsPerMib: number;
  receiverCpuMsPerMib: number;
  linkCpuMsPerMib: number;
  /** Mean of each second, MiB/s. */
  perSecond: number[];
  /** Packets that the link let through, lost, and had no room for; both directions. */
  link?: WayCounts;
}

/** Lines from the parent, as JSON. */
type Told = { sdp: string; lane: number } | { send: true };
/** Lines to the parent, as JSON. */
type Said = { sdp: string; lane: number } | { open: number } | { at: number; bytes: number };

function say(said: Said): void {
  console.log(JSON.stringify(said));
}

/** The library forgets what nothing refers to. */
const held: (PeerConnection | DataChannel)[] = [];

function newPeer(lane: number, mtu: number | undefined): PeerConnection {
  const peer = new PeerConnection("raw", { iceServers: [], ...(mtu === undefined ? {} : { mtu }) });
  held.push(peer);
  peer.onGatheringStateChange((state) => {
    if (state === "complete") say({ sdp: peer.localDescription()!.sdp, lane });
  });
  return peer;
}

function answer(peer: PeerConnection, offer: string): void {
  const { sdp, candidates } = splitCandidates(offer);
  let added = false;
  const add = (): void => {
    if (added) return;
    added = true;
    for (const { candidate, mid } of candidates) peer.addRemoteCandidate(candidate, mid);
  };
  peer.onIceStateChange((state) => {
    if (state === "connected" || state === "completed") add();
  });
  setTimeout(add, HOLD_CANDIDATES_MS);
  peer.setRemoteDescription(sdp, "offer");
}

/** Keeps every lane's queue filled, for ever. */
function sendForEver(channels: DataChannel[], settings: RawSettings): void {
  const { highBytes = 8 * MIB, lowBytes = 2 * MIB, messageBytes = 65_536 } = settings;
  const message = new Uint8Array(messageBytes).fill(0x5a);
  for (const channel of channels) {
    channel.setBufferedAmountLowThreshold(lowBytes);
    const fill = (): void => {
      if (channel.bufferedAmount() > lowBytes) return;
      while (channel.isOpen() && channel.bufferedAmount() <= highBytes) channel.sendMessageBinary(message);
    };
    channel.onBufferedAmountLow(fill);
    setInterval(fill, POLL_MS);
    fill();
  }
}

/** The one that offers and sends. */
async function beSender(settings: RawSettings): Promise<void> {
  const { lanes = 1, mtu } = settings;
  const peers = Array.from({ length: lanes }, (_, lane) => newPeer(lane, mtu));
  const channels = peers.map((peer) => peer.createDataChannel("raw"));
  held.push(...channels);
  let open = 0;
  for (const channel of channels) channel.onOpen(() => say({ open: ++open }));
  for await (const line of told()) {
    if ("send" in line) sendForEver(channels, settings);
    else peers[line.lane]!.setRemoteDescription(line.sdp, "answer");
  }
}

/** The one that answers and counts. */
async function beReceiver({ mtu }: RawSettings): Promise<void> {
  let bytes = 0;
  setInterval(() => say({ at: performance.now(), bytes }), SAMPLE_MS);
  for await (const line of told()) {
    if ("send" in line) continue;
    const peer = newPeer(line.lane, mtu);
    peer.onDataChannel((channel) => {
      held.push(channel);
      channel.onMessage((message) => {
        bytes += typeof message === "string" ? message.length : message.byteLength;
      });
    });
    answer(peer, line.sdp);
  }
}

async function* told(): AsyncGenerator<Told, void> {
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) yield JSON.parse(line) as Told;
}

/** The next line of a child that says this kind of thing. */
async function next<Key extends "sdp" | "open" | "bytes">(
  child: LineChild,
  key: Key,
): Promise<Extract<Said, Record<Key, unknown>>> {
  for (;;) {
    const said = JSON.parse(await child.line()) as Said;
    if (key in said) return said as Extract<Said, Record<Key, unknown>>;
  }
}

/** Sends for a while, between two new processes. */
export async function measureRaw(settings: RawSettings): Promise<RawFigures> {
  const { lanes = 1, seconds = 8, rttMs, rate, loss, reorder } = settings;
  const text = JSON.stringify(settings);
  await using receiver = new LineChild("./rtc_raw.ts", ["receive", text]);
  await using sender = new LineChild("./rtc_raw.ts", ["send", text]);
  const linked = rttMs !== undefined || rate !== undefined || loss !== undefined || reorder !== undefined;
  await using link = linked ? UdpWay.start({ rttMs: rttMs ?? 0, rate, loss, reorder }) : undefined;
  for (let connected = 0; connected < lanes; connected++) {
    const { sdp: offer, lane } = await next(sender, "sdp");
    const way = await link?.connect(offer);
    await receiver.tell(JSON.stringify({ sdp: way?.offer ?? offer, lane }));
    const { sdp } = await next(receiver, "sdp");
    await sender.tell(JSON.stringify({ sdp: await way?.answer(sdp) ?? sdp, lane }));
  }
  for (let open = 0; open < lanes;) ({ open } = await next(sender, "open"));
  const cpu = (): Promise<number[]> =>
    Promise.all([sender.cpuSeconds(), receiver.cpuSeconds(), link?.cpuSeconds() ?? NaN]);
  const before = await cpu();
  await sender.tell(JSON.stringify({ send: true }));
  const samples: { at: number; bytes: number }[] = [];
  let last = await next(receiver, "bytes");
  while (samples.length < seconds * 1000 / SAMPLE_MS + 1) {
    const sample = await next(receiver, "bytes");
    if (sample.bytes > 0 && samples.length === 0) samples.push(last);
    if (samples.length > 0) samples.push(sample);
    last = sample;
  }
  const after = await cpu();
  const found = figures(samples, after.map((value, index) => value - before[index]!));
  return link ? { ...found, link: await link.counts() } : found;
}

function figures(samples: { at: number; bytes: number }[], cpu: number[]): RawFigures {
  const rate = (from: number, to: number): number => {
    const [a, b] = [samples[from]!, samples[to]!];
    return (b.bytes - a.bytes) / MIB / ((b.at - a.at) / 1000);
  };
  const [end, each] = [samples.length - 1, 1000 / SAMPLE_MS];
  const perSecond: number[] = [];
  for (let at = 0; at + each <= end; at += each) perSecond.push(Math.round(rate(at, at + each)));
  const mib = samples.at(-1)!.bytes / MIB;
  const [senderCpu, receiverCpu, linkCpu] = cpu.map((value) => round(value * 1000 / mib));
  return {
    mibPerS: round(rate(0, end)),
    secondHalfMibPerS: round(rate(Math.floor(end / 2), end)),
    slowestMibPerS: Math.min(...perSecond.slice(1)),
    senderCpuMsPerMib: senderCpu!,
    receiverCpuMsPerMib: receiverCpu!,
    linkCpuMsPerMib: linkCpu!,
    perSecond,
  };
}

if (import.meta.main) {
  const [first = "{}", second = "{}"] = Deno.args;
  if (first === "send" || first === "receive") {
    const settings = JSON.parse(second) as RawSettings;
    if (settings.sctp) setSctpSettings(settings.sctp);
    if (first === "send") await beSender(settings);
    else await beReceiver(settings);
    cleanup();
  } else console.log(JSON.stringify(await measureRaw(JSON.parse(first) as RawSettings)));
}
