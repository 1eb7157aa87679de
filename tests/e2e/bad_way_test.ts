import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { connect, type Pair, withPair } from "../../scripts/bench/rtc.ts";
import { withTempDir } from "../storage/temp.ts";

const MIB = 2 ** 20;
/** The delaying link calls the C library of Linux. */
const ignore = Deno.build.os !== "linux";

async function hashOf(path: string): Promise<string> {
  return createHash("sha256").update(await Deno.readFile(path)).digest("hex");
}

/** Sends a file over a bad way from one process to another, and compares what arrived. */
async function transfer(
  pair: Pair,
  dir: string,
  mib: number,
  meanwhile = async (): Promise<void> => {},
): Promise<void> {
  const [source, folder] = [join(dir, "source"), join(dir, "target")];
  const bytes = new Uint8Array(mib * MIB);
  for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  await Deno.writeFile(source, bytes);
  await Deno.mkdir(folder);
  await connect(pair);
  const arrived = pair.far.next(["arrived"]);
  await pair.far.give({ task: "filesInto", folder });
  await pair.near.give({ task: "filesFrom", path: source });
  await pair.far.next(["progress"]);
  await meanwhile();
  await arrived;
  assert.equal(await hashOf(join(folder, "arrived/source")), await hashOf(source));
}

Deno.test({
  name: "bad way: over one that delays, loses and reorders packets a file arrives as it is",
  ignore,
  fn: () =>
    withTempDir((dir) =>
      withPair({ rttMs: 40, loss: "0.5%", reorder: "5%" }, (pair) => transfer(pair, dir, 16))
    ),
});

Deno.test({
  name: "bad way: one that lets nothing through for a while costs time, and nothing else",
  ignore,
  fn: () =>
    withTempDir((dir) =>
      withPair({ rttMs: 2, rate: "200mbit" }, (pair) =>
        transfer(pair, dir, 64, async () => {
          await pair.link?.halt();
          await new Promise((resolve) => setTimeout(resolve, 3_000));
          await pair.link?.goOn();
        }))
    ),
});
