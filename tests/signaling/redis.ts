import { TextLineStream } from "../../scripts/text_lines.ts";
import { RedisLink } from "../../signaling/redis_link.ts";
import { RedisStore } from "../../signaling/redis_store.ts";

/** Whether tests with a real Redis can run. */
export const HAS_REDIS = await new Deno.Command("redis-server", { args: ["--version"], stdout: "null" })
  .output()
  .then(({ success }) => success, () => false);
if (!HAS_REDIS) console.log("redis-server is not installed: tests of several servers are skipped");

const ATTEMPTS = 5;

/** A Redis of a test's own, which keeps nothing on disk. */
export class TestRedis {
  readonly port: number;
  readonly #folder: string;
  #child: Deno.ChildProcess | undefined;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
  }

  static async start(folder: string): Promise<TestRedis> {
    for (let attempt = 1;; attempt++) {
      const redis = new TestRedis(folder, freePort());
      // Somebody else may have taken the port.
      if (await redis.#run()) return redis;
      if (attempt === ATTEMPTS) throw new Error("redis-server does not start");
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}/3`;
  }

  /** As a crash: what it had is gone. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.status;
  }

  /** Starts again at the same port, empty. */
  async restart(): Promise<void> {
    if (!await this.#run()) throw new Error("redis-server does not start again");
  }

  /** Connects as a server does. */
  async store(): Promise<RedisStore> {
    return new RedisStore(await RedisLink.open(this.url));
  }

  async #run(): Promise<boolean> {
    const args = ["--port", String(this.port), "--bind", "127.0.0.1", "--save", "", "--dir", this.#folder];
    this.#child = new Deno.Command("redis-server", { args, stdin: "null", stdout: "piped" }).spawn();
    const [first, rest] = this.#child.stdout.tee();
    void rest.pipeTo(new WritableStream());
    for await (const line of first.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())) {
      if (/Ready to accept connections/.test(line)) return true;
    }
    await this.#child.status;
    return false;
  }
}

/** Runs a test with a Redis, which is gone afterwards. */
export async function withRedis(test: (redis: TestRedis) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sleap-rtc-redis-" });
  const redis = await TestRedis.start(folder);
  try {
    await test(redis);
  } finally {
    await redis.kill();
    await Deno.remove(folder, { recursive: true });
  }
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}
