import { decodeProtectedHeader, errors, jwtVerify, SignJWT } from "jose";
import { getLogger } from "@logtape/logtape";
import { z } from "zod";
import { reasonOf } from "../config/user_error.ts";
import type { Store } from "./store.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** How long a token is good unless told otherwise, in seconds. */
export const TOKEN_LIFETIME_S = 30 * 24 * 60 * 60;
const ISSUER = "sleap-rtc";
/** Names of the signing keys among the store's settings; each ends in the key's id. */
const KEY_PREFIX = "token_key:";
/** How long another server's revocation, over the same store, may go unseen; milliseconds. */
const REVOKED_AFTER_MS = 10_000;
/** Tokens of unknown keys make the store look for those no more often; milliseconds. */
const NEW_KEYS_AFTER_MS = 1_000;

const keySchema = z.object({ secret: z.base64url().length(43) });
const revokedSchema = z.object({ until: z.number() });
const claimsSchema = z.object({ sub: z.string().min(1), jti: z.string().min(1) });

/** Why a token is not good. */
export class TokenError extends Error {
  /** `revoked`: it was good until somebody took it back. */
  readonly kind: "invalid" | "expired" | "revoked";

  constructor(kind: TokenError["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** What a good token says. */
export interface Claims {
  /** Whose it is: the user name, which is the peer id. */
  username: string;
  /** Of this token alone. */
  id: string;
}

/**
 * Issues, verifies and revokes the `id_token` of anonymous peers: a signed JWT. Keys and revocations are in the store,
 * so tokens outlive the process, and servers that share a store accept each other's.
 */
export class Tokens {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #lifetimeS: number;
  readonly #keys = new Map<string, Uint8Array>();
  #signing = "";
  /** Until when, in seconds, by token id or user name. */
  #revoked = new Map<string, number>();
  #revokedRead = 0;
  #keysRead = 0;

  private constructor(store: Store, now: () => number, lifetimeS: number) {
    this.#store = store;
    this.#now = now;
    this.#lifetimeS = lifetimeS;
  }

  /** Takes the signing key of the store, or makes one; `now` gives milliseconds since the epoch. */
  static async open(
    store: Store,
    now: () => number = Date.now,
    lifetimeS = TOKEN_LIFETIME_S,
  ): Promise<Tokens> {
    const tokens = new Tokens(store, now, lifetimeS);
    await tokens.#readKeys();
    await tokens.#readRevoked();
    // A server that starts at this moment may make one too: the first unknown key is looked for at once.
    tokens.#keysRead = 0;
    tokens.#signing = [...tokens.#keys.keys()].sort()[0] ?? await tokens.#makeKey();
    return tokens;
  }

  /** A token for a user name, a fresh one unless given. */
  async issue(username: string = crypto.randomUUID()): Promise<{ idToken: string; username: string }> {
    const issuedAt = this.#seconds();
    const idToken = await new SignJWT().setProtectedHeader({ alg: "HS256", kid: this.#signing }).setIssuer(
      ISSUER,
    )
      .setSubject(username).setJti(crypto.randomUUID()).setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + this.#lifetimeS).sign(this.#key(this.#signing));
    return { idToken, username };
  }

  /** What the token says. Throws {@link TokenError} when it is not one of this store's, too old or revoked. */
  async verify(idToken: string): Promise<Claims> {
    const { sub: username, jti: id } = await this.#claims(idToken);
    if (this.#now() - this.#revokedRead > REVOKED_AFTER_MS) await this.#refreshRevoked();
    const until = Math.max(this.#revoked.get(id) ?? 0, this.#revoked.get(username) ?? 0);
    if (until > this.#seconds()) throw new TokenError("revoked", "the token was revoked");
    return { username, id };
  }

  /** Takes back every token of a user name, or the token of that id alone; kept when it returns. */
  async revoke(usernameOrId: string): Promise<void> {
    const until = this.#seconds() + this.#lifetimeS;
    await this.#store.put("revoked", usernameOrId, { until });
    this.#revoked.set(usernameOrId, until);
  }

  async #claims(idToken: string): Promise<z.infer<typeof claimsSchema>> {
    try {
      const { kid } = decodeProtectedHeader(idToken);
      if (kid !== undefined && !this.#keys.has(kid)) await this.#lookForKeys();
      const { payload } = await jwtVerify(idToken, this.#key(kid), {
        algorithms: ["HS256"],
        issuer: ISSUER,
        currentDate: new Date(this.#now()),
        requiredClaims: ["exp"],
      });
      return claimsSchema.parse(payload);
    } catch (cause) {
      if (cause instanceof errors.JWTExpired) {
        throw new TokenError("expired", "the token has expired", { cause });
      }
      throw new TokenError("invalid", "not a token of this server", { cause });
    }
  }

  #key(id: string | undefined): Uint8Array {
    const key = this.#keys.get(id ?? "");
    if (key === undefined) throw new TokenError("invalid", "a token of an unknown key");
    return key;
  }

  /** Another server on the same store may have made one. */
  async #lookForKeys(): Promise<void> {
    if (this.#now() - this.#keysRead > NEW_KEYS_AFTER_MS) await this.#readKeys();
  }

  async #readKeys(): Promise<void> {
    this.#keysRead = this.#now();
    for (const [name, value] of await this.#store.all("setting")) {
      const parsed = keySchema.safeParse(value);
      if (!name.startsWith(KEY_PREFIX) || !parsed.success) continue;
      this.#keys.set(
        name.slice(KEY_PREFIX.length),
        Uint8Array.fromBase64(parsed.data.secret, { alphabet: "base64url" }),
      );
    }
  }

  async #makeKey(): Promise<string> {
    const [id, key] = [crypto.randomUUID(), crypto.getRandomValues(new Uint8Array(32))];
    const secret = key.toBase64({ alphabet: "base64url", omitPadding: true });
    await this.#store.put("setting", `${KEY_PREFIX}${id}`, { secret });
    this.#keys.set(id, key);
    return id;
  }

  /** A store that is away for a moment must not keep everybody out. */
  async #refreshRevoked(): Promise<void> {
    try {
      await this.#readRevoked();
    } catch (error) {
      logger.error("cannot read the revoked tokens: {reason}", reasonOf(error));
    }
  }

  async #readRevoked(): Promise<void> {
    this.#revokedRead = this.#now();
    const revoked = new Map<string, number>();
    for (const [key, value] of await this.#store.all("revoked")) {
      const parsed = revokedSchema.safeParse(value);
      if (parsed.success && parsed.data.until > this.#seconds()) revoked.set(key, parsed.data.until);
      // No token that it could be about is good any more.
      else await this.#store.delete("revoked", key);
    }
    this.#revoked = revoked;
  }

  #seconds(): number {
    return Math.floor(this.#now() / 1000);
  }
}
