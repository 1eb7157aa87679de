/**
 * A link between two UDP peers as a process of its own: it delays, shapes, loses and reorders what goes through it.
 *
 *     deno run -A scripts/bench/udp_link.ts [--delay MS] [--rate 300mbit] [--loss 0.1%] [--reorder 1%] [--queue BYTES]
 *
 * Commands on stdin, a line each; every one but `halt` and `go on` is answered by a line:
 *
 *     lane            opens a pair of sockets: `lane N ADDRESS_A ADDRESS_B`
 *     peers N A B     where lane N's two peers are, `IP:PORT` each; what A sends to ADDRESS_A reaches B from ADDRESS_B
 *     halt            nothing goes through any more …
 *     go on           … until now; what came in between is lost
 *     counts          `counts FORWARDED LOST FULL REFUSED`, packets in both directions
 *
 * All lanes share the rate and the queue, one of each per direction. Linux only: it reads packets in batches by
 * `recvmmsg` of the C library and writes those of one length together (`UDP_SEGMENT`), since a call per packet would
 * cost the very processor time that is to be measured.
 */
import { setImmediate } from "node:timers";
import { TextLineStream } from "../text_lines.ts";
import { parseLoss, parseRate } from "./link_options.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SO_SNDBUFFORCE = 32;
const MSG_DONTWAIT = 0x40;
/** Bytes of kernel buffer per socket; a tick's worth of packets fits many times. */
const SOCKET_BUFFER_BYTES = 8 * 2 ** 20;
/** Largest packet in bytes; an Ethernet frame's payload fits. */
const PACKET_BYTES = 2048;
/** Packets under way per direction. */
const SLOTS = 16_384;
/** `struct mmsghdr` on 64-bit Linux: its bytes, and where its fields lie. */
const HEADER_BYTES = 64;
const [NAME_AT, NAME_LENGTH_AT, VECTORS_AT, VECTOR_COUNT_AT] = [0, 8, 16, 24];
const [CONTROL_AT, CONTROL_LENGTH_AT, HEADER_LENGTH_AT] = [32, 40, 56];
/** Its parts, in bytes. */
const IOVEC_BYTES = 16;
const SOCKADDR_BYTES = 16;
/** Packets per system call that reads. */
const BATCH = 256;
/** Packets, and bytes of them, that the kernel sends as one and takes apart itself. */
const MAX_SEGMENTS = 64;
const MAX_SEGMENTED_BYTES = 65_000;
/** `struct cmsghdr` with the two bytes of a `UDP_SEGMENT`, as it is counted and as it lies. */
const CONTROL_LENGTH = 18;
const CONTROL_BYTES = 24;
const SEGMENT_LENGTH_AT = 16;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
/** Between two looks at the packets the process sleeps this long, in microseconds: its timers are too coarse. */
const TICK_US = 500;
/** A packet that is reordered comes this much later than its time, in milliseconds. */
const REORDER_MS = 3;
/** IPv4 and UDP headers, in bytes, which a link's rate includes. */
const OVERHEAD_BYTES = 28;

const libc = Deno.dlopen("libc.so.6", {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  recvmmsg: { parameters: ["i32", "pointer", "u32", "i32", "pointer"], result: "i32" },
  sendmmsg: { parameters: ["i32", "pointer", "u32", "i32"], result: "i32" },
  usleep: { parameters: ["u32"], result: "i32" },
  setpriority: { parameters: ["i32", "u32", "i32"], result: "i32" },
}).symbols;

/** Address of a byte of a buffer, for the C library. */
function addressOf(buffer: Uint8Array<ArrayBuffer>, at = 0): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer)) + BigInt(at);
}

/** `struct sockaddr_in` of an `IP:PORT`. */
function socketAddress(text: string): Uint8Array<ArrayBuffer> {
  const [ip = "", port = ""] = text.split(":");
  const bytes = new Uint8Array(SOCKADDR_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, Number(port));
  bytes.set(ip.split(".").map(Number), 4);
  return bytes;
}

/** A bound UDP socket and its address. */
interface Socket {
  descriptor: number;
  address: string;
}

function openSocket(): Socket {
  const descriptor = libc.socket(AF_INET, SOCK_DGRAM, 0);
  const size = new Uint8Array(new Uint32Array([SOCKET_BUFFER_BYTES]).buffer);
  // Refused without privilege; the kernel's default then limits how late a tick may be.
  libc.setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, size, 4);
  libc.setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, size, 4);
  const name = socketAddress("127.0.0.1:0");
  if (libc.bind(descriptor, name, SOCKADDR_BYTES) !== 0) throw new Error("cannot bind a UDP socket");
  libc.getsockname(descriptor, name, new Uint8Array(new Uint32Array([SOCKADDR_BYTES]).buffer));
  return { descriptor, address: `127.0.0.1:${new DataView(name.buffer).getUint16(2)}` };
}

/** What a link does to packets. */
interface LinkOptions {
  delayMs: number;
  /** Bits per millisecond; Infinity without a limit. */
  bitsPerMs: number;
  /** Probabilities, 0 to 1. */
  loss: number;
  reorder: number;
  /** Bytes that wait for their turn at most; more are dropped. */
  queueBytes: number;
}

/** Where a lane's packets of one direction come from and go to. */
interface Route {
  from: number;
  to: number;
  /** `struct sockaddr_in` of the receiving peer; undefined until it is known. */
  target: Uint8Array<ArrayBuffer> | undefined;
}

/** One direction: a ring of packets that wait for their time. They are read into it and written from it in place. */
class Direction {
  readonly #options: LinkOptions;
  readonly routes: Route[] = [];
  readonly counts = { forwarded: 0, lost: 0, full: 0, refused: 0 };
  halted = false;
  readonly #packets = new Uint8Array(SLOTS * PACKET_BYTES);
  readonly #headers = new Uint8Array(SLOTS * HEADER_BYTES);
  readonly #headersView = new DataView(this.#headers.buffer);
  readonly #vectors = new Uint8Array(SLOTS * IOVEC_BYTES);
  readonly #vectorsView = new DataView(this.#vectors.buffer);
  readonly #headerPointers: Deno.PointerValue[] = [];
  /** What is sent next, and into packets of which length the kernel takes it apart. */
  readonly #outgoing = new DataView(new ArrayBuffer(HEADER_BYTES));
  readonly #outgoingPointer = Deno.UnsafePointer.of(this.#outgoing);
  readonly #control = new DataView(new ArrayBuffer(CONTROL_BYTES));
  readonly #due = new Float64Array(SLOTS);
  readonly #route = new Uint16Array(SLOTS);
  /** Bytes of the packet in a slot; 0 when it was dropped. */
  readonly #lengths = new Uint16Array(SLOTS);
  /** Packets ever read and ever gone; the ring's places are these modulo its size. */
  #read = 0;
  #gone = 0;
  /** When the link will have sent what waits, in milliseconds. */
  #freeAt = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#control.setBigUint64(0, BigInt(CONTROL_LENGTH), true);
    this.#control.setInt32(8, SOL_UDP, true);
    this.#control.setInt32(12, UDP_SEGMENT, true);
    this.#outgoing.setUint32(NAME_LENGTH_AT, SOCKADDR_BYTES, true);
    this.#outgoing.setBigUint64(CONTROL_AT, addressOf(new Uint8Array(this.#control.buffer)), true);
    this.#outgoing.setBigUint64(CONTROL_LENGTH_AT, BigInt(CONTROL_BYTES), true);
    const [packets, headers, vectors] = [
      addressOf(this.#packets),
      addressOf(this.#headers),
      addressOf(this.#vectors),
    ];
    for (let slot = 0; slot < SLOTS; slot++) {
      const [vector, header] = [slot * IOVEC_BYTES, slot * HEADER_BYTES];
      this.#vectorsView.setBigUint64(vector, packets + BigInt(slot * PACKET_BYTES), true);
      this.#headersView.setBigUint64(header + VECTORS_AT, vectors + BigInt(vector), true);
      this.#headersView.setBigUint64(header + VECTOR_COUNT_AT, 1n, true);
      this.#prepare(slot);
      this.#headerPointers.push(Deno.UnsafePointer.create(headers + BigInt(header)));
    }
  }

  /** Makes a slot ready to be read into. */
  #prepare(slot: number): void {
    this.#vectorsView.setUint32(slot * IOVEC_BYTES + 8, PACKET_BYTES, true);
  }

  /** Reads what came and writes what is due. */
  tick(now: number): void {
    for (let route = 0; route < this.routes.length; route++) this.#receive(route, now);
    while (this.#gone < this.#read) {
      const slot = this.#gone % SLOTS;
      if (this.#due[slot]! > now) break;
      if (this.#lengths[slot]! === 0) {
        this.#prepare(slot);
        this.#gone++;
      } else this.#send(slot, now);
    }
  }

  #receive(index: number, now: number): void {
    const route = this.routes[index]!;
    for (;;) {
      const slot = this.#read % SLOTS;
      const room = Math.min(BATCH, SLOTS - slot, SLOTS - (this.#read - this.#gone));
      if (room === 0) return;
      const got = libc.recvmmsg(route.from, this.#headerPointers[slot]!, room, MSG_DONTWAIT, null);
      if (got <= 0) return;
      for (let at = slot; at < slot + got; at++) this.#take(at, index, now);
      this.#read += got;
      if (got < room) return;
    }
  }

  /** Decides on a packet that was read. */
  #take(slot: number, index: number, now: number): void {
    const { bitsPerMs, queueBytes, loss, reorder, delayMs } = this.#options;
    const length = this.#headersView.getUint32(slot * HEADER_BYTES + HEADER_LENGTH_AT, true);
    this.#due[slot] = 0;
    this.#lengths[slot] = 0;
    if (this.halted || !this.routes[index]!.target) return;
    const waitsMs = Math.max(0, this.#freeAt - now);
    if (waitsMs * bitsPerMs > queueBytes * 8) return void this.counts.full++;
    this.#freeAt = now + waitsMs + (length + OVERHEAD_BYTES) * 8 / bitsPerMs;
    // Lost behind the narrow place: it took its time there.
    if (loss > 0 && Math.random() < loss) return void this.counts.lost++;
    if (reorder > 0 && Math.random() < reorder) return this.#sendLater(slot, length, index, now);
    this.#due[slot] = this.#freeAt + delayMs;
    this.#lengths[slot] = length;
    this.#route[slot] = index;
  }

  /** A copy goes its own way, by a timer: these are few. */
  #sendLater(slot: number, length: number, index: number, now: number): void {
    const packet = this.#packets.slice(slot * PACKET_BYTES, slot * PACKET_BYTES + length);
    const { to, target } = this.routes[index]!;
    const later = this.#freeAt - now + this.#options.delayMs + REORDER_MS;
    setTimeout(() => {
      const vector = new BigUint64Array([addressOf(packet), BigInt(length)]);
      const header = new BigUint64Array(HEADER_BYTES / 8);
      header.set([addressOf(target!), BigInt(SOCKADDR_BYTES), addressOf(new Uint8Array(vector.buffer)), 1n]);
      libc.sendmmsg(to, Deno.UnsafePointer.of(header), 1, MSG_DONTWAIT);
      this.counts.forwarded++;
    }, later);
  }

  /** Writes the packet in a slot, together with those after it that the kernel takes with it, and makes room. */
  #send(slot: number, now: number): void {
    const { to, target } = this.routes[this.#route[slot]!]!;
    const [count, length] = [this.#alike(slot, now), this.#lengths[slot]!];
    for (let at = slot; at < slot + count; at++) {
      this.#vectorsView.setUint32(at * IOVEC_BYTES + 8, length, true);
    }
    this.#outgoing.setBigUint64(NAME_AT, addressOf(target!), true);
    this.#outgoing.setBigUint64(VECTORS_AT, addressOf(this.#vectors, slot * IOVEC_BYTES), true);
    this.#outgoing.setBigUint64(VECTOR_COUNT_AT, BigInt(count), true);
    this.#control.setUint16(SEGMENT_LENGTH_AT, length, true);
    // A peer that is gone, or a full buffer: lost, as on a real link.
    const isSent = libc.sendmmsg(to, this.#outgoingPointer, 1, MSG_DONTWAIT) === 1;
    this.counts[isSent ? "forwarded" : "refused"] += count;
    for (let at = slot; at < slot + count; at++) this.#prepare(at);
    this.#gone += count;
  }

  /** How many packets from a slot on go the same way, are due, and have one length. */
  #alike(first: number, now: number): number {
    const [length, index] = [this.#lengths[first]!, this.#route[first]!];
    const most = Math.min(MAX_SEGMENTS, Math.floor(MAX_SEGMENTED_BYTES / length), this.#read - this.#gone);
    const end = Math.min(SLOTS, first + most);
    let slot = first + 1;
    while (
      slot < end && this.#lengths[slot] === length && this.#route[slot] === index && this.#due[slot]! <= now
    ) slot++;
    return slot - first;
  }
}

function parseOptions(args: readonly string[]): LinkOptions {
  const given = new Map<string, string>();
  for (let at = 0; at < args.length; at += 2) given.set(args[at]!, args[at + 1] ?? "");
  const take = (name: string): string | undefined => {
    const value = given.get(name);
    given.delete(name);
    return value;
  };
  const delayMs = Number(take("--delay") ?? 0);
  const bitsPerMs = parseRate(take("--rate")) / 1000;
  // Twice the delay is the round trip: one bandwidth-delay product, at least 256 KiB, 1 MiB without a rate.
  const product = Number.isFinite(bitsPerMs) ? bitsPerMs * 2 * delayMs / 8 : 2 ** 20;
  const queueBytes = Number(take("--queue") ?? Math.max(product, 2 ** 18));
  const [loss, reorder] = [parseLoss(take("--loss")), parseLoss(take("--reorder"))];
  if (given.size > 0 || !(delayMs >= 0) || !(queueBytes > 0)) throw new Error("unknown or bad option");
  return { delayMs, bitsPerMs, loss, reorder, queueBytes };
}

async function main(): Promise<void> {
  const options = parseOptions(Deno.args);
  const [forth, back] = [new Direction(options), new Direction(options)];
  // Refused without privilege. A link that waits for a processor delays more than it should.
  libc.setpriority(0, 0, -15);
  let running = true;
  const tick = (): void => {
    const now = performance.now();
    forth.tick(now);
    back.tick(now);
    libc.usleep(TICK_US);
    if (running) setImmediate(tick);
  };
  tick();
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) {
    const [command, ...words] = line.trim().split(" ");
    if (command === "lane") {
      const [a, b] = [openSocket(), openSocket()];
      forth.routes.push({ from: a.descriptor, to: b.descriptor, target: undefined });
      back.routes.push({ from: b.descriptor, to: a.descriptor, target: undefined });
      console.log(`lane ${forth.routes.length - 1} ${a.address} ${b.address}`);
    } else if (command === "peers") {
      const [lane = "", a = "", b = ""] = words;
      forth.routes[Number(lane)]!.target = socketAddress(b);
      back.routes[Number(lane)]!.target = socketAddress(a);
      console.log(`peers ${lane}`);
    } else if (command === "halt" || command === "go") {
      forth.halted = back.halted = command === "halt";
    } else if (command === "counts") {
      const sum = (key: keyof Direction["counts"]): number => forth.counts[key] + back.counts[key];
      console.log(`counts ${sum("forwarded")} ${sum("lost")} ${sum("full")} ${sum("refused")}`);
    } else console.error(`unknown command: ${line}`);
  }
  running = false;
}

if (import.meta.main) await main();
