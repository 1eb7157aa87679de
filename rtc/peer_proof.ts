/** How two peers prove that they know the room's secret (docs/protocol.md, "Peer authentication"). */
import type { ErrorCode } from "../config/error_code.ts";
import { createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { ROOM_PROOF } from "../protocol/extension.ts";
import { formatMessage, type Message, parseMessage } from "../protocol/message.ts";
import type { Channel } from "./channel.ts";
import { ConnectionError } from "./transfer_error.ts";

/** Which end of a connection a peer is: the client offers, the worker answers. */
export type PeerRole = "client" | "worker";

/** The other side did not prove that it knows the room secret. */
export class PeerProofError extends ConnectionError {
  static override readonly code: ErrorCode = "ROOM_SECRET_MISMATCH";
}

/** How a peer proves itself. */
export interface ProofOptions {
  /** Which end this side is. */
  role: PeerRole;
  /** The room secret, as the configuration has it. */
  secret: string;
  /** `Peer.binding` of this side. */
  binding: string;
  /** For the whole exchange, in milliseconds. Default: 10,000. */
  limitMs?: number;
  signal?: AbortSignal | undefined;
}

/** What both proofs are made from. */
export interface ProofFacts {
  secret: string;
  /** 64 hex digits. */
  clientNonce: string;
  /** 64 hex digits. */
  workerNonce: string;
  binding: string;
}

const LABEL = "sleap-rtc peer proof v1";
const LIMIT_MS = 10_000;
/** 32 MiB and about a tenth of a second for each guess at a secret that somebody made up. */
const SCRYPT = { N: 32_768, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
const SAME_SECRET = "both sides need the same SLEAP_RTC_ROOM_SECRET, or room_secret in sleap-rtc.toml";

/** A key of 32 bytes from a secret that may be short of randomness. */
function stretch(secret: string, salt: string): Promise<Uint8Array> {
  return new Promise((resolve, reject) =>
    scrypt(secret, salt, 32, SCRYPT, (error, key) => error ? reject(error) : resolve(key))
  );
}

/** What each side sends as its proof: 64 hex digits, distinct for the two. */
export async function peerProofs(
  { secret, clientNonce, workerNonce, binding }: ProofFacts,
): Promise<Record<PeerRole, string>> {
  const salt = [LABEL, clientNonce, workerNonce].join("\n");
  const key = await stretch(secret, salt);
  const proof = (role: PeerRole): string =>
    createHmac("sha256", key).update([LABEL, role, clientNonce, workerNonce, binding].join("\n")).digest(
      "hex",
    );
  return { client: proof("client"), worker: proof("worker") };
}

/**
 * Proves to the other side that this one knows the room secret, and has it prove the same, over a channel on
 * which nothing was said before. Resolves when both hold; closes the channel otherwise, whatever went wrong.
 *
 * Throws {@link PeerProofError} when the other side is silent, hangs up, says something else or proves it
 * wrongly, {@link ConnectionError} when the channel was closed before, the abort reason.
 */
export async function provePeer(channel: Channel, options: ProofOptions): Promise<void> {
  const { role, limitMs = LIMIT_MS, signal } = options;
  const other = otherRole(role);
  const limit = new AbortController();
  const timer = setTimeout(() => {
    const text = `the ${other} did not prove within ${
      limitMs / 1000
    } s that it knows the room secret; has it one?`;
    limit.abort(new PeerProofError(text, SAME_SECRET));
  }, limitMs);
  try {
    await exchange(channel, options, AbortSignal.any(signal ? [limit.signal, signal] : [limit.signal]));
  } catch (error) {
    channel.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Tells a client early that only one side has a room secret; `features` are those of the worker's answer. A
 * courtesy: the signaling server can change them, so {@link provePeer} is called whenever there is a secret.
 * Throws {@link PeerProofError}.
 */
export function checkRoomProof(secret: string | undefined, features: readonly string[]): void {
  const isAsked = features.includes(ROOM_PROOF);
  if (isAsked === (secret !== undefined)) return;
  throw new PeerProofError(
    isAsked
      ? "the worker asks for a room secret, and none is set here"
      : "a room secret is set here, and the worker has none",
    SAME_SECRET,
  );
}

function otherRole(role: PeerRole): PeerRole {
  return role === "client" ? "worker" : "client";
}

async function exchange(
  channel: Channel,
  { role, secret, binding }: ProofOptions,
  signal: AbortSignal,
): Promise<void> {
  const other = otherRole(role);
  const say = (message: Message): Promise<void> => channel.send(formatMessage(message), signal);
  const own = randomBytes(32).toString("hex");
  await say({ type: "PEER_CHALLENGE", nonce: own });
  const { nonce } = await hear(channel, "PEER_CHALLENGE", other, signal);
  const [clientNonce, workerNonce] = role === "client" ? [own, nonce] : [nonce, own];
  const proofs = await peerProofs({ secret, clientNonce, workerNonce, binding });
  const prove = (): Promise<void> => say({ type: "PEER_PROOF", proof: proofs[role] });
  // A proof is something to try secrets against. Workers wait for anybody: theirs is for who knows the secret.
  if (role === "client") await prove();
  const { proof } = await hear(channel, "PEER_PROOF", other, signal);
  if (!isEqual(proof, proofs[other])) {
    const text =
      `the ${other}'s proof of the room secret is wrong: it has another secret, or somebody is in the middle`;
    throw new PeerProofError(text, SAME_SECRET);
  }
  if (role === "worker") await prove();
}

/** The next message, which must be of this type. */
async function hear<Type extends Message["type"]>(
  channel: Channel,
  type: Type,
  other: PeerRole,
  signal: AbortSignal,
): Promise<Extract<Message, { type: Type }>> {
  const received = await channel.receive(signal);
  if (received === undefined) {
    const text = `the ${other} hung up before the room secret was proven: it has another secret or none, ` +
      "or somebody is in the middle";
    throw new PeerProofError(text, SAME_SECRET);
  }
  const message = typeof received === "string" ? parseMessage(received) : { type: "bytes" as const };
  if (isOfType(message, type)) return message;
  const found = message.type === "MALFORMED" ? `a malformed ${message.keyword}` : message.type;
  throw new PeerProofError(
    `the ${other} did not prove that it knows the room secret: found ${found}, expected ${type}`,
    SAME_SECRET,
  );
}

function isOfType<Type extends Message["type"]>(
  message: { type: string },
  type: Type,
): message is Extract<Message, { type: Type }> {
  return message.type === type;
}

/** Compares hex digits of one length in constant time. */
function isEqual(a: string, b: string): boolean {
  return timingSafeEqual(new TextEncoder().encode(a), new TextEncoder().encode(b));
}
