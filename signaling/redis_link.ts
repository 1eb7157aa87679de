/** A server's connections to Redis: one for commands and what it publishes, one for what it hears. */
import { getLogger } from "@logtape/logtape";
import type { createClient } from "@redis/client";
import { withoutCredentials } from "../config/mistake.ts";
import { errorText, UserError } from "../config/user_error.ts";

const logger = getLogger(["sleap-rtc", "signaling"]);

/** What all keys and channels begin with. */
export const PREFIX = "sleap-rtc:";
/** Redis is asked whether it is there so often, in milliseconds; for a connection that was cut without a word. */
const PING_MS = 2_000;
/** A connection that is silent for so long is made anew, in milliseconds. */
const SILENT_MS = 8_000;
/** At the start Redis must answer within this, in milliseconds. */
const CONNECT_MS = 5_000;
/** Longest pause between attempts to reconnect, in milliseconds. */
const LAST_PAUSE_MS = 2_000;

type Client = ReturnType<typeof createClient>;

/** Comes back by itself; while Redis is away every command fails at once. */
export class RedisLink {
  /** For commands. What is published in one order arrives in that order. */
  readonly client: Client;
  readonly #hearing: Client;
  readonly #upListeners = new Set<() => void>();
  #isAway = false;
  #isClosed = false;

  private constructor(client: Client, hearing: Client) {
    this.client = client;
    this.#hearing = hearing;
    for (const each of [client, hearing]) {
      each.on("error", (error) => this.#tellAway(error));
      each.on("ready", () => this.#tellBack());
    }
  }

  /** Connects to `redis://user:password@host:port/db`, or `rediss://`. Throws {@link UserError} when that fails. */
  static async open(url: string): Promise<RedisLink> {
    // Loaded here: a server with another store starts without it.
    const { createClient } = await import("./redis_client.ts");
    let isOpen = false;
    const reconnectStrategy = (retries: number, cause: Error): number | Error =>
      isOpen ? Math.min(50 * 2 ** Math.min(retries, 10), LAST_PAUSE_MS) * (0.5 + Math.random() / 2) : cause;
    const client = createClient({
      url,
      disableOfflineQueue: true,
      // Asks for environment variables otherwise, and is for another product.
      maintNotifications: "disabled",
      pingInterval: PING_MS,
      socket: { connectTimeout: CONNECT_MS, socketTimeout: SILENT_MS, reconnectStrategy },
    });
    const hearing = client.duplicate();
    const link = new RedisLink(client as Client, hearing as Client);
    try {
      link.#isAway = true; // what goes wrong now is told by the error
      await Promise.all([client.connect(), hearing.connect()]);
      isOpen = true;
      link.#isAway = false;
      return link;
    } catch (error) {
      link.close();
      throw new UserError(`cannot use Redis at ${withoutCredentials(url)}: ${errorText(error)}`, {
        hint: "is it running, and are host, port, user and password right?",
        cause: error,
      });
    }
  }

  /** Whether Redis can be spoken to and heard at this moment. */
  get isReady(): boolean {
    return this.client.isReady && this.#hearing.isReady;
  }

  /** Calls back whenever Redis is there again after it was away: messages were missed. */
  onBack(listener: () => void): void {
    this.#upListeners.add(listener);
  }

  /** Calls back for each text that somebody publishes. */
  async hear(channel: string, listener: (text: string) => void): Promise<void> {
    await this.#hearing.subscribe(PREFIX + channel, listener);
  }

  /** Sends a text to all that hear the channel; to how many. */
  publish(channel: string, text: string): Promise<number> {
    return this.client.publish(PREFIX + channel, text);
  }

  close(): void {
    this.#isClosed = true;
    for (const each of [this.client, this.#hearing]) if (each.isOpen) each.destroy();
  }

  #tellAway(error: unknown): void {
    if (this.#isAway || this.#isClosed) return;
    this.#isAway = true;
    logger.error("Redis is away: {reason}; this server goes on with the peers that it has", {
      reason: errorText(error),
    });
  }

  #tellBack(): void {
    if (!this.#isAway || !this.isReady) return;
    this.#isAway = false;
    // The first connection is no return.
    if (this.#upListeners.size === 0) return;
    logger.info("Redis is back");
    for (const listener of this.#upListeners) listener();
  }
}
