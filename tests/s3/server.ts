/** A real S3 server over a temporary folder, for tests and benchmarks; `install.sh` beside this installs it. */
import { CreateBucketCommand, type S3Client } from "@aws-sdk/client-s3";
import { join } from "node:path";
import { newS3Client } from "../../storage/s3.ts";

/** Good for this server only. */
const [ACCESS_KEY, SECRET_KEY] = ["test-access-key", "test-secret-key"];
/** Milliseconds until it must answer. */
const START_MS = 20_000;

/** The bucket that is there. */
export const BUCKET = "bucket";

/** Where `install.sh` puts the server; undefined where it is not installed. */
export function findServer(): string | undefined {
  const cache = Deno.env.get("XDG_CACHE_HOME") || join(Deno.env.get("HOME") ?? "/nonexistent", ".cache");
  const program = join(cache, "sleap-rtc-tests", "versitygw-v1.8.0", "versitygw");
  try {
    return Deno.statSync(program).isFile ? program : undefined;
  } catch {
    return undefined;
  }
}

/** A server that runs, on a port of its own. */
export interface S3Server {
  /** `http://127.0.0.1:PORT`. */
  endpoint: string;
  /** Environment variables with which the SDK finds it. */
  env: Record<string, string>;
  /** A client of it; destroy it. */
  newClient(): S3Client;
  /** Ends it without warning; what it has on disk stays. */
  kill(): Promise<void>;
  /** Halts it: connections stay and nothing answers. */
  halt(): void;
  /** Ends the halt. */
  goOn(): void;
  /** Starts it again, on the same port and folder. */
  restart(): Promise<void>;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function waitForPort(port: number): Promise<void> {
  for (const began = performance.now();;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (performance.now() - began > START_MS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }
}

/** Calls `use` with a server over a folder, in which there is an empty {@link BUCKET}; afterwards it has ended. */
export async function withServer<T>(folder: string, use: (server: S3Server) => Promise<T>): Promise<T> {
  const program = findServer();
  if (program === undefined) {
    throw new Error("the S3 server of the tests is not installed: run tests/s3/install.sh");
  }
  const port = freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const start = async (): Promise<Deno.ChildProcess> => {
    const child = new Deno.Command(program, {
      args: ["--port", `127.0.0.1:${port}`, "--keep-alive", "--quiet", "posix", folder],
      env: { ROOT_ACCESS_KEY: ACCESS_KEY, ROOT_SECRET_KEY: SECRET_KEY },
      stdout: "null",
      stderr: "null",
    }).spawn();
    await waitForPort(port);
    return child;
  };
  let child = await start();
  const credentials = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY };
  const newClient = (): S3Client =>
    newS3Client({ endpoint, region: "us-east-1", credentials, forcePathStyle: true });
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.status;
  };
  try {
    const client = newClient();
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    client.destroy();
    return await use({
      endpoint,
      env: {
        AWS_ENDPOINT_URL_S3: endpoint,
        AWS_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: ACCESS_KEY,
        AWS_SECRET_ACCESS_KEY: SECRET_KEY,
      },
      newClient,
      kill,
      halt: () => {
        child.kill("SIGSTOP");
        // The signal is sent; that it has come takes a moment more.
        const isHalted = (): boolean =>
          /^State:\s+T/m.test(Deno.readTextFileSync(`/proc/${child.pid}/status`));
        while (Deno.build.os === "linux" && !isHalted());
      },
      goOn: () => child.kill("SIGCONT"),
      restart: async (): Promise<void> => void (child = await start()),
    });
  } finally {
    await kill().catch(() => {});
  }
}
