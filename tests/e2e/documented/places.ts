/** What stands in the documentation for places and credentials that everybody has of his own. */
import { join } from "node:path";
import { ROOT } from "../../docs/blocks.ts";
import type { Stage } from "./stage.ts";

/** What is shown, and what it is on a stage. */
type Place = readonly [shown: string, here: (stage: Stage) => string | Promise<string>];

/** A job that is submitted when the line is run. */
function job(shown: string, kind: "ended" | "short" | "long"): Place {
  return [`${shown} job_1a2b3c4d`, async (stage) => {
    await stage.worker();
    return `${shown} "$(submitted ${kind})"`;
  }];
}

/** In the order in which they are replaced: what is part of something longer comes after that. */
export const PLACES: readonly Place[] = [
  ["sleap-session:eyJy...", async (stage) => (await stage.worker()).session],
  job("attach", "short"),
  job("logs", "short"),
  job("logs --follow", "short"),
  job("stop", "long"),
  job("cancel", "long"),
  job("results list", "ended"),
  job("results verify", "ended"),
  job("results fetch", "ended"),
  ["--room-id ROOM", async (stage) => `--room-id ${(await stage.worker()).roomId}`],
  ["--token TOKEN", async (stage) => `--token ${(await stage.worker()).token}`],
  ["--room-id 1a2b3c4d", async (stage) => `--room-id ${(await stage.worker()).roomId}`],
  ["--token 5e6f70", async (stage) => `--token ${(await stage.worker()).token}`],
  ['"PEER"', async (stage) => `"${(await stage.worker()).peerId}"`],
  ['"ROOM"', async (stage) => `"${(await stage.worker()).roomId}"`],
  ["/Volumes/lab", ({ test }) => test.clientMount],
  ["/mnt/vast", ({ test }) => test.workerMount],
  ["/usr/local/bin", ({ installed }) => installed],
  ["/var/lib/sleap-rtc", ({ test }) => test.home],
  ["http://127.0.0.1:8001", ({ test }) => test.lab.httpUrl],
  ["redis://user:password@redis.lab.example:6379/0", (stage) => stage.redis()],
  ["examples/make_package.ts", () => join(ROOT, "examples/make_package.ts")],
  ["PROJECT/", () => ROOT],
];

/** A text of the documentation as it is on a stage. */
export async function placed(text: string, stage: Stage): Promise<string> {
  for (const [shown, here] of PLACES) {
    if (text.includes(shown)) text = text.replaceAll(shown, await here(stage));
  }
  return text;
}
