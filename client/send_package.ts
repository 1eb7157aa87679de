/** Sends a package to a worker: file by file over a link, else as one stream (PROTOCOL.md section 11.3). */
import { basename } from "node:path";
import { sizeText } from "../config/progress.ts";
import { UserError } from "../config/user_error.ts";
import { isAboutFiles } from "../protocol/message.ts";
import { refusalCode } from "../protocol/refusal.ts";
import type { Link } from "../rtc/link.ts";
import { sendFile } from "../rtc/send.ts";
import { FilesSender } from "../rtc/send_files.ts";
import type { Conversation, Incoming } from "./conversation.ts";
import { JobFailedError, WorkerLostError } from "./job_error.ts";
import { outgoingPackage } from "./outgoing_package.ts";
import type { Talk } from "./talk.ts";

/** A package on its way. */
export interface PackageToSend extends Talk {
  conversation: Conversation;
  /** Absolute. */
  packagePath: string;
  /** `job_` and 8 hex digits. */
  jobId: string;
  /** The link that the conversation is over, if it is over one. */
  link: Link | undefined;
}

const SENDING = "sending the package";

/**
 * Resolves when the worker has the package: verified, over a link. Throws `TransferError`, `ConnectionError`,
 * {@link WorkerLostError}, {@link JobFailedError} when the worker does not take it, the abort reason.
 */
export async function sendPackage(submission: PackageToSend): Promise<void> {
  if (submission.link) await sendFiles(submission, submission.link);
  else await sendStream(submission);
}

async function sendFiles(submission: PackageToSend, link: Link): Promise<void> {
  const { packagePath, screen } = submission;
  const sender = new FilesSender(link, await outgoingPackage(packagePath), {
    onProgress: (done, total) => screen.show({ event: "progress", what: SENDING, done, total }),
    onFound: (bytes) => {
      if (bytes > 0) {
        screen.show({ event: "info", text: `the worker has ${sizeText(bytes)} of it; the rest is sent` });
      }
    },
  });
  await whileListening(submission, (signal) => sender.run(signal), sender);
}

async function sendStream(submission: PackageToSend): Promise<void> {
  const { packagePath, conversation, screen } = submission;
  using file = await Deno.open(packagePath, { read: true });
  const { size, isFile } = await file.stat();
  if (!isFile) {
    throw new UserError("this worker takes packages as one .zip file only, and this one is a folder", {
      code: "WORKER_LACKS_FEATURE",
      hint: "pack it first, or use a worker of this program",
    });
  }
  const outgoing = { name: basename(packagePath), size, hint: "False", file };
  const onProgress = (done: number, total: number): void =>
    screen.show({ event: "progress", what: SENDING, done, total });
  await whileListening(
    submission,
    (signal) => sendFile(conversation.pipe, outgoing, { signal, onProgress }),
  );
}

/** A worker that refuses while the package is still on its way is heard at once, not at the end. */
async function whileListening(
  submission: PackageToSend,
  send: (signal: AbortSignal) => Promise<void>,
  sender?: FilesSender,
): Promise<void> {
  const [refused, over] = [new AbortController(), new AbortController()];
  const listening = listen(submission, refused, over.signal, sender);
  try {
    await send(AbortSignal.any([submission.signal, refused.signal]));
  } finally {
    over.abort();
    await listening;
  }
  refused.signal.throwIfAborted();
}

async function listen(
  { conversation, jobId }: PackageToSend,
  refused: AbortController,
  over: AbortSignal,
  sender: FilesSender | undefined,
): Promise<void> {
  const others: Incoming[] = [];
  try {
    for (;;) {
      const incoming = await conversation.next(undefined, over).catch(() => undefined);
      if (incoming === undefined) return;
      if (incoming.type === "CLOSED") return refused.abort(new WorkerLostError(false));
      // Was the last word about the files just said, it is the job that failed: that is for those who follow it.
      await new Promise((resolve) => setTimeout(resolve));
      if (!over.aborted && incoming.type === "JOB_FAILED" && (incoming.id ?? jobId) === jobId) {
        return refused.abort(
          new JobFailedError(`the worker did not take the package: ${incoming.text}`, {
            code: refusalCode(incoming.text, "JOB_FAILED"),
          }),
        );
      }
      if (!isAboutFiles(incoming)) others.push(incoming);
      else sender?.take(incoming);
    }
  } finally {
    // What the job says already is for those who follow it.
    conversation.putBack(others);
  }
}
