/** A worker's session over a link, in one process. */
import { join } from "node:path";
import { isAboutFiles, parseMessage } from "../../protocol/message.ts";
import type { Link } from "../../rtc/link.ts";
import { FilesSender, type OutgoingFiles } from "../../rtc/send_files.ts";
import { StorageConfig } from "../../storage/backend.ts";
import { Jobs } from "../../worker/jobs.ts";
import { Session } from "../../worker/session.ts";
import { StorageFlow } from "../../worker/storage_flow.ts";
import { withLink } from "../rtc/link_lab.ts";
import { withTempDir } from "../storage/temp.ts";
import { JOB } from "./session_lab.ts";

/** Folders of a worker, and those of its client. */
export interface Places {
  dir: string;
  base: string;
  scratch: string;
  incoming: string;
  home: string;
  jobs: Jobs;
}

/** Makes the folders, and calls a test with them. */
export function withPlaces(test: (places: Places) => Promise<void>): Promise<void> {
  return withTempDir(async (dir) => {
    const [base, scratch, incoming, home] = ["base", "scratch", "incoming", "home"].map((each) =>
      join(dir, each)
    );
    const folder = join(dir, "jobs");
    for (const each of [base!, scratch!, incoming!, home!, folder]) await Deno.mkdir(each);
    const jobs = new Jobs({ folder, scratch: scratch!, settings: JOB, gpus: [], onChange: () => {} });
    await test({ dir, base: base!, scratch: scratch!, incoming: incoming!, home: home!, jobs });
  });
}

/** A session that serves over a link; `running` ends with it. */
export function serve(
  link: Link,
  { base, scratch, incoming, jobs }: Places,
  { comesBack = false, visits = false } = {},
): Promise<void> {
  const backends = new StorageConfig([{ name: "vast", basePath: base, type: "local", description: "" }]);
  const storage = new StorageFlow(backends, undefined, "client");
  return new Session(link, { scratch, incoming, storage, jobs, room: "room", comesBack, visits })
    .run();
}

/** Calls a test with the client's side of a link to a session, and what it returns when the session has ended. */
export function withServed(
  test: (link: Link, places: Places) => Promise<(() => void) | void>,
): Promise<void> {
  return withPlaces((places) =>
    withLink(async ({ client, worker }) => {
      const running = serve(worker, places);
      let afterwards: (() => void) | void;
      try {
        afterwards = await test(client, places);
      } finally {
        await client.close();
        await running;
      }
      afterwards?.();
    })
  );
}

/** Texts up to and with the first that matches; files that are sent meanwhile hear their answers. */
export async function until(link: Link, pattern: RegExp, sender?: FilesSender): Promise<string[]> {
  const seen: string[] = [];
  for (let message; (message = await link.receive()) !== undefined;) {
    if (typeof message !== "string") continue;
    seen.push(message);
    const parsed = parseMessage(message);
    if (isAboutFiles(parsed)) sender?.take(parsed);
    if (pattern.test(message)) return seen;
  }
  throw new Error(`the link ended after ${seen.join()}`);
}

/** Begins to send a package; answers are read by {@link until}. */
export function sending(
  link: Link,
  outgoing: OutgoingFiles,
): { sender: FilesSender; sent: Promise<unknown> } {
  const sender = new FilesSender(link, outgoing);
  return { sender, sent: sender.run().then(() => undefined, (error: unknown) => error) };
}
