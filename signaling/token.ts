import { jwtVerify, SignJWT } from "jose";

const LIFETIME_S = 24 * 60 * 60;
const ISSUER = "sleap-rtc";

/** Issues and verifies the `id_token` of anonymous peers: a JWT signed with a secret that only this server run knows. */
export class Tokens {
  readonly #secret = crypto.getRandomValues(new Uint8Array(32));
  readonly #now: () => number;

  /** `now` gives milliseconds since the epoch. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** A token valid for 24 h, for a fresh user name. */
  async issue(): Promise<{ idToken: string; username: string }> {
    const username = crypto.randomUUID();
    const issuedAt = Math.floor(this.#now() / 1000);
    const idToken = await new SignJWT().setProtectedHeader({ alg: "HS256" }).setIssuer(ISSUER)
      .setSubject(username).setIssuedAt(issuedAt).setExpirationTime(issuedAt + LIFETIME_S).sign(this.#secret);
    return { idToken, username };
  }

  /** Throws when the token is not one of this server's, or too old. */
  async verify(idToken: string): Promise<void> {
    const currentDate = new Date(this.#now());
    await jwtVerify(idToken, this.#secret, { algorithms: ["HS256"], issuer: ISSUER, currentDate });
  }
}
