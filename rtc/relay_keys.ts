/** Keys of a channel over the signaling server, one pair for each attempt (docs/protocol.md). */
import { Buffer } from "node:buffer";
import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from "node:crypto";
import { relayPublicKeySchema } from "../protocol/relay.ts";
import { ConnectionError } from "./transfer_error.ts";

/** Bytes of an AES-256 key. */
const KEY_BYTES = 32;
/** Bytes of the name that a relayed message's channel is told by. */
const ID_BYTES = 8;
/** What comes before a raw private key in PKCS #8. Source: RFC 8410. */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");

/** Which side of a connection: the one that offers is the client. */
export type RelayRole = "client" | "worker";

/** What both sides have agreed on, as one of them sees it. */
export interface RelayKeys {
  readonly role: RelayRole;
  /** Key for what this side sends, 32 bytes. */
  readonly send: Uint8Array;
  /** Key for what this side receives, 32 bytes. */
  readonly receive: Uint8Array;
  /** Tells the messages of this connection from those of an earlier one, 8 bytes; no secret. */
  readonly id: Uint8Array;
  /**
   * Both public keys, the client's first, with a dot between. The server hands the keys over and could hand over its
   * own: a proof of a shared secret over this text, made by both sides, shows that it did not.
   */
  readonly binding: string;
}

/** This side's key pair for one connection attempt. */
export class RelayKeyPair {
  readonly #privateKey: KeyObject;
  /** For offer or answer, as `sleap_rtc.relay`: 43 characters of base64url. */
  readonly publicKey: string;

  /** A fresh pair, or that of a raw private key of 32 bytes. */
  constructor(privateKey?: Uint8Array) {
    this.#privateKey = privateKey === undefined
      ? generateKeyPairSync("x25519").privateKey
      : createPrivateKey({
        key: Buffer.concat([PKCS8_PREFIX, privateKey]),
        format: "der",
        type: "pkcs8",
      });
    this.publicKey = String(createPublicKey(this.#privateKey).export({ format: "jwk" }).x);
  }

  /**
   * The keys that this side, in its role, shares with the owner of another public key.
   * Throws {@link ConnectionError} for a text that is no key, and for a key with which nothing would be secret.
   */
  agree(role: RelayRole, other: string): RelayKeys {
    const binding = role === "client" ? `${this.publicKey}.${other}` : `${other}.${this.publicKey}`;
    const info = `sleap-rtc relay 1 ${binding}`;
    const length = 2 * KEY_BYTES + ID_BYTES;
    const bytes = new Uint8Array(
      hkdfSync("sha256", this.#sharedSecret(other), new Uint8Array(), info, length),
    );
    const [fromClient, fromWorker] = [bytes.subarray(0, KEY_BYTES), bytes.subarray(KEY_BYTES, 2 * KEY_BYTES)];
    return {
      role,
      send: role === "client" ? fromClient : fromWorker,
      receive: role === "client" ? fromWorker : fromClient,
      id: bytes.subarray(2 * KEY_BYTES),
      binding,
    };
  }

  #sharedSecret(other: string): Uint8Array {
    if (!relayPublicKeySchema.safeParse(other).success) {
      throw new ConnectionError("the other side's relay key is no X25519 key");
    }
    const weak = "the other side's relay key is unsafe";
    let secret: Uint8Array;
    try {
      const key = { kty: "OKP", crv: "X25519", x: other };
      const publicKey = createPublicKey({ key, format: "jwk" });
      secret = diffieHellman({ privateKey: this.#privateKey, publicKey });
    } catch {
      throw new ConnectionError(weak);
    }
    // A point of low order: some versions of the runtime refuse it, others give zeros (RFC 7748 section 6.1).
    if (secret.every((byte) => byte === 0)) throw new ConnectionError(weak);
    return secret;
  }
}
