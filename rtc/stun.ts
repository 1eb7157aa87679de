/** Asks a STUN server, as which a TURN server serves too, from which address it sees this machine (RFC 8489). */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { UserError } from "../config/user_error.ts";

/** Packets get lost: the question is sent again after so many milliseconds. */
const AGAIN_MS = 500;
const [BINDING_REQUEST, BINDING_SUCCESS] = [0x0001, 0x0101];
const MAGIC_COOKIE = 0x2112a442;
const HEADER_BYTES = 20;
const [MAPPED_ADDRESS, XOR_MAPPED_ADDRESS] = [0x0001, 0x0020];

/** What a server answered. */
export interface StunAnswer {
  /** Address and port from which the server sees this machine; undefined when it does not tell one that is known. */
  seenAs: string | undefined;
  roundTripMs: number;
}

/** Undefined when no answer comes in time. Throws {@link UserError} for a host that is not known, or not reached. */
export async function askStun(
  { hostname, port }: { hostname: string; port: number },
  limitMs: number,
): Promise<StunAnswer | undefined> {
  const { address, family } = await lookup(hostname).catch((error: unknown) => {
    throw new UserError(`the host ${hostname} is not known`, { code: "CONNECTION_FAILED", cause: error });
  });
  const id = randomBytes(12);
  const socket = createSocket(family === 6 ? "udp6" : "udp4");
  const { promise, resolve, reject } = Promise.withResolvers<StunAnswer | undefined>();
  const timers: ReturnType<typeof setTimeout>[] = [];
  let sent = performance.now();
  const send = (): void => {
    sent = performance.now();
    socket.send(bindingRequest(id), port, address, (error) => {
      if (error) {
        reject(
          new UserError(`nothing can be sent to ${hostname}: ${error.message}`, {
            code: "CONNECTION_FAILED",
          }),
        );
      }
    });
    timers.push(setTimeout(send, AGAIN_MS));
  };
  try {
    socket.on("error", (error) => reject(new UserError(error.message, { code: "CONNECTION_FAILED" })));
    socket.on("message", (message) => {
      const seenAs = readAnswer(message, id);
      if (seenAs !== undefined) {
        resolve({ seenAs: seenAs || undefined, roundTripMs: Math.round(performance.now() - sent) });
      }
    });
    timers.push(setTimeout(() => resolve(undefined), limitMs));
    send();
    return await promise;
  } finally {
    for (const timer of timers) clearTimeout(timer);
    socket.close();
  }
}

function bindingRequest(id: Buffer): Buffer {
  const request = Buffer.alloc(HEADER_BYTES);
  request.writeUInt16BE(BINDING_REQUEST, 0);
  request.writeUInt32BE(MAGIC_COOKIE, 4);
  id.copy(request, 8);
  return request;
}

/** The address in an answer to `id`, empty when there is none; undefined for anything else: it is from outside. */
export function readAnswer(message: Buffer, id: Buffer): string | undefined {
  const isOurs = message.length >= HEADER_BYTES && message.readUInt16BE(0) === BINDING_SUCCESS &&
    message.readUInt32BE(4) === MAGIC_COOKIE && message.subarray(8, 20).equals(id);
  if (!isOurs) return undefined;
  let found = "";
  for (let at = HEADER_BYTES; at + 4 <= message.length;) {
    const [type, length] = [message.readUInt16BE(at), message.readUInt16BE(at + 2)];
    const value = message.subarray(at + 4, at + 4 + length);
    if (value.length < length) break;
    if (type === XOR_MAPPED_ADDRESS) return addressOf(value, message.subarray(4, 20));
    if (type === MAPPED_ADDRESS) found = addressOf(value, Buffer.alloc(16));
    // Values are padded to words.
    at += 4 + Math.ceil(length / 4) * 4;
  }
  return found;
}

/** An address attribute, each byte xored with `mask`; empty when it is none. */
function addressOf(value: Buffer, mask: Buffer): string {
  if (value.length < 8) return "";
  const port = value.readUInt16BE(2) ^ mask.readUInt16BE(0);
  const bytes = [...value.subarray(4)].map((byte, index) => byte ^ mask[index % 16]!);
  if (value[1] === 1 && bytes.length === 4) return `${bytes.join(".")}:${port}`;
  if (value[1] !== 2 || bytes.length !== 16) return "";
  const groups = Array.from({ length: 8 }, (_, index) => {
    return ((bytes[2 * index]! << 8) | bytes[2 * index + 1]!).toString(16);
  });
  return `[${groups.join(":")}]:${port}`;
}
