import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { LocalFilesystem } from "../../storage/local.ts";
import { S3Filesystem } from "../../storage/s3.ts";
import { writeAll } from "../../storage/write_all.ts";
import { BUCKET, type S3Server, withServer } from "../../tests/s3/server.ts";
import { type BenchOptions, type Figures, median, round, seconds, withFolder } from "./measure.ts";

const MIB = 2 ** 20;
const FULL = { bytes: 512 * MIB, runs: 5 };
const QUICK = { bytes: 32 * MIB, runs: 1 };

async function fill(path: string, bytes: number): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const block = new Uint8Array(4 * MIB);
  for (let done = 0; done < bytes; done += block.length) {
    for (let at = 0; at < block.length; at += 65_536) crypto.getRandomValues(block.subarray(at, at + 65_536));
    await file.write(block);
  }
}

/** The SDK as it comes, one request for the whole file. */
async function plainUpload(client: S3Client, source: string, bytes: number): Promise<void> {
  await client.send(
    new PutObjectCommand({
      Bucket: BUCKET,
      Key: "plain",
      Body: createReadStream(source),
      ContentLength: bytes,
    }),
  );
}

/** The same the other way, flushed since ours flushes as well. */
async function plainDownload(client: S3Client, target: string): Promise<void> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: "plain" }));
  if (!Body) throw new Error("the server answered without a body");
  using file = await Deno.open(target, { write: true, createNew: true });
  for await (const chunk of Body.transformToWebStream() as ReadableStream<Uint8Array>) {
    await writeAll(file, chunk);
  }
  await file.sync();
}

async function sameFile(a: string, b: string): Promise<boolean> {
  const { success } = await new Deno.Command("cmp", { args: ["-s", a, b] }).output();
  return success;
}

/** A client with the SDK's defaults, apart from where the server is. */
function plainClient({ endpoint, env }: S3Server): S3Client {
  const [accessKeyId = "", secretAccessKey = ""] = [env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]];
  return new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
}

/** Seconds of one transfer, without what earlier ones left on its way to the disk. */
async function timed(transfer: () => Promise<unknown>): Promise<number> {
  await new Deno.Command("sync").output();
  return await seconds(transfer);
}

/** One client's way, both directions. */
interface Way {
  up(): Promise<unknown>;
  down(): Promise<unknown>;
}

/** Seconds of one run. */
type Times = Record<keyof Way, number>;

async function run(way: Way, source: string, target: string): Promise<Times> {
  const times = { up: await timed(() => way.up()), down: await timed(() => way.down()) };
  if (!await sameFile(source, target)) throw new Error("what was downloaded is not what was uploaded");
  await Deno.remove(target);
  return times;
}

async function measure(
  server: S3Server,
  folder: string,
  say: (text: string) => void,
  { bytes, runs }: typeof FULL,
): Promise<{ ours: Times[]; plain: Times[] }> {
  const [source, target] = [join(folder, "source"), join(folder, "target")];
  await fill(source, bytes);
  const [plainOne, client] = [plainClient(server), server.newClient()];
  const [local, s3] = [new LocalFilesystem(folder), new S3Filesystem(`s3://${BUCKET}`, { client })];
  const plainWay: Way = {
    up: () => plainUpload(plainOne, source, bytes),
    down: () => plainDownload(plainOne, target),
  };
  const ourWay: Way = {
    up: async () => s3.write("ours", await local.read("source"), { size: bytes }),
    down: () => s3.download("ours", target),
  };
  const found: { ours: Times[]; plain: Times[] } = { ours: [], plain: [] };
  try {
    for (let pair = 0; pair <= runs; pair++) {
      const early = pair % 2 === 0 ? await run(plainWay, source, target) : undefined;
      const ours = await run(ourWay, source, target);
      const plain = early ?? await run(plainWay, source, target);
      const text = (key: keyof Way): string =>
        `plain ${plain[key].toFixed(2)} s, ours ${ours[key].toFixed(2)} s`;
      say(`${pair === 0 ? "not counted" : `run ${pair}`}: upload ${text("up")}; download ${text("down")}`);
      if (pair === 0) continue;
      found.ours.push(ours);
      found.plain.push(plain);
    }
  } finally {
    plainOne.destroy();
    client.destroy();
  }
  return found;
}

/**
 * Uploads and downloads 512 MiB with `storage/s3` and with a plain one-shot client of the SDK, on one server that is
 * started for it. The order changes from pair to pair, a first pair is not counted. Ratios are the plain client's time
 * over ours, medians of five pairs; `ratio` is that of both directions together. Throws when the server is not
 * installed.
 */
export function benchS3(say: (text: string) => void, { quick }: BenchOptions): Promise<Figures> {
  const size = quick ? QUICK : FULL;
  return withFolder((folder) =>
    withFolder((behind) =>
      withServer(behind, async (server) => {
        const { ours, plain } = await measure(server, folder, say, size);
        const ratio = (time: (times: Times) => number): number =>
          round(median(plain.map((times, index) => time(times) / time(ours[index]!))));
        const speed = (times: Times[], key: keyof Way): number =>
          round(size.bytes / MIB / median(times.map((found) => found[key])));
        return {
          ratio: ratio(({ up, down }) => up + down),
          upload_ratio: ratio(({ up }) => up),
          download_ratio: ratio(({ down }) => down),
          upload_mib_per_s: speed(ours, "up"),
          download_mib_per_s: speed(ours, "down"),
          plain_upload_mib_per_s: speed(plain, "up"),
          plain_download_mib_per_s: speed(plain, "down"),
        };
      })
    )
  );
}
