/** Asking a worker, and waiting for its answer. */
import { formatMessage, type Message } from "../protocol/message.ts";
import { refusalCode } from "../protocol/refusal.ts";
import type { Pipe } from "../rtc/pipe.ts";
import type { Exchange, Incoming } from "./conversation.ts";
import { RefusedError, WorkerLostError } from "./job_error.ts";
import type { Screen } from "./screen.ts";

/** A conversation with a worker that a person can watch and end. */
export interface Talk {
  conversation: Exchange;
  screen: Screen;
  signal: AbortSignal;
}

/** Sends a message. Throws `ConnectionError`, the abort reason. */
export async function say(
  { conversation, signal }: Pick<Talk, "conversation" | "signal">,
  message: Message,
): Promise<void> {
  await conversation.pipe.send(formatMessage(message), signal);
}

/** What SLEAP's own window says to a trainer that is to stop (PROTOCOL.md section 12.3). */
const STOP_TRAINING = '{"command": "stop"}';

/**
 * Asks a worker to end a job early; one that knows no jobs passes it on to the trainer. Never throws: a worker that is
 * lost is noticed by who follows the job.
 */
export function stopEarly(pipe: Pipe, id: string, knowsJobs: boolean): void {
  tell(pipe, knowsJobs ? { type: "JOB_STOP", id } : { type: "ZMQ_CTRL", text: STOP_TRAINING });
}

/** Says something to which no answer is waited for. Never throws. */
export function tell(pipe: Pipe, message: Message): void {
  void pipe.send(formatMessage(message)).catch(() => {});
}

/** Messages that are answered, and what `PATH_VALIDATED` says in answer. */
const ANSWERS = {
  STORAGE_BACKEND: "backend",
  SHARED_INPUT_PATH: "input",
  SHARED_OUTPUT_PATH: "output",
} as const;
type Asked = Extract<Message, { type: keyof typeof ANSWERS }>;

/** Asks and waits for the worker's consent. Throws {@link RefusedError} for every other answer, and for none in time. */
export async function ask(talk: Talk, message: Asked, limitMs: number): Promise<void> {
  await say(talk, message);
  await answer(talk, message.type, limitMs);
}

/** Waits for `PATH_VALIDATED`; one about something else is late, and passed over. */
export async function answer(talk: Talk, to: keyof typeof ANSWERS, limitMs: number): Promise<void> {
  await awaitAnswer(talk, to, limitMs, (incoming) => {
    return incoming.type === "PATH_VALIDATED" && incoming.what === ANSWERS[to];
  });
}

/** Waits until `isAnswer`. Throws {@link RefusedError} for a refusal and for silence, {@link WorkerLostError}. */
export async function awaitAnswer(
  { conversation, screen, signal }: Talk,
  to: string,
  limitMs: number,
  isAnswer: (incoming: Incoming) => boolean,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const incoming = await conversation.next(Math.max(0, deadline - performance.now()), signal);
    switch (incoming?.type) {
      case undefined:
        throw new RefusedError(`the worker did not answer ${to} within ${limitMs / 1000} s`, {
          code: "WORKER_SILENT",
        });
      case "CLOSED":
        throw new WorkerLostError(false);
      case "BACKEND_NOT_AVAILABLE":
        throw new RefusedError(`the worker does not have the storage backend "${incoming.name}"`, {
          code: "BACKEND_NOT_AVAILABLE",
        });
      case "PATH_ERROR":
      case "JOB_FAILED":
        throw new RefusedError(`the worker refused: ${incoming.text}`, {
          code: refusalCode(incoming.text, "JOB_REFUSED"),
        });
      case "LOG":
        screen.show({ event: "log", text: incoming.text });
        break;
      default:
        if (incoming && isAnswer(incoming)) return;
    }
  }
}
