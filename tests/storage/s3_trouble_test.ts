/** What may go wrong with an object store, tried on a real server: broken connections, damage, refusals. */
import assert from "node:assert/strict";
import { ListMultipartUploadsCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { join } from "node:path";
import { newS3Client, S3Filesystem, type S3Options } from "../../storage/s3.ts";
import { findServer, type S3Server, withServer } from "../s3/server.ts";
import { assertFault, bytesOf, drain, isEqual, namesIn, streamOf } from "./conformance.ts";
import { failureOf, withTempDir } from "./temp.ts";

Deno.test.sanitizer?.({ ops: true, resources: true });

const MIB = 2 ** 20;
/** Within this a store that does not answer must have been given up, in milliseconds. */
const AT_ONCE = 5_000;
const SKIP = findServer() === undefined ? " (skipped: no S3 server, tests/s3/install.sh installs it)" : "";

interface Lab {
  server: S3Server;
  client: S3Client;
  /** A local folder for downloads. */
  dir: string;
  /** Where the server keeps the object of a path. */
  behind(path: string): string;
  /** A storage with parts of 5 MiB. */
  storage: S3Filesystem;
  /** The same with other settings. */
  with(options: S3Options): S3Filesystem;
  /** How many requests of a kind were begun, `UploadPart` for example. */
  count(kind: string): number;
}

function s3Test(name: string, use: (lab: Lab) => Promise<void>): void {
  const run = (): Promise<void> =>
    withTempDir(async (dir) => {
      for (const folder of ["server", "local"]) await Deno.mkdir(join(dir, folder));
      await withServer(join(dir, "server"), async (server) => {
        const client = server.newClient();
        const counts = new Map<string, number>();
        client.middlewareStack.add((next, { commandName = "" }) => (args) => {
          const kind = String(commandName).replace(/Command$/, "");
          counts.set(kind, (counts.get(kind) ?? 0) + 1);
          return next(args);
        }, { step: "initialize" });
        const newStorage = (options: S3Options = {}): S3Filesystem =>
          new S3Filesystem("s3://bucket/p", { client, partBytes: 5 * MIB, parallel: 2, ...options });
        try {
          await use({
            server,
            client,
            dir: join(dir, "local"),
            behind: (path) => join(dir, "server", "bucket", "p", path),
            storage: newStorage(),
            with: newStorage,
            count: (kind) => counts.get(kind) ?? 0,
          });
        } finally {
          client.destroy();
        }
      });
    });
  Deno.test({ name: `${name}${SKIP}`, ignore: SKIP !== "", fn: run });
}

/** A stream that does something before the byte at `at`. */
function streamWith(bytes: Uint8Array, at: number, act: () => unknown): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller): Promise<void> {
      if (sent >= bytes.length) return controller.close();
      if (sent >= at && sent < at + MIB) await act();
      controller.enqueue(bytes.slice(sent, sent += MIB));
    },
  }, { highWaterMark: 0 });
}

async function unfinished(client: S3Client): Promise<number> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: "bucket" }));
  return Uploads.length;
}

const CONTENT = bytesOf(42 * MIB + 7);

s3Test("an interrupted upload goes on with the parts that arrived", async (lab) => {
  const { storage, server, client, count } = lab;
  await assertFault(() => storage.write("f", streamWith(CONTENT, 30 * MIB, () => server.kill())), "gone");
  await server.restart();
  assert.equal(await storage.exists("f"), false);
  assert.equal(await unfinished(client), 1);
  const before = count("UploadPart");
  await storage.write("f", streamOf(CONTENT), { size: CONTENT.length });
  const sent = count("UploadPart") - before;
  assert.ok(sent <= 6, `${sent} of 9 parts were sent again`);
  assert.ok(isEqual(await drain(await storage.read("f")), CONTENT));
  assert.equal(await unfinished(client), 0);
});

s3Test("what was interrupted is not mixed with other content", async ({ storage, server, count }) => {
  await assertFault(() => storage.write("f", streamWith(CONTENT, 30 * MIB, () => server.kill())), "gone");
  await server.restart();
  const other = CONTENT.slice();
  other[6 * MIB] = ~other[6 * MIB]!;
  await storage.write("f", streamOf(other));
  assert.ok(isEqual(await drain(await storage.read("f")), other));
  const begun = count("CreateMultipartUpload");
  other[0] = ~other[0]!;
  await storage.write("f", streamOf(other));
  assert.equal(count("CreateMultipartUpload"), begun + 1);
  assert.ok(isEqual(await drain(await storage.read("f")), other));
});

s3Test("an abort or a broken source leaves no parts with the service", async ({ storage, client }) => {
  const [abort, reason] = [new AbortController(), new Error("enough")];
  const endless = streamWith(CONTENT, 30 * MIB, () => abort.abort(reason));
  assert.equal(await failureOf(() => storage.write("f", endless, {}, abort.signal)), reason);
  const broken = streamWith(CONTENT, 30 * MIB, () => Promise.reject(reason));
  assert.equal(await failureOf(() => storage.write("f", broken)), reason);
  assert.equal(await unfinished(client), 0);
  assert.deepEqual(await namesIn(storage, ""), []);
});

s3Test("a download has the content, time and mode, and says how far it is", async ({ storage, dir }) => {
  const modified = new Date("2020-02-03T04:05:06.789Z");
  const target = join(dir, "f");
  for (const size of [0, 1, 5 * MIB, CONTENT.length]) {
    await storage.write("f", streamOf(CONTENT.subarray(0, size)), { modified, mode: 0o640 });
    const steps: number[] = [0];
    await storage.download("f", target, {
      onProgress: (done, total) => {
        assert.equal(total, size);
        steps.push(done);
      },
    });
    assert.ok(isEqual(await Deno.readFile(target), CONTENT.subarray(0, size)));
    assert.deepEqual(steps, steps.toSorted((a, b) => a - b));
    assert.equal(steps.at(-1), size);
    const info = await Deno.stat(target);
    assert.deepEqual(info.mtime, modified);
    assert.equal(info.mode! & 0o777, 0o640);
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), ["f"]);
  }
});

s3Test("an interrupted download goes on, and trusts nothing that is damaged", async (lab) => {
  const { storage, server, dir, count } = lab;
  const target = join(dir, "f");
  await storage.write("f", streamOf(CONTENT));
  const kill = (done: number): void => void (done > 20 * MIB && server.kill().catch(() => {}));
  await assertFault(() => storage.download("f", target, { onProgress: kill }), "gone");
  await server.restart();
  assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), [
    "f.partial",
    "f.partial.json",
  ]);
  using partial = await Deno.open(`${target}.partial`, { write: true });
  await partial.seek(MIB, Deno.SeekMode.Start);
  await partial.write(new Uint8Array(3));
  const before = count("GetObject");
  await storage.download("f", target);
  const fetched = count("GetObject") - before;
  assert.ok(fetched >= 2 && fetched <= 6, `${fetched} of 9 ranges were fetched again`);
  assert.ok(isEqual(await Deno.readFile(target), CONTENT));
  assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), ["f"]);
});

s3Test("what an earlier download of another object left is not used", async ({ storage, server, dir }) => {
  const target = join(dir, "f");
  await storage.write("f", streamOf(CONTENT));
  const kill = (done: number): void => void (done > 20 * MIB && server.kill().catch(() => {}));
  await assertFault(() => storage.download("f", target, { onProgress: kill }), "gone");
  await server.restart();
  const other = bytesOf(12 * MIB, 9);
  await storage.write("f", streamOf(other));
  await storage.download("f", target);
  assert.ok(isEqual(await Deno.readFile(target), other));
});

s3Test("bytes that the service damaged are found out", async ({ storage, dir, behind }) => {
  for (const size of [1_000, 12 * MIB]) {
    await storage.write("f", streamOf(CONTENT.subarray(0, size)));
    using file = await Deno.open(behind("f"), { write: true });
    await file.seek(size - 5, Deno.SeekMode.Start);
    await file.write(new Uint8Array([1, 2, 3]));
    await assertFault(async () => drain(await storage.read("f")), "corrupt");
    await assertFault(() => storage.download("f", join(dir, "f")), "corrupt");
    assert.deepEqual([...Deno.readDirSync(dir)], []);
  }
});

s3Test(
  "an aborted download leaves nothing, and a link in its way is not followed",
  async ({ storage, dir }) => {
    const [abort, reason] = [new AbortController(), new Error("enough")];
    await storage.write("f", streamOf(CONTENT));
    const options = { signal: abort.signal, onProgress: (): void => abort.abort(reason) };
    assert.equal(await failureOf(() => storage.download("f", join(dir, "f"), options)), reason);
    assert.deepEqual([...Deno.readDirSync(dir)], []);
    await Deno.writeTextFile(join(dir, "precious"), "text");
    await Deno.symlink("precious", join(dir, "f.partial"));
    await storage.download("f", join(dir, "f"));
    assert.equal(await Deno.readTextFile(join(dir, "precious")), "text");
    assert.ok(isEqual(await Deno.readFile(join(dir, "f")), CONTENT));
  },
);

s3Test("a store that hangs is gone within its deadline", async ({ server, dir, ...lab }) => {
  await lab.storage.write("f", streamOf(CONTENT));
  const storage = lab.with({ deadlineMs: 500, chunkDeadlineMs: 500, partDeadlineMs: 500 });
  const reader = (await storage.read("f")).getReader();
  server.halt();
  const attempts = [
    () => storage.exists("f"),
    () => namesIn(storage, ""),
    () => storage.read("f"),
    () => storage.write("g", streamOf(bytesOf(1))),
    () => storage.write("g", streamOf(CONTENT)),
    () => storage.copy("f", "g"),
    () => storage.remove("other"),
    () => storage.download("f", join(dir, "f")),
    async () => {
      while (!(await reader.read()).done);
    },
  ];
  for (const attempt of attempts) {
    const began = performance.now();
    await assertFault(attempt, "gone");
    assert.ok(performance.now() - began < AT_ONCE, attempt.toString());
  }
  server.goOn();
  assert.equal(await lab.storage.exists("f"), true);
});

s3Test("a store that is not there is gone", async ({ storage, server }) => {
  await server.kill();
  await assertFault(() => storage.stat("f"), "gone");
  await assertFault(() => storage.write("f", streamOf(CONTENT)), "gone");
  await server.restart();
});

s3Test("wrong keys are denied, and no error shows them", async ({ server }) => {
  const credentials = { accessKeyId: "somebody-known", secretAccessKey: "something-secret" };
  const client = newS3Client({
    endpoint: server.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials,
  });
  const own = newS3Client({
    endpoint: server.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: server.env["AWS_ACCESS_KEY_ID"]!, secretAccessKey: "something-secret" },
  });
  try {
    for (const stranger of [client, own]) {
      const storage = new S3Filesystem("s3://bucket/p", { client: stranger });
      for (const attempt of [() => namesIn(storage, ""), () => storage.write("f", streamOf(bytesOf(1)))]) {
        await assertFault(attempt, "denied");
        const text = Deno.inspect(await failureOf(attempt), { depth: 20, showHidden: true });
        for (const secret of ["something-secret", "somebody-known", server.env["AWS_ACCESS_KEY_ID"]!]) {
          assert.ok(!text.includes(secret), text);
        }
      }
    }
  } finally {
    client.destroy();
    own.destroy();
  }
});

s3Test("a bucket that is not there is missing", async ({ client }) => {
  const storage = new S3Filesystem("s3://other-bucket", { client });
  await assertFault(() => storage.stat("f"), "missing");
  await assertFault(() => storage.write("f", streamOf(bytesOf(1))), "missing");
  assert.equal(await storage.exists(""), false);
});

s3Test("endpoint, region and keys are found where the SDK looks", async ({ server, storage, dir }) => {
  await storage.write("f", streamOf(bytesOf(5)));
  const script = `import { S3Filesystem } from ${JSON.stringify(import.meta.resolve("../../storage/s3.ts"))};
    const storage = new S3Filesystem("s3://bucket/p");
    console.log((await storage.stat("f")).size);
    storage.close();`;
  const { AWS_ENDPOINT_URL_S3, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = server.env;
  const [config, keys] = [join(dir, "config"), join(dir, "credentials")];
  await Deno.writeTextFile(
    config,
    `[profile lab]\nregion = ${AWS_REGION}\nservices = here\n[services here]\ns3 =\n  endpoint_url = ${AWS_ENDPOINT_URL_S3}\n`,
  );
  await Deno.writeTextFile(
    keys,
    `[lab]\naws_access_key_id = ${AWS_ACCESS_KEY_ID}\naws_secret_access_key = ${AWS_SECRET_ACCESS_KEY}\n`,
  );
  const profile = { AWS_PROFILE: "lab", AWS_CONFIG_FILE: config, AWS_SHARED_CREDENTIALS_FILE: keys };
  for (const env of [server.env, profile]) {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        `--config=${new URL("../../deno.json", import.meta.url).pathname}`,
        "-",
      ],
      env: { ...env, NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(script));
    await writer.close();
    const { stdout, stderr } = await child.output();
    assert.equal(new TextDecoder().decode(stdout), "5\n", new TextDecoder().decode(stderr));
  }
});

s3Test("bytes are never unpacked on the way", async ({ storage, client, dir }) => {
  const object = { Bucket: "bucket", Key: "p/f", ContentEncoding: "gzip", Body: bytesOf(1_000) };
  await client.send(new PutObjectCommand(object));
  assert.ok(isEqual(await drain(await storage.read("f")), bytesOf(1_000)));
  await storage.download("f", join(dir, "f"));
  assert.ok(isEqual(await Deno.readFile(join(dir, "f")), bytesOf(1_000)));
});

s3Test("keys that could not be asked for are not listed", async ({ storage, behind }) => {
  await storage.write("d/f", streamOf(bytesOf(1)));
  await Deno.writeTextFile(behind("d/back\\slash"), "x");
  await Deno.writeTextFile(behind("d/new\nline"), "x");
  assert.deepEqual(await namesIn(storage, "d"), ["f"]);
});
