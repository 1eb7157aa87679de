/** A worker that a test plays, and a submission to it. */
import { join } from "node:path";
import { Conversation } from "../../client/conversation.ts";
import type { FollowOptions, JobEnd } from "../../client/follow.ts";
import { followJob } from "../../client/follow.ts";
import type { ClientEvent, Screen } from "../../client/screen.ts";
import type { Submission } from "../../client/submit.ts";
import type { Channel } from "../../rtc/channel.ts";
import { StorageConfig } from "../../storage/backend.ts";
import { StorageResolver } from "../../storage/resolver.ts";
import { linkedChannels } from "../rtc/fake_native.ts";

/** A screen that keeps what it is shown. */
export function keepingScreen(): Screen & { events: ClientEvent[] } {
  const events: ClientEvent[] = [];
  return { events, show: (event) => void events.push(event), close: () => {} };
}

/** Answers of a played worker; a text without an entry gets none. */
export type Answers = (text: string) => readonly string[];

/** Answers each text; what came, bytes as their length, is kept. */
export function play(channel: Channel, answers: Answers): string[] {
  const heard: string[] = [];
  void (async (): Promise<void> => {
    for await (const message of channel) {
      heard.push(typeof message === "string" ? message : `${message.length} bytes`);
      if (typeof message !== "string") continue;
      for (const answer of answers(message)) await channel.send(answer);
    }
  })();
  return heard;
}

/** Answers of a worker that agrees to all. */
export const AGREE: Answers = (text) =>
  text.startsWith("STORAGE_BACKEND::")
    ? ["PATH_VALIDATED::backend"]
    : text.startsWith("SHARED_INPUT_PATH::")
    ? ["PATH_VALIDATED::input"]
    : text.startsWith("SHARED_OUTPUT_PATH::")
    ? ["PATH_VALIDATED::output"]
    : [];

/** A submission of `packagePath` over a pair of channels, with `dir/base` as backend `vast`. */
export function submissionOf(
  dir: string,
  packagePath: string,
  outputDir: string,
  signal: AbortSignal = new AbortController().signal,
): { submission: Submission; near: Channel; far: Channel; events: ClientEvent[] } {
  const { near, far } = linkedChannels();
  const backends = [{ name: "vast", basePath: join(dir, "base"), type: "local", description: "" }];
  const screen = keepingScreen();
  const submission: Submission = {
    packagePath,
    script: undefined,
    kind: "train",
    jobId: "job_1a2b3c4d",
    outputDir,
    resolver: new StorageResolver(new StorageConfig(backends)),
    conversation: new Conversation(near),
    link: undefined,
    isOurs: true,
    features: [],
    screen,
    signal,
  };
  return { submission, near, far, events: screen.events };
}

/** Follows a job of which the worker says this, and then leaves unless the job is over. */
export async function follow(
  inbox: string,
  said: readonly (string | Uint8Array)[],
  options: Partial<FollowOptions> = {},
): Promise<{ end: JobEnd; events: ClientEvent[]; started: number }> {
  const { near, far } = linkedChannels();
  const screen = keepingScreen();
  let started = 0;
  for (const message of said) await far.send(message);
  const ending = followJob(new Conversation(near), {
    screen,
    jobId: "j",
    isOurs: true,
    rtc: false,
    inbox,
    onStart: () => started++,
    signal: new AbortController().signal,
    ...options,
  });
  far.close();
  try {
    return { end: await ending, events: screen.events, started };
  } finally {
    near.close();
  }
}
